"""The problem spec: what loads, what travels, and what every mistake is told."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steps import problem
from steps.problem import METRICS, Problem, ProblemError, from_json, load

CONFIG = Path(__file__).parents[2] / "config"
SPEC = """\
name: tiny
columns:
  key: {kind: id}
  age: {kind: numeric, min: 0, max: 1e2, null_share: 0.1}
  color: {kind: categorical, values: [red, No, blue]}
  member: {kind: boolean}
  joined: {kind: timestamp}
  note: {kind: ignore}
  left: {kind: boolean, true: [Yes], false: [No]}
  spent: {kind: numeric}
models:
  leaving:
    kind: binary
    target: left
    metric: auc
    gate: {min: 0.7}
    parameters: {max_depth: 4, learning_rate: 5e-2, monotone: [a, b]}
  spending: {kind: regression, target: spent, metric: rmse, gate: {max: 10}}
fairness: {facets: [{column: age, bins: [30, 50]}], limits: {disparate_impact: 0.5}}
"""


def loaded(tmp_path: Path, text: str) -> Problem:
    path = tmp_path / "tiny.yaml"
    path.write_text(text)
    return load(path)


def parsed() -> dict[str, Any]:
    """SPEC as plain data; PyYAML alone would take Yes and No for booleans."""
    raw: dict[str, Any] = yaml.safe_load(re.sub(r"\b(Yes|No)\b", r"'\1'", SPEC))
    return raw


def test_a_spec_tells_features_targets_and_id_apart(tmp_path: Path) -> None:
    spec = loaded(tmp_path, SPEC)
    assert [c.name for c in spec.features] == ["age", "color", "member", "joined"]
    assert [c.name for c in spec.targets] == ["left", "spent"]
    assert spec.id_column is not None
    assert spec.id_column.name == "key"
    assert spec.stratify == "left"
    assert spec.fairness_models == ("leaving",)
    assert spec.deploy.endpoint == "tiny"


def test_a_budget_is_read_and_changes_nothing_that_jobs_see(tmp_path: Path) -> None:
    plain = loaded(tmp_path, SPEC)
    spec = loaded(tmp_path, SPEC + "\ndeploy: {budget: 25.5}\n")
    assert (spec.deploy.budget, plain.deploy.budget) == (25.5, None)
    assert spec.to_json() == plain.to_json()


def test_yes_and_no_are_words_and_1e2_is_a_number(tmp_path: Path) -> None:
    spec = loaded(tmp_path, SPEC)
    assert spec.column("left").true == ("Yes",)
    assert spec.column("color").values == ("red", "No", "blue")
    assert spec.column("age").max == 100
    assert spec.models[0].parameters["learning_rate"] == 0.05


def test_a_boolean_without_words_gets_the_usual_ones(tmp_path: Path) -> None:
    member = loaded(tmp_path, SPEC).column("member")
    assert (member.true, member.false) == (problem.TRUE_WORDS, problem.FALSE_WORDS)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("name: tiny", "nmae: tiny", ["'nmae'", "did you mean 'name'"]),
        ("name: tiny", "name: Tiny!", ['name is "Tiny!"', "^[a-z]"]),
        ("min: 0,", "mn: 0,", ["columns.age", "'mn'", "did you mean 'min'", "null_share"]),
        ("{kind: id}", "{kind: id, min: 3}", ["columns.key", "'min'", "id column"]),
        ("{kind: id}", "{kind: text}", ["columns.key.kind", '"text"', "'numeric'"]),
        ("max: 1e2", 'max: "100"', ["columns.age.max", '"100"', "a number"]),
        ("max: 1e2", "max: -1", ["columns.age", "min 0 is above max -1"]),
        ("null_share: 0.1", "null_share: 2", ["columns.age.null_share is 2", "less than 1"]),
        ("true: [Yes], false: [No]", "true: [Yes]", ["columns.left", "both `true` and `false`"]),
        ("true: [Yes], false: [No]", "true: [y], false: [Y]", ["columns.left", "none in both"]),
        ("values: [red, No, blue]", "values: [red, red]", ["columns.color", "'red' twice"]),
        ("values: [red, No, blue]", "values: red", ["columns.color.values", '"red"', "a list"]),
        ("  note: {kind: ignore}", "  note: ignore", ["columns.note", '"ignore"', "a mapping"]),
        ("note: {kind: ignore}", "note: {kind: id}", ["columns", "key, note", "one id"]),
        ("kind: binary", "kind: binry", ["models.leaving.kind", '"binry"', "'multiclass'"]),
        ("    kind: binary\n", "", ["models.leaving.kind is missing"]),
        ("metric: auc", "metric: acu", ["models.leaving", "'acu'", "did you mean 'auc'"]),
        ("metric: auc", "metric: rmse", ["models.leaving", "'rmse'", "pr_auc"]),
        ("gate: {min: 0.7}", "gate: {max: 0.7}", ["models.leaving", "bigger", "`min`"]),
        ("gate: {max: 10}", "gate: {min: 10}", ["models.spending", "smaller", "`max`"]),
        ("gate: {min: 0.7}", "gate: {min: 0.7, max: 1}", ["models.leaving.gate", "exactly one"]),
        ("gate: {min: 0.7}", "gate: {}", ["models.leaving.gate", "exactly one"]),
        ("gate: {min: 0.7}", "gate: {min: 70}", ["models.leaving", "gate is 70", "0..1"]),
        ("target: left", "target: lefd", ["models.leaving.target", "'lefd'", "mean 'left'"]),
        ("target: left", "target: age", ["models.leaving.target", "age is numeric", "boolean"]),
        ("max_depth: 4", "max_depth: {a: 1}", ["models.leaving.parameters.max_depth", '{"a": 1}']),
        ("max_depth: 4", "nthread: 4", ["models.leaving", "`nthread`", "instance"]),
        ("  leaving:", "  Leaving:", ["models.Leaving.name", "^[a-z]"]),
        ("column: age, bins: [30, 50]", "column: agee", ["fairness.facets.0", "mean 'age'"]),
        ("column: age, bins: [30, 50]", "column: age", ["fairness.facets.0.bins", "with bins"]),
        ("column: age, bins: [30, 50]", "column: key", ["fairness.facets.0", "key is id"]),
        ("bins: [30, 50]", "bins: [50, 30]", ["fairness.facets.0", "must rise"]),
        ("disparate_impact", "disparate", ["fairness", "mean 'disparate_impact'"]),
        ("fairness: {", "fairness: {models: [spending], ", ["fairness.models", "'spending'"]),
        ("name: tiny", "name: tiny\nsplit: {test: 0.7, validation: 0.3}", ["split", "below 1"]),
        ("name: tiny", "name: tiny\nsplit: {stratify: age}", ["split.stratify", "age is numeric"]),
        ("name: tiny", "name: tiny\nsplit: {stratify: agee}", ["split.stratify", "mean 'age'"]),
        ("name: tiny", "name: tiny\ndata: {header: 1}", ["data.header is 1", "true or false"]),
        ("name: tiny", "name: tiny\ndeploy: {approval: maybe}", ["deploy.approval", "'manual'"]),
        ("name: tiny", "name: tiny\ndeploy: {budget: 0}", ["deploy.budget is 0", "greater than 0"]),
        (
            "name: tiny",
            "name: tiny\ndeploy: {rollout: {strategy: blue}}",
            ["deploy.rollout.strategy", "'canary'"],
        ),
        (
            "name: tiny",
            "name: tiny\ndeploy: {rollout: {bake: 9999}}",
            ["deploy.rollout.bake", "3600"],
        ),
        ("name: tiny", "name: tiny\nname: twice", ["line 2", "'name'", "twice"]),
        ("  age: {", "  key: {", ["line 4", "'key'", "twice"]),
        ("models:", "models: {", ["not YAML", "line"]),
        ("models:", "models: &a [*a]\nx:", ["recursive"]),
    ],
)
def test_a_mistake_names_file_key_value_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, told: list[str]
) -> None:
    assert old in SPEC
    with pytest.raises(ProblemError) as caught:
        loaded(tmp_path, SPEC.replace(old, new, 1))
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "tiny.yaml"))
    for part in told:
        assert part in message


def test_several_mistakes_come_in_one_error(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="2 mistakes") as caught:
        loaded(
            tmp_path, SPEC.replace("kind: id", "kind: ids").replace("gate: {max: 10}", "gate: 3")
        )
    assert "columns.key.kind" in str(caught.value)
    assert "models.spending.gate is 3" in str(caught.value)


@pytest.mark.parametrize("count", [0, 7])
def test_a_problem_has_one_to_six_models(tmp_path: Path, count: int) -> None:
    spec = parsed()
    model = {"kind": "regression", "target": "spent", "metric": "r2", "gate": {"min": 0.1}}
    spec["models"] = {f"m{at}": model for at in range(count)}
    del spec["fairness"]
    with pytest.raises(ProblemError, match=f"models: holds {count}; allowed: 1 to 6"):
        loaded(tmp_path, yaml.safe_dump(spec))


def test_a_target_is_never_missing_and_a_multiclass_one_lists_its_classes(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"columns.spent.null_share is 0.1"):
        loaded(
            tmp_path,
            SPEC.replace("spent: {kind: numeric}", "spent: {kind: numeric, null_share: 0.1}"),
        )
    spec = parsed()
    spec["columns"]["color"] = {"kind": "categorical"}
    spec["models"]["leaving"] |= {"kind": "multiclass", "target": "color", "metric": "ndcg"}
    del spec["fairness"]
    with pytest.raises(ProblemError, match=r"columns.color.values .* 3 or more"):
        loaded(tmp_path, yaml.safe_dump(spec))


@pytest.mark.parametrize("text", ["", "just words", "[1, 2]", "columns: 3\nname: ab\nmodels: {}"])
def test_what_is_no_spec_at_all_is_one_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ProblemError, match=r"tiny\.yaml: "):
        loaded(tmp_path, text)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"nothing\.yaml: no such file; .*pipelines\.new"):
        load(tmp_path / "nothing.yaml")


def test_bytes_that_are_no_text_are_one_error(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProblemError, match="cannot be read"):
        load(tmp_path / "x.yaml")


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_spec_loads_and_travels(path: Path) -> None:
    spec = load(path)
    assert from_json(spec.to_json()) == spec


def test_json_that_is_no_spec_names_its_source() -> None:
    with pytest.raises(ProblemError, match=r"bundle/problem\.json: not JSON"):
        from_json("{", "bundle/problem.json")


NAMES = st.from_regex(r"[a-z][a-z0-9]{1,8}", fullmatch=True)
WORDS = st.text(min_size=1, max_size=6)
NUMBERS = st.floats(-1e6, 1e6)
PARAMETERS = st.one_of(st.booleans(), st.integers(), NUMBERS, WORDS, st.lists(WORDS))


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    low, high = sorted((draw(NUMBERS), draw(NUMBERS)))
    kind = draw(st.sampled_from(sorted(METRICS)))
    metric = draw(st.sampled_from(METRICS[kind]))
    side = "min" if problem.BIGGER_IS_BETTER[metric] else "max"
    target: dict[str, Any] = {"name": "the target", "kind": "numeric"}
    if kind != "regression":
        target["kind"] = "boolean"
    if kind == "multiclass":
        values = draw(st.lists(WORDS, min_size=3, unique=True))
        target = {"name": "the target", "kind": "categorical", "values": values}
    return {
        "name": draw(NAMES),
        "description": draw(st.text(max_size=20)),
        "data": {"header": draw(st.booleans()), "missing": draw(st.lists(WORDS, max_size=3))},
        "columns": [
            {"name": "a", "kind": "numeric", "min": low, "max": high},
            {"name": "b", "kind": "categorical", "null_share": draw(st.floats(0, 0.99))},
            target,
        ],
        "models": [
            {
                "name": draw(NAMES),
                "kind": kind,
                "target": "the target",
                "metric": metric,
                "gate": {side: draw(st.floats(0, 1))},
                "rounds": draw(st.integers(1, 1000)),
                "parameters": draw(st.dictionaries(st.sampled_from("abcd"), PARAMETERS)),
            }
        ],
        "split": {"seed": draw(st.integers(0, 2**32 - 1))},
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(specs())
def test_what_was_written_as_json_reads_back_equal_and_byte_for_byte(raw: dict[str, Any]) -> None:
    spec = Problem.model_validate(raw)
    text = spec.to_json()
    assert from_json(text) == spec
    assert from_json(text).to_json() == text
