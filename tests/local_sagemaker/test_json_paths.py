"""The JSONPath subset of batch transform, against Python's own indexing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_sagemaker.engine import json_paths
from local_sagemaker.engine.json_paths import PathError, parse

RECORD = {"id": 7, "f": [1, 2, 3], "deep": {"a b": {"c": [{"n": 1}, {"n": 2}, {}]}}, "none": None}
INDEX = st.integers(-12, 12)
VALUES = st.lists(st.integers(), max_size=9)


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("$", RECORD),
        ("$.id", 7),
        ("$['id']", 7),
        ("$[\"deep\"]['a b'].c[0].n", 1),
        ("$.none", None),
        ("$['id','f']", {"id": 7, "f": [1, 2, 3]}),
        ("$['id', 'gone']", {"id": 7}),
        ("$.f[-1]", 3),
        ("$.f[0,-1]", [1, 3]),
        ("$.f[1:]", [2, 3]),
        ("$.f[:-1]", [1, 2]),
        ("$.f[ 0 : 2 ]", [1, 2]),
        ("$.f[9:]", []),
        ("$.deep['a b'].c[*].n", [1, 2]),
        ("$.deep.*.c[0].n", [1]),
        ("$['f','none'][0]", [1]),
        ("$.f.*", [1, 2, 3]),
    ],
)
def test_a_path_selects(path: str, wanted: Any) -> None:
    assert parse(path).apply(RECORD) == wanted


@pytest.mark.parametrize(
    "path", ["$.gone", "$.f[3]", "$.id.x", "$[0]", "$.f.id", "$.none['a','b']"]
)
def test_a_path_to_one_thing_that_is_not_there_fails_by_name(path: str) -> None:
    with pytest.raises(PathError) as failed:
        parse(path).apply(RECORD)
    assert path in str(failed.value)


@pytest.mark.parametrize(
    "path",
    ["", "id", "$..id", "$.f[?(@>1)]", "$.f[0:2:1]", "$.", "$[", "$['a]", "$.f[]", "$.f.length()"],
)
def test_what_is_not_in_the_subset_is_refused_by_name(path: str) -> None:
    with pytest.raises(PathError) as refused:
        parse(path)
    assert repr(path) in str(refused.value)


@given(values=VALUES, index=INDEX)
def test_an_index_is_pythons(values: list[int], index: int) -> None:
    try:
        wanted = values[index]
    except IndexError:
        with pytest.raises(PathError):
            parse(f"$[{index}]").apply(values)
    else:
        assert parse(f"$[{index}]").apply(values) == wanted


@given(values=VALUES, start=st.none() | INDEX, stop=st.none() | INDEX)
def test_a_slice_is_pythons(values: list[int], start: int | None, stop: int | None) -> None:
    text = "".join(
        ["$[", "" if start is None else f"{start}", ":", f"{'' if stop is None else stop}]"]
    )
    assert parse(text).apply(values) == values[start:stop]


@given(values=VALUES, indices=st.lists(INDEX, min_size=2, max_size=5))
def test_several_indices_are_taken_in_their_order(values: list[int], indices: list[int]) -> None:
    there = [values[i] for i in indices if -len(values) <= i < len(values)]
    assert parse(f"$[{','.join(map(str, indices))}]").apply(values) == there


@given(text=st.text(max_size=20).map(lambda tail: f"${tail}"))
def test_any_text_is_a_path_or_a_path_error(text: str) -> None:
    try:
        path = parse(text)
    except PathError:
        return
    assert path.text == text


@given(name=st.text(min_size=1, max_size=8).filter(lambda text: "'" not in text))
def test_any_name_without_a_quote_can_be_asked_for(name: str) -> None:
    assert json_paths.parse(f"$['{name}']").apply({name: 1}) == 1
