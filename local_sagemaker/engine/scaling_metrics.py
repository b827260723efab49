"""What a policy's metric was: its values of the last minutes, one each, None where there was none.

SageMaker's own metrics come from measures.py, at once; every other from the CloudWatch beside us.
"""

from __future__ import annotations

import datetime
import logging
from dataclasses import dataclass
from typing import Any

from local_sagemaker.engine import components, measures, services
from local_sagemaker.engine.scalable import Resource
from local_sagemaker.errors import ApiError
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

log = logging.getLogger(__name__)
MINUTE = 60
READ_SECONDS = 5.0
_VARIANT = "sagemaker:variant:DesiredInstanceCount"
_COMPONENT = "sagemaker:inference-component:DesiredCopyCount"


CONCURRENCY = "ConcurrentRequestsPerModel"


@dataclass(frozen=True)
class Metric:
    """A predefined metric: which dimension has it, and CloudWatch's name and statistic of it."""

    dimension: str
    name: str
    statistic: str


# A minute without requests counts as 0: "if the traffic to a variant becomes zero ... SageMaker
# emits metrics with a value of zero" (AWS's guide). Inference components have theirs in measures
# under their own name in the place of the variant's. The high resolution of 10 s is a minute here.
PREDEFINED = {
    "SageMakerVariantInvocationsPerInstance": Metric(_VARIANT, "InvocationsPerInstance", "Sum"),
    "SageMakerVariantConcurrentRequestsPerModelHighResolution": Metric(
        _VARIANT, CONCURRENCY, "Average"
    ),
    "SageMakerInferenceComponentInvocationsPerCopy": Metric(
        _COMPONENT, "InvocationsPerCopy", "Sum"
    ),
}


def described(it: Resource, config: Row) -> Row:
    """A target tracking policy's metric, as CloudWatch knows it."""
    if "CustomizedMetricSpecification" in config:
        given = config["CustomizedMetricSpecification"]
        return {**given, "Dimensions": given.get("Dimensions", [])}
    metric = PREDEFINED[config["PredefinedMetricSpecification"]["PredefinedMetricType"]]
    if it.kind == components.KIND:
        dimensions = {"InferenceComponentName": it.name}
    else:
        dimensions = {"EndpointName": it.name, "VariantName": it.variant}
    return {
        "Namespace": "AWS/SageMaker",
        "MetricName": metric.name,
        "Statistic": metric.statistic,
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
    }


def points(
    plane: Plane,
    it: Resource,
    behind: Row,
    config: Row,
    known_since: float,
    until: float,
    count: int,
) -> list[float | None]:
    """The policy's metric in the `count` minutes before `until`. What SageMaker measures is known
    `since` its server runs, and a minute in which nothing was is 0 from then on.
    """
    metric = described(it, config)
    starts = [until - MINUTE * back for back in range(count, 0, -1)]
    if "CustomizedMetricSpecification" in config:
        found = cloudwatch(plane, metric, starts[0], until)
        return [found.get(start) for start in starts]
    owner = (behind["EndpointName"], it.name if it.kind == components.KIND else it.variant)
    if metric["MetricName"] == CONCURRENCY:
        found = _concurrency(plane, owner, starts[0], until)
    else:
        buckets = measures.of(plane).minutes(*owner, metric["MetricName"], starts[0], until)
        found = {bucket.start: bucket.total for bucket in buckets}  # their statistic is Sum
    return [found.get(start, 0.0 if start >= known_since else None) for start in starts]


def _concurrency(
    plane: Plane, owner: tuple[str, str], since: float, until: float
) -> dict[float, float]:
    """The requests under way at an instance, on the average of each minute, by Little's law: the
    seconds that the minute's requests took, over its 60, and over the instances there were.
    """
    known = measures.of(plane)

    def totals(metric: str) -> dict[float, float]:
        return {each.start: each.total for each in known.minutes(*owner, metric, since, until)}

    shares, counts = totals("InvocationsPerInstance"), totals("Invocations")
    model, overhead = totals("ModelLatency"), totals("OverheadLatency")  # microseconds
    return {
        start: (model.get(start, 0.0) + overhead.get(start, 0.0))
        / (MINUTE * 1e6)
        * (shares.get(start, count) / count)
        for start, count in counts.items()
    }


def cloudwatch(plane: Plane, metric: Row, since: float, until: float) -> dict[float, float]:
    """A metric's values by the beginning of their minute; none when CloudWatch does not answer."""
    asked: dict[str, Any] = {
        "Namespace": metric["Namespace"],
        "MetricName": metric["MetricName"],
        "Dimensions": metric["Dimensions"],
        "StartTime": datetime.datetime.fromtimestamp(since, datetime.UTC),
        "EndTime": datetime.datetime.fromtimestamp(until, datetime.UTC),
        "Period": MINUTE,
        "Statistics": [metric["Statistic"]],
    }
    if "Unit" in metric:
        asked["Unit"] = metric["Unit"]
    try:
        with services.refusals(f"metric {metric['Namespace']} {metric['MetricName']}"):
            answer = client(plane).get_metric_statistics(**asked)
    except ApiError as error:
        log.warning("a metric of a scaling policy could not be read: %s", error)
        return {}
    found = {}
    for each in answer["Datapoints"]:
        start = each["Timestamp"].timestamp()
        found[start - start % MINUTE] = float(each[metric["Statistic"]])
    return found


def client(plane: Plane) -> Any:
    """CloudWatch's. Nobody waits long for it: what was not told now is a minute later."""
    return services.client(plane, "cloudwatch", read_timeout=READ_SECONDS, attempts=1)
