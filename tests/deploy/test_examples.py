"""Requests made from the problem's columns: what its own serving code reads."""

import json
from pathlib import Path

import pytest

from deploy import examples
from inference import codecs
from inference.transform import Feature, Transform
from steps.problem import load

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "config").glob("*.yaml"))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_rows_of_a_problem_are_read_by_its_bundle(config: Path) -> None:
    problem = load(config)
    features = tuple(
        Feature(c.name, c.kind, c.values if c.kind == "categorical" else (), c.true, c.false)
        for c in problem.features
    )
    rows = list(examples.rows(problem, 7))
    body = json.dumps({"instances": rows}).encode()
    matrix = codecs.decode(Transform(features), body, "application/json")
    assert matrix.shape == (7, len(features))
    assert len({json.dumps(row) for row in rows}) == 7
