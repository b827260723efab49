"""Reading the values of a component's metric: one figure for each stretch of time, or each step.

The x axis of time is in seconds since 1970, as are Start and End; both ends count.
"""

from __future__ import annotations

from local_sagemaker.engine import job_components, metrics, trial_components
from local_sagemaker.plane import Plane
from local_sagemaker.store import Point, Row

PERIODS = {"OneMinute": 60, "FiveMinute": 300, "OneHour": 3600}
STEPS = "IterationNumber"


def answer(plane: Plane, query: Row) -> Row:
    """One MetricQueryResult; what is wrong with a query is said in it."""
    component = _component(plane, query["ResourceArn"])
    if component is None:
        return _fault(f"ResourceArn {query['ResourceArn']} is no trial component, and no job here")
    if (query["Period"] == STEPS) != (query["XAxisType"] == STEPS):
        return _fault(f"Period {STEPS} goes with XAxisType {STEPS}, and no other")
    name = component["TrialComponentName"]
    points = [
        point
        for point in plane.store.points(name).get(name.lower(), ())
        if point[0] == query["MetricName"]
    ]
    if not points and any(m["MetricName"] == query["MetricName"] for m in component["Metrics"]):
        return _fault(
            f"the single values of {query['MetricName']!r}, a metric of the job's log, are not "
            "kept; DescribeTrialComponent has its figures"
        )
    return _figures(query, points)


def _component(plane: Plane, arn: str) -> Row | None:
    kind = arn.split(":", 5)[5].partition("/")[0]
    if kind in job_components.JOBS:
        return trial_components.get(plane, job_components.component_name(kind, arn))
    return trial_components.get(plane, arn) if kind == trial_components.KIND else None


def _figures(query: Row, points: list[Point]) -> Row:
    stretches: dict[int, metrics.Summary] = {}
    for _, step, time, value in points:
        place = step if query["Period"] == STEPS else int(time)
        if place is None or not query.get("Start", place) <= place <= query.get("End", place):
            continue
        place -= place % PERIODS.get(query["Period"], 1)
        stretches.setdefault(place, metrics.Summary()).add(value)
    shown = {
        place: float(stretches[place].members("", 0.0)[query["MetricStat"]])
        for place in sorted(stretches)
    }
    return {
        "Status": "Complete",
        "XAxisValues": list(shown),
        "MetricValues": list(shown.values()),
    }


def _fault(message: str) -> Row:
    return {
        "Status": "ValidationError",
        "Message": message,
        "XAxisValues": [],
        "MetricValues": [],
    }
