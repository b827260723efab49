"""`python -m deploy.endpoint smoke`: does every variant answer, and with which version."""

from __future__ import annotations

import argparse
from typing import Any

from deploy import asking, commands, examples
from deploy.asking import Reply, percentile
from deploy.commands import Answer, DeployError, Refused
from deploy.examples import Body
from deploy.served import existing
from deploy.work import Work, begin

SHOWN_FAILURES = 3


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--requests", type=int, default=20, metavar="N", help="for each variant (default 20)"
    )


def smoke(arguments: argparse.Namespace) -> Answer:
    """Requests to each variant by name: from --body or --file, else rows of the problem."""
    if arguments.requests < 1:
        raise DeployError(f"--requests is {arguments.requests}; allowed: 1 or more.", 2)
    work = begin(arguments)
    there = existing(work.sagemaker, work.endpoint)
    bodies = examples.bodies(arguments, work.problem, arguments.requests)
    results = [_tried(work, each, bodies, arguments.accept) for each in there["variants"]]
    answer = _answer(work.endpoint, results)
    if any(each["failures"] for each in results):
        raise Refused(answer)
    return answer


def _tried(work: Work, variant: dict[str, Any], bodies: list[Body], accept: str) -> dict[str, Any]:
    name = variant["VariantName"]
    replies = [asking.ask(work.runtime, work.endpoint, body, accept, name) for body in bodies]
    seconds = [each.seconds for each in replies]
    return {
        "variant": name,
        "version": variant["version"],
        "bundle": _bundle(replies),
        "requests": len(replies),
        "failures": [each.wrong for each in replies if each.wrong],
        "p50_ms": round(1000 * percentile(seconds, 50), 2),
        "p99_ms": round(1000 * percentile(seconds, 99), 2),
    }


def _bundle(replies: list[Reply]) -> str:
    return ", ".join(sorted({each.bundle for each in replies if each.bundle}))


def _answer(endpoint: str, results: list[dict[str, Any]]) -> Answer:
    headers = ("Variant", "Version", "Bundle", "Requests", "Failed", "p50 ms", "p99 ms")
    rows = (
        (
            each["variant"],
            each["version"],
            each["bundle"] or "-",
            each["requests"],
            len(each["failures"]),
            each["p50_ms"],
            each["p99_ms"],
        )
        for each in results
    )
    reasons = [
        f"  {each['variant']}: {wrong}"
        for each in results
        for wrong in list(dict.fromkeys(each["failures"]))[:SHOWN_FAILURES]
    ]
    text = "\n".join([commands.table(headers, rows), *reasons])
    return Answer(text, {"endpoint": endpoint, "variants": results})
