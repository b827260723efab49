"""Kept definitions: used again for equal inputs, and for nothing else."""

from pathlib import Path
from typing import Any

import pytest

from pipelines import definition
from pipelines.bundle import Bundle
from pipelines.definition import Compiled

CODE = Bundle({"run.py": b"1"})


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every compilation that happened."""
    done: list[Any] = []

    def compile_pipeline(*inputs: Any) -> Compiled:
        done.append(inputs)
        return Compiled("churn", f'{{"n": {len(done)}}}')

    monkeypatch.setattr(definition, "compile_pipeline", compile_pipeline)
    return done


def test_equal_inputs_are_compiled_once(compiled: list[Any], tmp_path: Path) -> None:
    first = definition.compile_ours(CODE, {"a": 1}, {"b": 2}, tmp_path)
    assert definition.compile_ours(CODE, {"a": 1}, {"b": 2}, tmp_path) == first
    assert len(compiled) == 1


@pytest.mark.parametrize(
    "inputs",
    [
        (Bundle({"run.py": b"2"}), {"a": 1}, {"b": 2}),
        (CODE, {"a": 2}, {"b": 2}),
        (CODE, {"a": 1}, {"b": 3}),
    ],
)
def test_other_inputs_are_compiled_anew(
    compiled: list[Any], tmp_path: Path, inputs: tuple[Any, ...]
) -> None:
    definition.compile_ours(CODE, {"a": 1}, {"b": 2}, tmp_path)
    definition.compile_ours(*inputs, tmp_path)
    assert len(compiled) == 2


def test_a_changed_pipeline_module_is_compiled_anew(
    compiled: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition.compile_ours(CODE, {}, {}, tmp_path / "kept")
    (tmp_path / "training.py").write_text("# changed\n")
    monkeypatch.setattr(definition, "__file__", str(tmp_path / "definition.py"))
    assert not definition.likely_kept(CODE, tmp_path / "kept")
    definition.compile_ours(CODE, {}, {}, tmp_path / "kept")
    assert len(compiled) == 2


def test_it_is_known_beforehand_whether_the_sdk_may_be_needed(
    compiled: list[Any], tmp_path: Path
) -> None:
    assert not definition.likely_kept(CODE, tmp_path)
    definition.compile_ours(CODE, {}, {}, tmp_path)
    assert definition.likely_kept(CODE, tmp_path)
    assert not definition.likely_kept(Bundle({"run.py": b"2"}), tmp_path)
