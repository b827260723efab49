"""Scaling activities (Application Auto Scaling): describe. Who writes them is
engine/scaling_activities.py.
"""

from __future__ import annotations

from typing import Any

from local_sagemaker import wire
from local_sagemaker.engine import scalable
from local_sagemaker.engine.scalable import ONLY
from local_sagemaker.engine.scaling_activities import KIND
from local_sagemaker.operations import operation
from local_sagemaker.plane import Plane


@operation(
    "DescribeScalingActivities",
    ("ResourceId", "MaxResults", "NextToken"),
    only={**ONLY, "IncludeNotScaledActivities": (False,)},
    service=wire.AUTOSCALING,
)
def describe_scaling_activities(plane: Plane, request: dict[str, Any]) -> dict[str, Any]:
    rows, token = scalable.page(plane, KIND, request, "ActivityId", "")
    return {"ScalingActivities": rows, "NextToken": token}
