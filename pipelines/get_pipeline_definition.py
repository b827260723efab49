"""`get-pipeline-definition`: the definition of a pipeline module, printed or into a file.

The command of SageMaker's project templates: -n, -f, -kwargs. It starts nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipelines import definition, modules
from pipelines.bundle import BundleError
from pipelines.modules import UsageError
from pipelines.settings import SettingsError
from steps.problem import ProblemError


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="get-pipeline-definition",
        description="Print the definition of a pipeline.",
        epilog="example: get-pipeline-definition -n pipelines.training "
        "-kwargs \"{'role': 'arn:aws:iam::111122223333:role/mlops', 'default_bucket': 'mine'}\"",
        allow_abbrev=False,
    )
    parser.add_argument("-n", "--module-name", metavar="MODULE")
    parser.add_argument("-f", "--file-name", metavar="FILE", help="default: standard output")
    parser.add_argument("-kwargs", "--kwargs", metavar="DICT", help="arguments of get_pipeline")
    args = parser.parse_args(argv)
    if args.module_name is None:
        parser.print_help()
        return 2
    try:
        kwargs = modules.mapping(args.kwargs, "--kwargs")
        offered = {"compile_only": True}
        text = definition.compile_pipeline(args.module_name, kwargs, offered).definition
        if args.file_name:
            Path(args.file_name).write_text(text, encoding="utf-8")
        else:
            print(text)
    except (UsageError, ProblemError, SettingsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (BundleError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
