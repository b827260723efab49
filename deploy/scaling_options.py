"""The numbers of a target tracking policy, as options of the commands that take them."""

from __future__ import annotations

import argparse

from deploy.commands import DeployError

# (option, default, what it is): the numbers of a policy; cooldowns in seconds
NUMBERS = (
    ("min", 2, "fewest instances of a variant"),
    ("max", 20, "most instances of a variant"),
    ("target-value", 1000, "invocations a minute and instance"),
    ("scale-in-cooldown", 300, "seconds from a scale-in to the next"),
    ("scale-out-cooldown", 60, "seconds from a scale-out to the next"),
)


def add(command: argparse.ArgumentParser) -> None:
    for option, default, text in NUMBERS:
        command.add_argument(
            f"--{option}", type=int, default=default, metavar="N", help=f"{text} ({default})"
        )


def check(arguments: argparse.Namespace) -> None:
    """Raises DeployError for numbers that AWS would refuse."""
    if not 1 <= arguments.min <= arguments.max:
        raise DeployError(
            f"--min is {arguments.min} and --max {arguments.max}; allowed: 1 <= min <= max "
            "(zero instances: only inference components, asynchronous and serverless endpoints).",
            2,
        )
    least = {"target_value": 1, "scale_in_cooldown": 0, "scale_out_cooldown": 0}
    for option, low in least.items():
        value = getattr(arguments, option)
        if value < low:
            raise DeployError(
                f"--{option.replace('_', '-')} is {value}; allowed: {low} or more.", 2
            )
