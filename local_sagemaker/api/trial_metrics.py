"""The metrics API (sagemaker-metrics), rest-json: values of metrics of trial components, put and
read.
"""

from __future__ import annotations

import math

from local_sagemaker import wire
from local_sagemaker.engine import metric_queries, trial_components
from local_sagemaker.plane import Plane
from local_sagemaker.store import Row

METHODS = {"BatchPutMetrics": "PUT", "BatchGetMetrics": "POST"}


def call(plane: Plane, name: str, request: Row) -> Row:
    """Validate, run and shape one operation of METHODS. Raises ApiError."""
    request = wire.validate(name, request, wire.METRICS)
    handler = batch_put_metrics if name == "BatchPutMetrics" else batch_get_metrics
    return wire.project(name, handler(plane, request), service=wire.METRICS)


def batch_put_metrics(plane: Plane, request: Row) -> Row:
    """All values that can be kept are; the others are named by their index."""
    component = trial_components.find(plane, request["TrialComponentName"])
    given = request["MetricData"]
    wrong = [index for index, each in enumerate(given) if not _can_be_kept(each)]
    points = [
        (each["MetricName"], each.get("Step"), each["Timestamp"], each["Value"])
        for index, each in enumerate(given)
        if index not in wrong
    ]
    plane.store.add_points(component["TrialComponentName"], points)
    errors = [{"Code": "VALIDATION_ERROR", "MetricIndex": index} for index in wrong]
    return {"Errors": errors or None}


def batch_get_metrics(plane: Plane, request: Row) -> Row:
    results = [metric_queries.answer(plane, query) for query in request["MetricQueries"]]
    return {"MetricQueryResults": results}


def _can_be_kept(point: Row) -> bool:
    finite = math.isfinite(point["Value"]) and math.isfinite(point["Timestamp"])
    return finite and point.get("Step", 0) < 1 << 63
