"""`python -m deploy.experiment`: of two variants that share the traffic, promote or roll back?

    CloudWatch minutes, captured answers + ground truth -> evidence.py -> decision.py -> report
                                                         -> --act: one variant serves alone

Look as often as you like: the tests are always valid (docs/experiments.md). The experiment begins
when the endpoint was last changed, or at --since; keep that the same from look to look.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy import champion_variant, commands, decision, evidence, experiment_page, scoring
from deploy.capture_files import Window, destination, moment
from deploy.captured import CaptureError
from deploy.commands import Answer, DeployError
from deploy.decision import METRICS, Evidence, Rules, Verdict
from deploy.served import existing
from deploy.work import Work, begin
from pipelines import settings
from pipelines.settings import PROJECT

SHARES = ("alpha", "min_effect", "margin", "more_errors")
STAYS = {"promote": "challenger", "roll back": "champion"}


def main(argv: list[str] | None = None) -> int:
    top = commands.parser("deploy.experiment", "From weights to a decision.", "--act")
    commands.add_shared_options(top)
    top.add_argument("--name", metavar="ENDPOINT", help="default: the problem's endpoint")
    top.add_argument("--champion", metavar="VARIANT", help="default: who was first")
    top.add_argument("--challenger", metavar="VARIANT", help="default: the other one")
    top.add_argument("--since", metavar="TIME", help="ISO, or 6h; default: the last change")
    top.add_argument("--settle", type=float, default=120, metavar="SECONDS", help="till news count")
    _add_rules(top)
    _add_truth(top)
    top.add_argument("--report", type=Path, metavar="FILE", help="default below build/")
    top.add_argument("--act", action="store_true", help="promote, or roll back")
    top.add_argument("--dry-run", action="store_true", help="with --act: say it")
    top.set_defaults(command=experiment)
    return commands.run(top.parse_args(argv))


def _add_rules(top: argparse.ArgumentParser) -> None:
    rules = Rules()
    top.add_argument("--aim", choices=("better", "non-inferior"), default=rules.aim)
    for name, text in (
        ("alpha", "wrong promotions, and wrong rollbacks, are at most this likely"),
        ("min_effect", "the challenger must be better by more than this"),
        ("margin", "with non-inferior: it may be this much worse"),
        ("more_errors", "guardrail: this much higher a share of server errors is borne"),
        ("more_latency", "guardrail: this much higher a mean latency is borne, 0.25 is 25 percent"),
    ):
        default = getattr(rules, name)
        flag = f"--{name.replace('_', '-')}"
        top.add_argument(flag, type=float, default=default, metavar="X", help=f"{text} ({default})")


def _add_truth(top: argparse.ArgumentParser) -> None:
    top.add_argument("--metric", choices=METRICS, help="default: correct with labels, or errors")
    top.add_argument("--ground-truth", metavar="S3URI", help="labels by hour, as Model Monitor's")
    top.add_argument("--field", metavar="NAME", help="the member of an answer that is judged")
    top.add_argument("--threshold", type=float, metavar="X", help="yes from this score on")
    top.add_argument("--loss-max", type=float, metavar="X", help="the loss that counts as 1")


def experiment(arguments: argparse.Namespace) -> Answer:
    rules, work = _rules(arguments), begin(arguments)
    there = existing(work.sagemaker, work.endpoint)
    if len(there["variants"]) == 1:
        alone = there["variants"][0]["VariantName"]
        text = f"Endpoint {work.endpoint} serves {alone} alone: no experiment is running."
        return Answer(text, {"endpoint": work.endpoint, "answer": "no experiment"})
    pair = _pair(arguments, work, there)
    seen = _evidence(arguments, work, pair, rules)
    verdict = decision.decide(seen, rules)
    path = arguments.report or PROJECT / "build" / f"experiment-{work.endpoint}" / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(experiment_page.render(work.endpoint, pair, seen, verdict), "utf-8")
    done = _act(work, pair, verdict) if arguments.act else _next(verdict)
    head = f"{verdict.answer}: {pair[1]} against {pair[0]} on endpoint {work.endpoint}"
    lines = [head, *(f"  {line}" for line in verdict.why), work.said(done), f"Report: {path}"]
    facts = {"act": done, "report": str(path), **work.shown()}
    return Answer("\n".join(lines), {**_document(work.endpoint, pair, verdict), **facts})


def _rules(arguments: argparse.Namespace) -> Rules:
    for name in SHARES:
        value = getattr(arguments, name)
        if not 0 <= value < 1 or (name == "alpha" and value == 0):
            raise DeployError(f"--{name.replace('_', '-')} is {value:g}; allowed: 0 to 1.", 2)
    if arguments.more_latency < 0 or arguments.settle < 0:
        raise DeployError("--more-latency and --settle must not be negative.", 2)
    metric = arguments.metric or ("correct" if arguments.ground_truth else "errors")
    if metric != "errors" and not arguments.ground_truth:
        raise DeployError(f"--metric {metric} needs --ground-truth s3://bucket/prefix.", 2)
    if metric == "errors" and arguments.ground_truth:
        raise DeployError("--metric errors does not look at --ground-truth; leave one out.", 2)
    return Rules(
        metric,
        arguments.aim,
        **{name: getattr(arguments, name) for name in (*SHARES, "more_latency")},
    )


def _pair(arguments: argparse.Namespace, work: Work, there: dict[str, Any]) -> tuple[str, str]:
    """Champion and challenger."""
    names = [each["VariantName"] for each in there["variants"]]
    for each in (arguments.champion, arguments.challenger):
        if each is not None:
            champion_variant.named(there, each)
    champion = arguments.champion or champion_variant.champion(work, there)
    others = [name for name in names if name != champion]
    challenger = arguments.challenger or (others[0] if len(others) == 1 else champion)
    if challenger == champion:
        raise DeployError(f"Say --challenger, one of: {', '.join(others)}.", 2)
    return champion, challenger


def _evidence(
    arguments: argparse.Namespace, work: Work, pair: tuple[str, str], rules: Rules
) -> Evidence:
    now = this_moment()
    endpoint = work.sagemaker.describe_endpoint(EndpointName=work.endpoint)
    since = endpoint["LastModifiedTime"]
    window = Window(moment(arguments.since, "--since", now) if arguments.since else since, now)
    seen = evidence.traffic(work.cloudwatch, work.endpoint, pair, window, arguments.settle)
    if rules.metric == "errors":
        return seen
    options = (arguments.field, arguments.threshold, arguments.loss_max)
    score = scoring.scorer(rules.metric, work.problem, *options)
    root, s3 = destination(endpoint), settings.s3(work.place)
    try:
        scored = evidence.labelled(s3, root, pair, window, arguments.ground_truth, score)
    except CaptureError as error:
        raise DeployError(f"{root}: {error}") from error
    counted = evidence.losses_of if rules.metric == "loss" else evidence.blocks_of
    times, labelled = counted(scored, now.timestamp() - arguments.settle)
    return replace(seen, label_times=times, labelled=labelled)


def _act(work: Work, pair: tuple[str, str], verdict: Verdict) -> str:
    """Let the one that deserves it serve alone; what was done, in words."""
    if verdict.answer == "hold":
        return "Nothing changed: there is nothing to do yet."
    name = dict(zip(("champion", "challenger"), pair, strict=True))[STAYS[verdict.answer]]
    there = champion_variant.in_service(work)
    chosen = champion_variant.named(there, name)
    champion_variant.alone(work, there, chosen, name)
    return f"Endpoint {work.endpoint}: variant {name}, version {chosen['version']}, serves alone."


def this_moment() -> datetime:
    return datetime.now(UTC)


def _next(verdict: Verdict) -> str:
    acts = verdict.answer in STAYS
    return "To do it: the same command with --act." if acts else "Look again whenever you like."


def _document(name: str, pair: tuple[str, str], verdict: Verdict) -> dict[str, Any]:
    return {
        "endpoint": name,
        "champion": pair[0],
        "challenger": pair[1],
        "answer": verdict.answer,
        "why": list(verdict.why),
        "metric": verdict.rules.metric,
        "aim": verdict.rules.aim,
        "alpha": verdict.rules.alpha,
        "promotion": verdict.promotion.document,
        "harms": [each.document for each in verdict.harms],
    }


if __name__ == "__main__":
    sys.exit(main())
