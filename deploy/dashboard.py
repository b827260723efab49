"""`python -m deploy.dashboard apply | show | remove`: what is seen of an endpoint, and who is told.

    endpoint's variants, drift and custom metrics -> alarms -> SNS topic -> e-mail
                                                  -> dashboard

Applying again changes what differs, and takes away alarms of variants that are gone. The alarms'
names are printed: give them to an update as those that roll it back. What they watch is in
deploy/watch.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from deploy import commands, rules, served, watch
from deploy.commands import Answer, DeployError
from deploy.requests import Requests
from deploy.watch import Limits, Watched
from pipelines import settings
from pipelines.settings import Settings

ABSENT = ("ResourceNotFound", "DashboardNotFoundError", "NotFound", "NotFoundException")
# Limit -> its default, and what it is.
LIMITS: dict[str, tuple[float, str]] = {
    "p50-ms": (500.0, "median latency of the model, in milliseconds"),
    "p99-ms": (2000.0, "99th percentile of it, in milliseconds"),
    "error-percent": (5.0, "failed requests, in percent"),
    "client-errors": (50, "4XX answers in a minute"),
    "drift": (0.1, "distance of a feature from its baseline"),
}
MOST_ALARMS = 100  # a DeleteAlarms or DescribeAlarms call

Row = tuple[str, str, str]


@dataclass(frozen=True)
class Work:
    """One endpoint at one place, and what is asked of AWS for it."""

    place: Settings
    endpoint: str
    requests: Requests

    @cached_property
    def cloudwatch(self) -> Any:
        return settings.client(self.place, "cloudwatch")

    @cached_property
    def sns(self) -> Any:
        return settings.client(self.place, "sns")

    @cached_property
    def prefix(self) -> tuple[str, str]:
        """Partition and account."""
        caller = settings.client(self.place, "sts").get_caller_identity()
        return caller["Arn"].split(":")[1], caller["Account"]

    @property
    def topic(self) -> str:
        return self.arn("sns", f"{self.endpoint}-alerts")

    def arn(self, service: str, resource: str) -> str:
        partition, account = self.prefix
        return f"arn:{partition}:{service}:{self.place.region}:{account}:{resource}"


def main(argv: list[str] | None = None) -> int:
    top = commands.parser(
        "deploy.dashboard", "Dashboard and alarms of an endpoint.", "apply --email me@example.com"
    )
    subs = top.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("apply", apply, "make alarms, topic and dashboard, or bring them up to date"),
        ("show", show, "the alarms with their states"),
        ("remove", remove, "take alarms, topic and dashboard away"),
    ):
        sub = subs.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(command=command)
        commands.add_shared_options(sub)
        sub.add_argument("--name", metavar="ENDPOINT", help="default: the problem's endpoint")
        if name != "show":
            sub.add_argument("--dry-run", action="store_true", help="say it, do not do it")
        if name == "apply":
            sub.add_argument(
                "--email", action="append", default=[], metavar="ADDRESS", help="is told of alarms"
            )
            for limit, (value, told) in LIMITS.items():
                about = f"alarm above: {told} (default {value:g})"
                sub.add_argument(f"--{limit}", type=type(value), default=value, help=about)
    return commands.run(top.parse_args(argv))


def apply(arguments: argparse.Namespace) -> Answer:
    work = _work(arguments)
    names = [limit.replace("-", "_") for limit in LIMITS]
    limits = Limits(**{name: getattr(arguments, name) for name in names})
    watched = _watched(work)
    wanted = watch.alarms(watched, limits)
    _check(wanted)
    rows = [*_topic(work, arguments.email), *_alarms(work, watched, wanted)]
    names = [each["AlarmName"] for each in wanted]
    body = watch.dashboard(watched, limits, [work.arn("cloudwatch", f"alarm:{n}") for n in names])
    rows += _dashboard(work, body)
    told = (
        ""
        if watched.expressions
        else "\nThis CloudWatch has no metric math: the error rate is the Average of "
        "Invocation5XXErrors, which is the same number."
    )
    document = {"alarms": names, "topic": work.topic, "metric_math": watched.expressions}
    return _done(work, rows, f"{told}\nFor rollbacks: {' '.join(names)}", document)


def show(arguments: argparse.Namespace) -> Answer:
    work = _work(arguments)
    found = _ours(work)
    rows = [
        (
            each["AlarmName"],
            each.get("MetricName") or "metric math",
            f"{each['Threshold']:g}",
            each["StateValue"],
        )
        for each in found
    ]
    there = _found(work.cloudwatch.get_dashboard, DashboardName=work.endpoint) is not None
    emails = sorted(_subscribed(work))
    text = commands.table(("Alarm", "Metric", "Above", "State"), rows)
    return Answer(
        f"Endpoint {work.endpoint}: {'a' if there else 'no'} dashboard; told by e-mail: "
        f"{', '.join(emails) or 'nobody'}\n{text}",
        {
            "endpoint": work.endpoint,
            "dashboard": there,
            "emails": emails,
            "alarms": [
                {"name": name, "metric": metric, "threshold": float(above), "state": state}
                for name, metric, above, state in rows
            ],
        },
    )


def remove(arguments: argparse.Namespace) -> Answer:
    work = _work(arguments)
    rows: list[Row] = list(_without(work, [each["AlarmName"] for each in _ours(work)]))
    if _found(work.cloudwatch.get_dashboard, DashboardName=work.endpoint):
        names = [work.endpoint]
        work.requests.send(work.cloudwatch, "delete_dashboards", DashboardNames=names)
        rows.append(("dashboard", work.endpoint, "removed"))
    if _found(work.sns.get_topic_attributes, TopicArn=work.topic):
        work.requests.send(work.sns, "delete_topic", TopicArn=work.topic)
        rows.append(("topic", work.topic, "removed"))
    return _done(work, rows, "" if rows else "\nNothing was there.", {})


def _work(arguments: argparse.Namespace) -> Work:
    name = arguments.name or commands.problem(arguments).deploy.endpoint
    dry_run = getattr(arguments, "dry_run", False)
    return Work(commands.place(arguments), name, Requests(dry_run))


def _watched(work: Work) -> Watched:
    there = served.served(settings.sagemaker(work.place), work.endpoint)
    if there is None:
        raise DeployError(
            f"There is no endpoint {work.endpoint}; first `python -m deploy.endpoint deploy`."
        )
    variants = [each["VariantName"] for each in there["variants"]]
    dimensions = [{"Name": "Endpoint", "Value": work.endpoint}]
    drift = _metrics(work, Namespace=watch.DRIFT, Dimensions=dimensions)
    return Watched(
        endpoint=work.endpoint,
        region=work.place.region,
        variants=variants,
        serverless=any("ServerlessConfig" in each for each in there["variants"]),
        expressions=_has_expressions(work, variants[0]),
        topic=work.topic,
        drift=[m for m in drift if m["MetricName"].startswith(watch.DRIFT_METRIC)],
        custom=_metrics(work, Namespace=watch.CUSTOM),
    )


def _metrics(work: Work, **named: Any) -> list[dict[str, Any]]:
    """The metrics that there are, in an order that stays."""
    pages = work.cloudwatch.get_paginator("list_metrics").paginate(**named)
    found = [metric for page in pages for metric in page.get("Metrics", ())]
    return sorted(found, key=lambda each: json.dumps(each, sort_keys=True))


def _has_expressions(work: Work, variant: str) -> bool:
    """Whether this CloudWatch computes the very expression that the alarm would need."""
    now = datetime.now(UTC)
    queries = watch.error_rate_queries(work.endpoint, variant)
    found = work.cloudwatch.get_metric_data(
        MetricDataQueries=queries, StartTime=now - timedelta(minutes=5), EndTime=now
    )
    return not any(
        each["StatusCode"] == "InternalError" and "xpression" in message.get("Value", "")
        for each in found["MetricDataResults"]
        for message in each.get("Messages", ())
    )


def _check(wanted: list[dict[str, Any]]) -> None:
    """Alarms that AWS takes, but that could never ring, are not made."""
    made = [rules.Request("cloudwatch", "put_metric_alarm", each) for each in wanted]
    wrong = [
        f"{each.parameters['AlarmName']}: {broken.text}"
        for place, each in enumerate(made)
        for broken in rules.broken(made[: place + 1])
    ]
    if wrong:
        raise DeployError("; ".join(wrong), 2)


def _topic(work: Work, emails: list[str]) -> Iterator[Row]:
    there = _found(work.sns.get_topic_attributes, TopicArn=work.topic)
    name = work.topic.rpartition(":")[2]
    if there is None:
        work.requests.send(work.sns, "create_topic", Name=name)
    yield "topic", name, "unchanged" if there else "created"
    known = _subscribed(work) if there else set()
    for email in emails:
        if email not in known:
            work.requests.send(
                work.sns, "subscribe", TopicArn=work.topic, Protocol="email", Endpoint=email
            )
        yield "e-mail", email, "unchanged" if email in known else "asked to confirm"


def _alarms(work: Work, watched: Watched, wanted: list[dict[str, Any]]) -> Iterator[Row]:
    there = {each["AlarmName"]: each for each in _ours(work)}
    for alarm in wanted:
        name = alarm["AlarmName"]
        before = there.pop(name, None)
        same = before is not None and all(
            before.get(member) == value for member, value in alarm.items()
        )
        if not same:
            work.requests.send(work.cloudwatch, "put_metric_alarm", **alarm)
        yield "alarm", name, "unchanged" if same else "updated" if before else "created"
    yield from _without(work, list(there))


def _without(work: Work, names: list[str]) -> Iterator[Row]:
    for first in range(0, len(names), MOST_ALARMS):
        some = names[first : first + MOST_ALARMS]
        work.requests.send(work.cloudwatch, "delete_alarms", AlarmNames=some)
        yield from (("alarm", name, "removed") for name in some)


def _dashboard(work: Work, body: dict[str, Any]) -> Iterator[Row]:
    there = _found(work.cloudwatch.get_dashboard, DashboardName=work.endpoint)
    same = there is not None and json.loads(there["DashboardBody"]) == body
    if not same:
        text = json.dumps(body, sort_keys=True)
        work.requests.send(
            work.cloudwatch, "put_dashboard", DashboardName=work.endpoint, DashboardBody=text
        )
    yield "dashboard", work.endpoint, "unchanged" if same else "updated" if there else "created"


def _ours(work: Work) -> list[dict[str, Any]]:
    """The alarms that this command made for this endpoint."""
    owner = watch.owner(work.endpoint)
    pages = work.cloudwatch.get_paginator("describe_alarms").paginate(
        AlarmNamePrefix=f"{work.endpoint}-", AlarmTypes=["MetricAlarm"]
    )
    found = [alarm for page in pages for alarm in page.get("MetricAlarms", ())]
    return [each for each in found if each.get("AlarmDescription", "").startswith(owner)]


def _subscribed(work: Work) -> set[str]:
    if _found(work.sns.get_topic_attributes, TopicArn=work.topic) is None:
        return set()
    pages = work.sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=work.topic)
    return {each["Endpoint"] for page in pages for each in page["Subscriptions"]}


def _found(read: Callable[..., Any], **named: str) -> dict[str, Any] | None:
    try:
        return dict(read(**named))
    except ClientError as error:
        if error.response["Error"]["Code"] in ABSENT:
            return None
        raise


def _done(work: Work, rows: list[Row], more: str, document: dict[str, Any]) -> Answer:
    parts = [{"kind": kind, "name": name, "change": change} for kind, name, change in rows]
    document = {"endpoint": work.endpoint, "parts": parts, **document}
    text = f"Endpoint {work.endpoint}\n{commands.table(('What', 'Name', 'Change'), rows)}{more}"
    if work.requests.dry_run:
        document |= {"dry_run": True, "requests": work.requests.documents}
        text = f"Would do this. {text}\n{work.requests.text()}"
    return Answer(text, document)


if __name__ == "__main__":
    sys.exit(main())
