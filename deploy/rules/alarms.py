"""Alarms on endpoint metrics that could never fire, or fire at the wrong value."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.rules.rule import Parameters, Plan, rule

NAMESPACE = "AWS/SageMaker"
ALARM = "put_metric_alarm"
# Of an endpoint's variant, with the unit that AWS publishes them in.
METRICS = {
    "Invocations": "None",
    "InvocationsPerInstance": "None",
    "Invocation4XXErrors": "None",
    "Invocation5XXErrors": "None",
    "InvocationModelErrors": "None",
    "ModelLatency": "Microseconds",
    "OverheadLatency": "Microseconds",
    "ModelSetupTime": "Microseconds",
    "ModelLoadingWaitTime": "Microseconds",
    "ModelUnloadingTime": "Microseconds",
    "ModelDownloadingTime": "Microseconds",
    "ModelLoadingTime": "Microseconds",
    "ModelCacheHit": "None",
    "ConcurrentRequestsPerModel": "Count",
    "ServerlessConcurrentExecutionsUtilization": "None",
}
ENDPOINT_METRICS = ("ApproximateBacklogSize", "HasBacklogWithoutCapacity")  # no variant
PER_REQUEST = ("Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors")
SHORTEST_LATENCY = 5_000.0  # microseconds: nobody alarms on a model that answers within 5 ms
NEEDED = {"EndpointName", "VariantName"}


def _is_ours(alarm: Parameters) -> bool:
    name = alarm.get("MetricName", "")
    return alarm.get("Namespace") == NAMESPACE and not name.startswith("Approximate")


@rule(ALARM, refused=False)
def a_metric_that_exists(alarm: Parameters, _: Plan) -> Iterator[str]:
    name = alarm.get("MetricName")
    if _is_ours(alarm) and name not in (*METRICS, *ENDPOINT_METRICS):
        yield f"{NAMESPACE} has no metric {name!r}; of endpoints it has {', '.join(METRICS)}"


@rule(ALARM, refused=False)
def endpoint_and_variant(alarm: Parameters, _: Plan) -> Iterator[str]:
    named = {each["Name"] for each in alarm.get("Dimensions", ())}
    if _is_ours(alarm) and alarm.get("MetricName") in METRICS and not named >= NEEDED:
        missing = " and ".join(sorted(NEEDED - named))
        yield f"{alarm['MetricName']} is published by EndpointName and VariantName: {missing} lacks"


@rule(ALARM, refused=False)
def a_rate_is_at_most_one(alarm: Parameters, _: Plan) -> Iterator[str]:
    """Each request publishes 0 or 1, so the average is the error rate, between 0 and 1."""
    if (
        _is_ours(alarm)
        and alarm.get("MetricName") in PER_REQUEST
        and alarm.get("Statistic") == "Average"
        and alarm.get("Threshold", 0) >= 1
    ):
        yield (
            f"the Average of {alarm['MetricName']} is a rate between 0 and 1; the threshold "
            f"{alarm['Threshold']} is never passed. For 5 % give 0.05, or metric math of "
            "errors/invocations"
        )


@rule(ALARM, refused=False)
def latency_is_in_microseconds(alarm: Parameters, _: Plan) -> Iterator[str]:
    name, threshold = alarm.get("MetricName", ""), alarm.get("Threshold", SHORTEST_LATENCY)
    if _is_ours(alarm) and METRICS.get(name) == "Microseconds" and threshold < SHORTEST_LATENCY:
        yield (
            f"{name} is in microseconds: the threshold {threshold:g} is {threshold / 1000:g} ms; "
            f"for {threshold:g} ms give {threshold * 1000:g}"
        )


@rule(ALARM, refused=False)
def the_unit_that_is_published(alarm: Parameters, _: Plan) -> Iterator[str]:
    """An alarm on another unit than the published one gets no data."""
    name, unit = alarm.get("MetricName", ""), alarm.get("Unit")
    if _is_ours(alarm) and unit and unit != METRICS.get(name, unit):
        yield f"{name} is published in {METRICS[name]}; an alarm in {unit} never gets data"
