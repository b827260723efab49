"""`make bench`: prints our numbers beside the limit or the peer, medians, in one run.

Example: `python -m bench run --rows 20000 --repeat 1`; `python -m bench steps`. Figures in the docs
come from here.
"""

from __future__ import annotations

import argparse
import sys

from bench import experiments, run_cost, steps


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "what", nargs="?", choices=("run", "steps", "experiments", "all"), default="all"
    )
    parser.add_argument("--rows", type=int, default=100_000, help="rows of engagement data")
    parser.add_argument("--repeat", type=int, default=3, help="runs; medians are printed")
    options = parser.parse_args(argv)
    if options.what in ("steps", "all"):
        steps.print_report()
    if options.what in ("experiments", "all"):
        experiments.print_report()
    if options.what in ("run", "all"):
        run_cost.print_report(options.rows, options.repeat)
    return 0


if __name__ == "__main__":
    sys.exit(main())
