"""The table of check types: what each one writes, and where the registry keeps its baseline.

Also how the members of a check step are read; what a check does is checks.py's.
"""

from dataclasses import dataclass
from typing import Any

from local_sagemaker.engine.expressions import expression

BOOLEANS = {"SkipCheck": False, "RegisterNewBaseline": False, "FailOnViolation": True}
_TEXTS = {"true": True, "false": False}
MODEL = "ModelName"
_MEMBERS = ("CheckType", "ModelPackageGroupName", *BOOLEANS)


@dataclass(frozen=True)
class CheckType:
    """`files`: baseline -> file of the job's output. `members`: baseline -> member of `baselines`,
    which is a part of a model package's DriftCheckBaselines.
    """

    name: str
    step_type: str
    files: dict[str, str]
    baselines: str
    members: dict[str, str]
    asks_a_model: bool = False  # the step's ModelName is the model it asks


_QUALITY = {"Constraints": "constraints.json", "Statistics": "statistics.json"}
_CLARIFY = {"Constraints": "analysis.json"}
_BOTH = {"Constraints": "Constraints", "Statistics": "Statistics"}

CHECK_TYPES: dict[str, CheckType] = {
    each.name: each
    for each in (
        CheckType("DATA_QUALITY", "QualityCheck", _QUALITY, "ModelDataQuality", _BOTH),
        CheckType("MODEL_QUALITY", "QualityCheck", _QUALITY, "ModelQuality", _BOTH),
        CheckType(
            "DATA_BIAS", "ClarifyCheck", _CLARIFY, "Bias", {"Constraints": "PreTrainingConstraints"}
        ),
        CheckType(
            "MODEL_BIAS",
            "ClarifyCheck",
            _CLARIFY,
            "Bias",
            {"Constraints": "PostTrainingConstraints"},
            asks_a_model=True,
        ),
        CheckType(
            "MODEL_EXPLAINABILITY",
            "ClarifyCheck",
            _CLARIFY,
            "Explainability",
            {"Constraints": "Constraints"},
            asks_a_model=True,
        ),
    )
}


def names_of(step_type: str) -> list[str]:
    """The CheckTypes that a step of this type may have; none when it is no check."""
    return [name for name, check in CHECK_TYPES.items() if check.step_type == step_type]


def members_of(check_type: str) -> tuple[str, ...]:
    """The members of a check's request that are not the job's."""
    check = CHECK_TYPES[check_type]
    supplied = (f"SuppliedBaseline{kind}" for kind in check.files)
    return (*_MEMBERS, *supplied, *([MODEL] if check.asks_a_model else []))


def members_of_step(step_type: str) -> tuple[str, ...]:
    """Those of all its check types."""
    found = [name for each in names_of(step_type) for name in members_of(each)]
    return tuple(dict.fromkeys(found))


def exposed(step_type: str) -> list[str]:
    """The properties that other steps may refer to."""
    kinds = CHECK_TYPES[names_of(step_type)[0]].files
    places = ("CalculatedBaseline", "BaselineUsedForDriftCheck")
    return [f"{place}{kind}" for place in places for kind in kinds]


def check(step_type: str, request: dict[str, Any]) -> None:
    """Raises ValueError unless the members of a check step's request can be meant."""
    allowed = names_of(step_type)
    if request.get("CheckType") not in allowed:
        raise ValueError(
            f"CheckType {request.get('CheckType')!r} is not supported on a step of type "
            f"{step_type}; allowed is {', '.join(allowed)}"
        )
    if request.get(MODEL) is not None and MODEL not in members_of(request["CheckType"]):
        models = [name for name in allowed if CHECK_TYPES[name].asks_a_model]
        raise ValueError(f"{MODEL} is for CheckType {' or '.join(models)}")
    for name in members_of(request["CheckType"]):
        value = request.get(name)
        if value is None or expression(value) is not None:
            continue
        if name in BOOLEANS:
            _boolean(name, value)
        elif not isinstance(value, str):
            raise ValueError(f"{name} must be a text or a reference, not {value!r}")


def is_true(request: dict[str, Any], name: str) -> bool:
    """A boolean member, also when a reference has made a text of it. Raises ValueError."""
    value = request.get(name)
    return BOOLEANS[name] if value is None else _boolean(name, value)


def _boolean(name: str, value: Any) -> bool:
    found = value if isinstance(value, bool) else _TEXTS.get(str(value).lower())
    if found is None:
        raise ValueError(f"{name} must be true or false, not {value!r}")
    return found
