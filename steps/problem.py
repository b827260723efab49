"""The problem spec: config/<name>.yaml -> one frozen Problem, which every other room reads.

    load(path) -> read YAML -> name the columns and models -> check (pydantic) -> Problem
    Problem.to_json() <-> from_json(text)          the form that travels inside the code bundle

Columns, models, metrics, gates, fairness facets and the split are facts of the problem: they live
here alone. Reading the data itself is steps/tables.py, checking it is steps/validate.py. A mistake
in the YAML is one ProblemError that names the file, the key, the value and what is allowed; its
wording is steps/problem_text.py, and how the parts must fit together steps/problem_checks.py.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from steps.problem_checks import check
from steps.problem_text import ProblemError as ProblemError
from steps.problem_text import read_yaml, sentences, shown, unknown

METRICS: dict[str, tuple[str, ...]] = {
    "regression": ("rmse", "mae", "r2"),
    "binary": ("auc", "pr_auc", "f1", "log_loss", "accuracy"),
    "multiclass": ("accuracy", "f1", "log_loss", "ndcg"),
    "anomaly": ("pr_auc", "auc"),
}
BIGGER_IS_BETTER: dict[str, bool] = {
    "rmse": False,
    "mae": False,
    "log_loss": False,
    "r2": True,
    "auc": True,
    "pr_auc": True,
    "f1": True,
    "accuracy": True,
    "ndcg": True,
}
FAIRNESS_LIMITS: dict[str, Literal["min", "max"]] = {
    "demographic_parity_difference": "max",
    "equal_opportunity_difference": "max",
    "disparate_impact": "min",
}
LEAST_ROWS = 50  # below this neither a split nor a metric means anything
FEATURE_KINDS = ("numeric", "categorical", "boolean", "timestamp")
TRUE_WORDS = ("true", "1", "yes", "y", "t")
FALSE_WORDS = ("false", "0", "no", "n", "f")

_KEYS_OF_KIND: dict[str, tuple[str, ...]] = {
    "id": (),
    "numeric": ("min", "max", "null_share"),
    "categorical": ("values", "null_share"),
    "boolean": ("true", "false", "null_share"),
    "timestamp": ("null_share",),
    "ignore": (),
}
_OWNED_PARAMETERS = {
    "n_estimators": "use the model's `rounds`",
    "num_boost_round": "use the model's `rounds`",
    "num_round": "use the model's `rounds`",
    "early_stopping_rounds": "use the model's own key of that name",
    "num_class": "it follows from the values of the target",
    "nthread": "the job decides it from its instance",
    "n_jobs": "the job decides it from its instance",
}

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, lt=1)]
Parameter = bool | int | float | str | list[str]


def _parameter(value: Any) -> Parameter:
    if isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return value
    raise ValueError(f"is {shown(value)}; allowed: true, false, a number, a word, a list of words")


class _Part(BaseModel):
    """A mapping of the spec: frozen, and unknown keys are refused with the nearest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, raw: Any) -> Any:
        for key in raw if isinstance(raw, dict) else ():
            if key not in cls.model_fields:
                raise ValueError(unknown("key", key, cls.model_fields))
        return raw


class Generate(_Part):
    """How many rows steps/generate.py makes when no data is given, and from which seed."""

    rows: Annotated[StrictInt, Field(ge=100)]
    seed: Annotated[StrictInt, Field(ge=0)]


class DataFormat(_Part):
    """How the CSV is written. An empty cell always means missing, whatever `missing` adds."""

    generate: Generate | None = None
    header: StrictBool = True
    separator: Annotated[StrictStr, Field(min_length=1, max_length=1)] = ","
    missing: tuple[StrictStr, ...] = ("",)


class Column(_Part):
    """One column of the file: a boolean has words for true and false, a categorical its values."""

    name: Annotated[StrictStr, Field(min_length=1, pattern=r"^\S(.*\S)?$")]
    kind: Literal["id", "numeric", "categorical", "boolean", "timestamp", "ignore"]
    min: Number | None = None
    max: Number | None = None
    values: tuple[StrictStr, ...] = ()
    true: tuple[StrictStr, ...] = ()
    false: tuple[StrictStr, ...] = ()
    null_share: Share = 0.0

    @model_validator(mode="before")
    @classmethod
    def _fits_kind(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or raw.get("kind") not in _KEYS_OF_KIND:
            return raw
        keys = ("name", "kind", *_KEYS_OF_KIND[raw["kind"]])
        for key in raw:
            if key not in keys:
                raise ValueError(unknown(f"key of a {raw['kind']} column", key, keys))
        if raw["kind"] == "boolean" and not {"true", "false"} & raw.keys():
            return {**raw, "true": list(TRUE_WORDS), "false": list(FALSE_WORDS)}
        return raw

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        if self.kind == "boolean":
            words = [word.lower() for word in (*self.true, *self.false)]
            if not self.true or not self.false or len(set(words)) < len(words):
                raise ValueError("give both `true` and `false`, each a list of words, none in both")
        if doubled := [value for value, n in Counter(self.values).items() if n > 1]:
            raise ValueError(f"values holds {doubled[0]!r} twice")
        return self


class Gate(_Part):
    """The worst value of the metric that may be released: a floor (min) or a ceiling (max)."""

    min: Number | None = None
    max: Number | None = None

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if (self.min is None) == (self.max is None):
            raise ValueError("give exactly one of `min` (bigger is better) and `max` (smaller is)")
        return self

    @property
    def direction(self) -> Literal["min", "max"]:
        return "max" if self.min is None else "min"

    @property
    def threshold(self) -> float:
        return float(getattr(self, self.direction))


class Model(_Part):
    """One model: what it predicts, how it is judged, and how XGBoost trains it."""

    name: Annotated[StrictStr, Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=31)]
    kind: Literal["regression", "binary", "multiclass", "anomaly"]
    target: StrictStr
    metric: StrictStr
    gate: Gate
    rounds: Annotated[StrictInt, Field(ge=1, le=100_000)] = 400
    early_stopping_rounds: Annotated[StrictInt, Field(ge=1)] = 30
    parameters: dict[str, Annotated[Parameter, PlainValidator(_parameter)]] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _judged_rightly(self) -> Self:
        if self.metric not in METRICS[self.kind]:
            raise ValueError(unknown(f"{self.kind} metric", self.metric, METRICS[self.kind]))
        side = "min" if BIGGER_IS_BETTER[self.metric] else "max"
        if self.gate.direction != side:
            better = "bigger" if side == "min" else "smaller"
            raise ValueError(
                f"gate gives `{self.gate.direction}: {self.gate.threshold:g}`, but {self.metric} "
                f"is better when it is {better}; allowed: `{side}`"
            )
        low = -float("inf") if self.metric == "r2" else 0.0
        if (side == "min" and self.gate.threshold > 1) or self.gate.threshold < low:
            bounds = (
                "at most 1" if self.metric == "r2" else "0..1" if side == "min" else "0 or more"
            )
            raise ValueError(
                f"gate is {self.gate.threshold:g}; allowed for {self.metric}: {bounds}"
            )
        for key in self.parameters.keys() & _OWNED_PARAMETERS.keys():
            raise ValueError(f"parameters may not hold `{key}`: {_OWNED_PARAMETERS[key]}")
        return self


class Facet(_Part):
    """Groups of people to compare: the values of a column, or bins of a numeric one.

    bins [30, 50] makes the groups below 30, from 30 to below 50, and from 50 on.
    """

    column: StrictStr
    bins: tuple[Number, ...] = ()

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if any(left >= right for left, right in pairwise(self.bins)):
            raise ValueError(f"bins {list(self.bins)} must rise")
        return self


class Fairness(_Part):
    """Facets to compare, and limits on the differences between their groups."""

    facets: tuple[Facet, ...] = ()
    models: tuple[StrictStr, ...] = ()
    limits: dict[str, Share] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_limits(self) -> Self:
        for key in self.limits:
            if key not in FAIRNESS_LIMITS:
                raise ValueError(unknown("limit", key, FAIRNESS_LIMITS))
        if self.limits and not self.facets:
            raise ValueError("limits need facets: name at least one column to compare")
        return self


class Split(_Part):
    """Shares of all rows; what is left is for training."""

    test: Annotated[Share, Field(gt=0)] = 0.2
    validation: Annotated[Share, Field(gt=0)] = 0.1
    seed: Annotated[StrictInt, Field(ge=0, lt=2**32)] = 7
    stratify: StrictStr | None = None

    @model_validator(mode="after")
    def _leaves_training(self) -> Self:
        if self.test + self.validation >= 1:
            raise ValueError(
                f"test {self.test:g} + validation {self.validation:g} leave nothing to train on; "
                "their sum must stay below 1"
            )
        return self


class Rollout(_Part):
    """How an endpoint is updated. Without a strategy and alarms: all at once, unguarded.

    bake, termination_wait and timeout are seconds: the first after every step, the second before
    the old fleet ends (all at once: as long as bake), the third for the whole update.
    """

    strategy: Literal["all-at-once", "canary", "linear", "rolling"] | None = None
    canary_percent: Annotated[StrictInt, Field(ge=1, le=50)] = 10
    step_percent: Annotated[StrictInt, Field(ge=5, le=50)] = 25
    bake: Annotated[StrictInt, Field(ge=0, le=3600)] = 300
    termination_wait: Annotated[StrictInt, Field(ge=0, le=3600)] | None = None
    timeout: Annotated[StrictInt, Field(ge=600, le=28_800)] | None = None
    alarms: Annotated[tuple[StrictStr, ...], Field(max_length=10)] = ()


class Deploy(_Part):
    """Where a released version goes. `endpoint` defaults to the problem's name."""

    approval: Literal["automatic", "manual"] = "automatic"
    endpoint: Annotated[StrictStr, Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")]
    instance_type: Annotated[StrictStr, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")] = (
        "ml.m5.large"
    )
    rollout: Rollout = Rollout()


class Problem(_Part):
    """The whole spec, checked. Order of columns and models is the order in the file."""

    name: Annotated[StrictStr, Field(pattern=r"^[a-z][a-z0-9-]{1,30}$")]
    description: StrictStr = ""
    data: DataFormat = DataFormat()
    columns: tuple[Column, ...]
    models: tuple[Model, ...]
    fairness: Fairness = Fairness()
    split: Split = Split()
    deploy: Deploy

    @model_validator(mode="before")
    @classmethod
    def _endpoint_from_name(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or not isinstance(raw.get("deploy", {}), dict):
            return raw
        return {**raw, "deploy": {"endpoint": raw.get("name"), **raw.get("deploy", {})}}

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        check(self)
        return self

    def column(self, name: str) -> Column:
        """The column of that name; KeyError when there is none."""
        return {column.name: column for column in self.columns}[name]

    @property
    def targets(self) -> tuple[Column, ...]:
        """Columns that some model predicts, in file order."""
        wanted = {model.target for model in self.models}
        return tuple(column for column in self.columns if column.name in wanted)

    @property
    def features(self) -> tuple[Column, ...]:
        """Columns that go into the models, in file order: no id, target or ignored one."""
        out = {column.name for column in self.targets}
        return tuple(c for c in self.columns if c.kind in FEATURE_KINDS and c.name not in out)

    @property
    def id_column(self) -> Column | None:
        return next((column for column in self.columns if column.kind == "id"), None)

    @property
    def stratify(self) -> str | None:
        """The column whose shares every part of the split keeps; None for regression alone."""
        kinds = ("binary", "anomaly", "multiclass")
        first = next((model.target for model in self.models if model.kind in kinds), None)
        return self.split.stratify or first

    @property
    def fairness_models(self) -> tuple[str, ...]:
        """Names of the models that fairness limits apply to."""
        yes_or_no = tuple(m.name for m in self.models if m.kind in ("binary", "anomaly"))
        return self.fairness.models or yes_or_no

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, defaults left out; equal problems give equal text."""
        body = self.model_dump(mode="json", exclude_defaults=True)
        return json.dumps(body, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def from_json(text: str, source: str = "problem.json") -> Problem:
    """The Problem that to_json wrote; ProblemError naming `source` when it is not one."""
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise ProblemError(f"{source}: not JSON: {error}") from error
    return _checked(raw, source)


def load(path: Path) -> Problem:
    """Read and check a YAML spec; every mistake is one ProblemError."""
    return _checked(read_yaml(path), str(path))


def _checked(raw: Any, source: str) -> Problem:
    try:
        return Problem.model_validate(raw)
    except ValidationError as error:
        lines = sentences(error.errors(include_url=False), raw)
    lead = f"{source}: " if len(lines) == 1 else f"{source}: {len(lines)} mistakes\n  "
    raise ProblemError(lead + "\n  ".join(lines)) from None
