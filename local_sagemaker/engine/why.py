"""Why a step of an execution ran or was reused: one line, from what was recorded when it started.

`executor.py` keeps each step's cache key in parts (cache.py) and, when a kept result with that very
key could not be used, why. Nothing is looked up anew: what S3 holds today says nothing about then.
Reads the store only, so it answers whether the server is up or not.
"""

from typing import Any

from local_sagemaker.engine import pipeline_rows
from local_sagemaker.engine.definition import Step
from local_sagemaker.engine.pipeline_rows import Stored
from local_sagemaker.store import Row

MOST_NAMED = 3


def explain(stored: Stored, execution: Row, step: Step) -> dict[str, Any]:
    """`Text` for people; `Reason`, one word or two, `SourcePipelineExecutionArn` and `Changed` for
    machines.
    """
    result = pipeline_rows.step_result(execution, step.name)
    reason, text, source, changed = _reason(stored, execution, step, result)
    return {
        "PipelineExecutionArn": execution["PipelineExecutionArn"],
        "StepName": step.name,
        "StepStatus": result.get("StepStatus"),
        "Reason": reason,
        "SourcePipelineExecutionArn": source,
        "Changed": changed,
        "Text": f"{step.name} {text}",
    }


Reason = tuple[str, str, str | None, list[str]]  # word, sentence, other execution, changed parts


def _reason(stored: Stored, execution: Row, step: Step, result: Row) -> Reason:
    for member, why in (
        ("CacheHitResult", "nothing in its cache key has changed"),
        ("SelectiveExecutionResult", "it is not among the SelectedSteps"),
    ):
        if member in result:
            source = result[member]["SourcePipelineExecutionArn"]
            return "Reused", f"was reused from execution {_id(source)}: {why}", source, []
    if not result:
        return "DidNotRun", "did not run in this execution", None, []
    if step.type.cache is None:
        return "NotCacheable", f"ran: a {step.type.name} step is never reused", None, []
    if step.expire_after is None:
        return "CachingOff", "ran: caching is off (its CacheConfig is not enabled)", None, []
    if "CacheMiss" in result:
        miss = result["CacheMiss"]
        source = miss.get("PipelineExecutionArn")
        of = f"the result of execution {_id(source)} could not be used: " if source else ""
        return "Unusable", f"ran again: {of}{miss['Reason']}", source, []
    if "CacheKey" not in result:
        return "NoKey", "ended before its cache key was made; see its FailureReason", None, []
    return _changed(stored, execution, step, result)


def _changed(stored: Stored, execution: Row, step: Step, result: Row) -> Reason:
    """Against the newest success of the step that ended before this one began."""
    earlier = [
        (each["Steps"][step.name], each["PipelineExecutionArn"])
        for each in pipeline_rows.executions_of(stored, execution)
        if _was_kept(each["Steps"].get(step.name, {}), result["StartTime"])
        and each["PipelineExecutionArn"] != execution["PipelineExecutionArn"]
    ]
    if not earlier:
        return "NoEarlierSuccess", "ran: no earlier success of it was kept for reuse", None, []
    before, source = max(earlier, key=lambda pair: pair[0]["EndTime"])
    changed = _differences(before["CacheKey"], result["CacheKey"])
    since = f"since execution {_id(source)}"
    if not changed:
        text = f"ran again: nothing has changed {since}, but no result of it was kept"
        return "NotKept", text, source, []
    return "Changed", f"ran again: {_listed(changed)} changed {since}", source, changed


def _was_kept(result: Row, before: float) -> bool:
    succeeded = result.get("StepStatus") == "Succeeded" and "CacheKey" in result
    return succeeded and result["EndTime"] <= before


def _differences(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """The parts with another value. One that came or went only follows from its attribute."""
    both = [part for part in now if part in before and before[part] != now[part]]
    return both or sorted(before.keys() ^ now.keys())


def _listed(parts: list[str]) -> str:
    shown = parts[:MOST_NAMED]
    more = [f"{len(parts) - MOST_NAMED} more"] if len(parts) > MOST_NAMED else []
    *most, last = [*shown, *more]
    return f"{', '.join(most)} and {last}" if most else last


def _id(arn: str) -> str:
    return arn.rpartition("/")[2]
