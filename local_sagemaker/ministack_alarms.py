"""Run inside MiniStack's own environment: an alarm looks at the metric of its own dimensions.

MiniStack 1.5.33 evaluates an alarm over all metrics of its name, whatever their dimensions: an
error of one endpoint would set off the alarm of another, and a sum would count every set of
dimensions. Reaches into MiniStack's private functions, so it stands only for the version it was
written for, and is left out, MiniStack unchanged, when anything is not as expected. Imports nothing
of ours.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import types
from typing import Any

VERSION = "1.5.33"


class AlarmsError(Exception):
    """MiniStack is not what this was written for; the message says in what."""


def heed_dimensions() -> None:
    """From now on alarms do. Raises AlarmsError, and then nothing is changed."""
    found = importlib.metadata.version("ministack")
    if found != VERSION:
        raise AlarmsError(f"MiniStack is {found}; alarms are known to work with {VERSION}")
    cloudwatch: Any = importlib.import_module("ministack.services.cloudwatch")
    code = getattr(getattr(cloudwatch, "_evaluate_alarm", None), "__code__", None)
    if code is None or "_metrics" not in code.co_names:
        raise AlarmsError(f"MiniStack {found} evaluates alarms in another way")

    def evaluate(alarm: dict[str, Any]) -> None:
        """As ever, in a world where there is no metric but the alarm's."""
        dimensions = cloudwatch._dims_from_list(alarm.get("Dimensions") or [])
        named = (alarm.get("Namespace"), alarm.get("MetricName"))
        key = (*named, cloudwatch._dims_key(dimensions))
        own = {key: cloudwatch._metrics.get(key) or []}
        types.FunctionType(code, {**vars(cloudwatch), "_metrics": own})(alarm)

    cloudwatch._evaluate_alarm = evaluate
