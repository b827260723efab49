"""`python -m deploy.experiment`: of two variants that share the traffic, promote or roll back?

    CloudWatch minutes, captured answers + ground truth -> evidence.py -> decision.py -> report
                                                                       -> --act: the weights

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

from deploy import commands, decision, evidence, experiment_page, scoring, served
from deploy.capture_files import Window, destination, moment
from deploy.commands import Answer, DeployError
from deploy.decision import METRICS, Evidence, Rules, Verdict
from deploy.requests import Requests
from pipelines import settings
from pipelines.settings import PROJECT, Settings

SHARES = ("alpha", "min_effect", "margin", "more_errors")
WEIGHTS = {"promote": (0.0, 1.0), "roll back": (1.0, 0.0)}


def main(argv: list[str] | None = None) -> int:
    top = commands.parser("deploy.experiment", "From weights to a decision.", "--act")
    commands.add_shared_options(top)
    top.add_argument("--name", metavar="ENDPOINT", help="default: the problem's endpoint")
    top.add_argument("--champion", metavar="VARIANT", help="default: the heavier of two variants")
    top.add_argument("--challenger", metavar="VARIANT", help="default: the other one")
    top.add_argument("--since", metavar="TIME", help="ISO, or 6h; default: the last change")
    top.add_argument("--settle", type=float, default=120, metavar="SECONDS", help="till news count")
    _add_rules(top)
    _add_truth(top)
    top.add_argument("--report", type=Path, metavar="FILE", help="default below build/")
    top.add_argument("--act", action="store_true", help="promote or roll back by the weights")
    top.add_argument("--dry-run", action="store_true", help="with --act: say it, do not do it")
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
    rules = _rules(arguments)
    problem, place = commands.problem(arguments), commands.place(arguments)
    client, name = settings.sagemaker(place), arguments.name or problem.deploy.endpoint
    endpoint = _endpoint(client, name)
    pair = _pair(arguments, endpoint)
    seen = _evidence(arguments, place, endpoint, pair, rules)
    verdict = decision.decide(seen, rules)
    document = _document(name, pair, verdict)
    requests = Requests(arguments.dry_run)
    done = (
        _act(requests, client, place, endpoint, pair, verdict) if arguments.act else _next(verdict)
    )
    path = arguments.report or PROJECT / "build" / f"experiment-{name}" / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(experiment_page.render(name, pair, seen, verdict), "utf-8")
    shown = {"dry_run": True, "requests": requests.documents} if arguments.dry_run else {}
    head = f"{verdict.answer}: {pair[1]} against {pair[0]} on endpoint {name}"
    lines = [head, *(f"  {line}" for line in verdict.why), done, f"Report: {path}"]
    if arguments.dry_run and requests.made:
        lines.append(requests.text())
    return Answer("\n".join(lines), {**document, "act": done, "report": str(path), **shown})


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


def _endpoint(client: Any, name: str) -> dict[str, Any]:
    if served.served(client, name) is None:
        raise DeployError(f"There is no endpoint {name}; `python -m deploy.endpoint deploy`.")
    return dict(client.describe_endpoint(EndpointName=name))


def _pair(arguments: argparse.Namespace, endpoint: dict[str, Any]) -> tuple[str, str]:
    """Champion and challenger."""
    weights = {
        each["VariantName"]: each["CurrentWeight"] for each in endpoint["ProductionVariants"]
    }
    there = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
    given = (arguments.champion, arguments.challenger)
    for each in given:
        if each is not None and each not in weights:
            raise DeployError(f"There is no variant {each}; there are: {there}.", 2)
    if all(given) and given[0] != given[1]:
        return given
    if any(given) or len(weights) != 2 or len(set(weights.values())) == 1:
        raise DeployError(f"Say --champion and --challenger, two of the variants: {there}.", 2)
    light, heavy = sorted(weights, key=lambda name: weights[name])
    if weights[light] == 0:
        raise DeployError(
            f"All traffic goes to {heavy}: no experiment is running. To judge a past one, give "
            "--champion, --challenger and --since."
        )
    return heavy, light


def _evidence(
    arguments: argparse.Namespace,
    place: Settings,
    endpoint: dict[str, Any],
    pair: tuple[str, str],
    rules: Rules,
) -> Evidence:
    now = datetime.now(UTC)
    since = endpoint["LastModifiedTime"]
    window = Window(moment(arguments.since, "--since", now) if arguments.since else since, now)
    name = endpoint["EndpointName"]
    cloudwatch = settings.client(place, "cloudwatch")
    seen = evidence.traffic(cloudwatch, name, pair, window, arguments.settle)
    if rules.metric == "errors":
        return seen
    score = scoring.scorer(
        rules.metric,
        commands.problem(arguments),
        arguments.field,
        arguments.threshold,
        arguments.loss_max,
    )
    root, truth = destination(endpoint), arguments.ground_truth
    scored = evidence.labelled(settings.client(place, "s3"), root, pair, window, truth, score)
    counted = evidence.losses_of if rules.metric == "loss" else evidence.minutes_of
    times, labelled = counted(scored, now.timestamp() - arguments.settle)
    return replace(seen, label_times=times, labelled=labelled)


def _act(
    requests: Requests,
    client: Any,
    place: Settings,
    endpoint: dict[str, Any],
    pair: tuple[str, str],
    verdict: Verdict,
) -> str:
    """Give all the traffic to the one that deserves it; what was done, in words."""
    if verdict.answer == "hold":
        return "Nothing changed: there is nothing to do yet."
    wanted = dict(zip(pair, WEIGHTS[verdict.answer], strict=True))
    now = {each["VariantName"]: each["CurrentWeight"] for each in endpoint["ProductionVariants"]}
    words = ", ".join(f"{name} {weight:g}" for name, weight in wanted.items())
    if all(bool(now[name]) == bool(weight) for name, weight in wanted.items()):
        return f"Nothing changed: the weights are {words} already."
    name = endpoint["EndpointName"]
    requests.send(
        client,
        "update_endpoint_weights_and_capacities",
        EndpointName=name,
        DesiredWeightsAndCapacities=[
            {"VariantName": each, "DesiredWeight": weight} for each, weight in wanted.items()
        ],
    )
    if requests.dry_run:
        return f"Would set the weights: {words}."
    served.wait(client, name, place.poll_seconds)
    return f"Set the weights: {words}."


def _next(verdict: Verdict) -> str:
    acts = verdict.answer in WEIGHTS
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
