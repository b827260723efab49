"""What is watched of an endpoint: its alarms and its dashboard, as documents. No calls here.

Latencies are in microseconds, as SageMaker publishes them; errors are a share of the invocations.
SageMaker publishes no count of throttled requests of an endpoint with instances (a 4XX alarm sees
what the model refused); of a serverless one it publishes how much of its concurrency is used, past
which requests are throttled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

NAMESPACE = "AWS/SageMaker"
INSTANCES = "/aws/sagemaker/Endpoints"
DRIFT = "aws/sagemaker/Endpoints/data-metrics"
DRIFT_METRIC = "feature_baseline_drift_"
CUSTOM = "MLInference"
# Metrics that a program of the user publishes -> the statistic that says most of each.
CUSTOM_STATISTICS = {
    "InferenceLatency": "p99",
    "PredictionConfidence": "Average",
    "FeatureDrift": "Maximum",
}
MILLISECOND = 1000.0  # microseconds
PERIOD, DRIFT_PERIOD = 60, 3600
WIDTH, HEIGHT, COLUMNS = 12, 6, 2
CONCURRENCY = "ServerlessConcurrentExecutionsUtilization"

Document = dict[str, Any]


@dataclass(frozen=True)
class Limits:
    """Beyond which something is wrong."""

    p50_ms: float
    p99_ms: float
    error_percent: float
    client_errors: int
    drift: float
    concurrency_percent: float = 90.0


@dataclass(frozen=True)
class Watched:
    """An endpoint, and what there is to watch of it."""

    endpoint: str
    region: str
    variants: list[str]
    serverless: bool
    expressions: bool
    topic: str
    drift: list[Document]
    custom: list[Document]


def owner(endpoint: str) -> str:
    """How the description of each of an endpoint's alarms begins: so they are found again."""
    return f"deploy.dashboard of endpoint {endpoint}: "


def alarms(watched: Watched, limits: Limits) -> list[Document]:
    """PutMetricAlarm requests: of every variant, then of every feature that is compared."""
    found = [each for name in watched.variants for each in _of_variant(watched, limits, name)]
    return found + [_drift(watched, limits, metric) for metric in watched.drift]


def _of_variant(watched: Watched, limits: Limits, variant: str) -> Iterator[Document]:
    for name, limit in (("p50", limits.p50_ms), ("p99", limits.p99_ms)):
        yield _alarm(
            watched,
            f"{variant}-latency-{name}",
            f"{name} of ModelLatency of variant {variant} is above {limit:g} ms",
            MetricName="ModelLatency",
            ExtendedStatistic=name,
            Threshold=limit * MILLISECOND,
            Dimensions=_dimensions(watched, variant),
        )
    yield _error_rate(watched, limits, variant)
    yield _alarm(
        watched,
        f"{variant}-4xx",
        f"variant {variant} refuses more than {limits.client_errors} requests a minute",
        MetricName="Invocation4XXErrors",
        Statistic="Sum",
        Threshold=float(limits.client_errors),
        Dimensions=_dimensions(watched, variant),
        EvaluationPeriods=1,
    )
    if watched.serverless:
        yield _alarm(
            watched,
            f"{variant}-throttling",
            f"variant {variant} uses {limits.concurrency_percent:g} % of its concurrency, past "
            "which requests are throttled",
            MetricName=CONCURRENCY,
            Statistic="Maximum",
            Threshold=limits.concurrency_percent / 100,
            Dimensions=_dimensions(watched, variant),
        )


def _error_rate(watched: Watched, limits: Limits, variant: str) -> Document:
    """errors / invocations by metric math; where that is not had, the average of the 0 or 1 that
    every request publishes, which is the same number.
    """
    name = f"{variant}-error-rate"
    told = f"variant {variant} fails more than {limits.error_percent:g} % of its requests"
    if watched.expressions:
        queries = error_rate_queries(watched.endpoint, variant)
        return _alarm(watched, name, told, Metrics=queries, Threshold=limits.error_percent)
    return _alarm(
        watched,
        name,
        told,
        MetricName="Invocation5XXErrors",
        Statistic="Average",
        Threshold=limits.error_percent / 100,
        Dimensions=_dimensions(watched, variant),
    )


def error_rate_queries(endpoint: str, variant: str) -> list[Document]:
    """Metric math: the failed requests in percent."""
    dimensions = _named(EndpointName=endpoint, VariantName=variant)
    sums = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {
                    "Namespace": NAMESPACE,
                    "MetricName": metric,
                    "Dimensions": dimensions,
                },
                "Period": PERIOD,
                "Stat": "Sum",
            },
            "ReturnData": False,
        }
        for name, metric in (("errors", "Invocation5XXErrors"), ("invocations", "Invocations"))
    ]
    rate = {"Id": "rate", "Expression": "100 * errors / invocations", "Label": "failed, percent"}
    return [{**rate, "ReturnData": True}, *sums]


def _drift(watched: Watched, limits: Limits, metric: Document) -> Document:
    feature = metric["MetricName"].removeprefix(DRIFT_METRIC)
    return _alarm(
        watched,
        f"drift-{feature}",
        f"feature {feature} is {limits.drift:g} away from its baseline",
        Namespace=DRIFT,
        MetricName=metric["MetricName"],
        Dimensions=metric["Dimensions"],
        Statistic="Average",
        Threshold=limits.drift,
        Period=DRIFT_PERIOD,
        EvaluationPeriods=1,
    )


def _alarm(watched: Watched, name: str, description: str, **members: Any) -> Document:
    """Two minutes in a row above the threshold; no requests are no alarm."""
    plain = {"Namespace": NAMESPACE, "Period": PERIOD} if "Metrics" not in members else {}
    return {
        "AlarmName": f"{watched.endpoint}-{name}",
        "AlarmDescription": owner(watched.endpoint) + description,
        "ActionsEnabled": True,
        "AlarmActions": [watched.topic],
        "OKActions": [watched.topic],
        "EvaluationPeriods": 2,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        **plain,
        **members,
    }


def dashboard(watched: Watched, limits: Limits, alarm_arns: list[str]) -> Document:
    """The dashboard's body: widgets two in a row."""
    widgets = [
        {"type": "alarm", "properties": {"title": "Alarms", "alarms": alarm_arns}},
        *(_metric_widget(watched, **each) for each in _graphs(watched, limits)),
    ]
    for place, widget in enumerate(widgets):
        row, column = divmod(place, COLUMNS)
        widget |= {"x": column * WIDTH, "y": row * HEIGHT, "width": WIDTH, "height": HEIGHT}
    return {"widgets": widgets}


def _graphs(watched: Watched, limits: Limits) -> Iterator[Document]:
    yield {
        "title": "Model latency, microseconds",
        "metrics": _lines(watched, NAMESPACE, {"ModelLatency": ("p50", "p99")}),
        "limits": {"p50": limits.p50_ms * MILLISECOND, "p99": limits.p99_ms * MILLISECOND},
    }
    yield {
        "title": "Overhead latency, microseconds",
        "metrics": _lines(watched, NAMESPACE, {"OverheadLatency": ("p50", "p99")}),
    }
    yield {
        "title": "Invocations by variant",
        "metrics": _lines(watched, NAMESPACE, {"Invocations": ("Sum",)}),
    }
    yield _error_graph(watched, limits)
    yield {
        "title": "4XX and 5XX errors by variant",
        "metrics": _lines(
            watched, NAMESPACE, {"Invocation4XXErrors": ("Sum",), "Invocation5XXErrors": ("Sum",)}
        ),
    }
    if watched.serverless:
        yield {
            "title": "Concurrency used; above 1 requests are throttled",
            "metrics": _lines(watched, NAMESPACE, {CONCURRENCY: ("Maximum",)}),
        }
    else:
        used = {"CPUUtilization": ("Average",), "MemoryUtilization": ("Average",)}
        yield {"title": "CPU and memory, percent", "metrics": _lines(watched, INSTANCES, used)}
    if watched.drift:
        yield {
            "title": "Drift of the features from their baselines",
            "metrics": [_line(DRIFT, each, "Average") for each in watched.drift],
            "period": DRIFT_PERIOD,
            "limits": {"drift": limits.drift},
        }
    for name in sorted({each["MetricName"] for each in watched.custom}):
        yield {
            "title": f"{CUSTOM} {name}",
            "metrics": [
                _line(CUSTOM, each, CUSTOM_STATISTICS.get(name, "Average"))
                for each in watched.custom
                if each["MetricName"] == name
            ],
        }


def _error_graph(watched: Watched, limits: Limits) -> Document:
    if not watched.expressions:
        return {
            "title": "Failed requests, share",
            "metrics": _lines(watched, NAMESPACE, {"Invocation5XXErrors": ("Average",)}),
            "limits": {"errors": limits.error_percent / 100},
        }
    lines: list[list[Any]] = []
    for number, variant in enumerate(watched.variants):
        names = f"e{number}", f"n{number}"
        expression = f"100 * {names[0]} / {names[1]}"
        lines.append([{"expression": expression, "label": variant, "id": f"r{number}"}])
        for name, metric in zip(names, ("Invocation5XXErrors", "Invocations"), strict=True):
            shown = {"id": name, "stat": "Sum", "visible": False}
            lines.append([NAMESPACE, metric, *_pairs(_dimensions(watched, variant)), shown])
    return {
        "title": "Failed requests, percent",
        "metrics": lines,
        "limits": {"errors": limits.error_percent},
    }


def _metric_widget(
    watched: Watched,
    title: str,
    metrics: list[Any],
    limits: dict[str, float] | None = None,
    period: int = PERIOD,
) -> Document:
    properties: Document = {
        "title": title,
        "region": watched.region,
        "view": "timeSeries",
        "period": period,
        "metrics": metrics,
    }
    if limits:
        lines = [{"label": f"{name} alarm", "value": value} for name, value in limits.items()]
        properties["annotations"] = {"horizontal": lines}
    return {"type": "metric", "properties": properties}


def _lines(watched: Watched, namespace: str, wanted: Mapping[str, tuple[str, ...]]) -> list[Any]:
    """Every metric and statistic of every variant."""
    return [
        _line(namespace, {"MetricName": metric, "Dimensions": _dimensions(watched, variant)}, stat)
        for variant in watched.variants
        for metric, statistics in wanted.items()
        for stat in statistics
    ]


def _line(namespace: str, metric: Document, statistic: str) -> list[Any]:
    shown = {"stat": statistic}
    return [namespace, metric["MetricName"], *_pairs(metric["Dimensions"]), shown]


def _pairs(dimensions: list[dict[str, str]]) -> list[str]:
    return [word for each in dimensions for word in (each["Name"], each["Value"])]


def _dimensions(watched: Watched, variant: str) -> list[dict[str, str]]:
    return _named(EndpointName=watched.endpoint, VariantName=variant)


def _named(**words: str) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in words.items()]
