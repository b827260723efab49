"""`run-pipeline`: pipelines.run under the name that SageMaker's project templates call.

Existing buildspecs keep working: -n, -kwargs, -role-arn, -description and -tags, on AWS.
"""

from __future__ import annotations

import sys

from pipelines import run


def main(argv: list[str] | None = None) -> int:
    return run.main(argv, default_target="aws")


if __name__ == "__main__":
    sys.exit(main())
