"""transform: training frame, CSV request and JSON request encode to the same bits."""

import csv
import datetime
import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import codecs
from inference.transform import CellError, Feature, Transform, fit
from steps import prepare, tables
from steps.problem import Problem

PROJECT = Path(__file__).resolve().parents[2]
PROBLEM = Problem.model_validate(
    {
        "name": "bits",
        "data": {"missing": ["?"]},
        "columns": [
            {"name": "row", "kind": "id"},
            {"name": "size", "kind": "numeric"},
            {"name": "town", "kind": "categorical"},
            {"name": "flag", "kind": "boolean"},
            {"name": "yes", "kind": "boolean", "true": ["Ja"], "false": ["Nein"]},
            {"name": "when", "kind": "timestamp"},
            {"name": "target", "kind": "numeric"},
        ],
        "models": [
            {
                "name": "m",
                "kind": "regression",
                "target": "target",
                "metric": "rmse",
                "gate": {"max": 1},
            }
        ],
    }
)
MISSING = st.sampled_from(["", "?"])
NUMBERS = st.one_of(
    st.integers(-(10**9), 10**9).map(str),
    st.floats(-1e30, 1e30, allow_nan=False).map(repr),
    st.decimals(-1000, 1000, places=3).map(str),
)
TOWNS = st.one_of(
    st.sampled_from(["Köln", 'Paris, "Est"', "Rio"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6),
)
MOMENTS = st.datetimes(
    min_value=datetime.datetime(1971, 1, 1),
    max_value=datetime.datetime(2100, 1, 1),
).map(lambda moment: moment.replace(microsecond=0).isoformat() + "Z")
ROWS = st.lists(
    st.tuples(
        NUMBERS | MISSING,
        TOWNS | MISSING,
        st.sampled_from(["true", "FALSE", "1", "n"]) | MISSING,
        st.sampled_from(["Ja", "nein"]) | MISSING,
        MOMENTS | MISSING,
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_frame_csv_and_json_encode_to_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]]
) -> None:
    path = tmp_path_factory.mktemp("frame") / "data.csv"
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(column.name for column in PROBLEM.columns)
    writer.writerows([index, *row, 0] for index, row in enumerate(rows))
    path.write_text(text.getvalue(), encoding="utf-8")

    frame = tables.read(PROBLEM, [path])
    transform = prepare.fit_transform(PROBLEM, frame, np.arange(len(frame)))
    expected = transform.encode({name: frame[name].to_numpy() for name in transform.names})

    with_header = codecs.decode(transform, text.getvalue().encode(), "text/csv")
    assert with_header.tobytes() == expected.tobytes()
    body = io.StringIO()
    csv.writer(body).writerows(rows)
    without_header = codecs.decode(transform, body.getvalue().encode(), "text/csv")
    assert without_header.tobytes() == expected.tobytes()
    instances = [dict(zip(transform.names, _typed(row), strict=True)) for row in rows]
    request = json.dumps({"instances": instances}).encode()
    assert codecs.decode(transform, request, "application/json").tobytes() == expected.tobytes()


def _typed(row: tuple[str, ...]) -> list[Any]:
    """Cells as a JSON client would send them: numbers and booleans as such, null for missing."""
    size, town, flag, yes, when = (None if cell in ("", "?") else cell for cell in row)
    booleans = {None: None, "true": True, "FALSE": False, "1": True, "n": False, "Ja": True}
    number = None if size is None else json.loads(size)
    return [number, town, booleans[flag], booleans.get(yes, False), when]


def test_the_matrix_is_float32_in_c_order_with_missing_as_nan(transform: Transform) -> None:
    columns = {
        "age": np.array([1.5, np.nan]),
        "city": np.array(["Rio", "Atlantis"], dtype=object),
        "member": np.array([1.0, np.nan]),
        "joined": np.array([0.0, 86400.0]),
    }
    encoded = transform.encode(columns)
    assert encoded.dtype == np.float32
    assert encoded.flags.c_contiguous
    np.testing.assert_array_equal(encoded, [[1.5, 2, 1, 0], [np.nan, np.nan, np.nan, 86400]])
    assert transform.feature_types == ["q", "c", "i", "q"]


def test_categories_are_sorted_and_without_the_missing() -> None:
    fitted = fit(Feature("c", "categorical"), np.array(["b", None, "a", "b"], dtype=object))
    assert fitted.categories == ("a", "b")


def test_the_json_form_reads_back_equal(transform: Transform) -> None:
    assert Transform.from_json(transform.to_json()) == transform


@pytest.mark.parametrize(
    ("name", "cell", "said"),
    [
        ("age", "abc", 'column "age", row 2: "abc" is not a number'),
        ("age", "nan", '"nan" is not a number'),
        ("age", "1_000", '"1_000" is not a number'),
        ("age", float("inf"), "Infinity is not a number"),
        ("age", True, "true is not a number"),
        ("age", [1], "[1] is not a number"),
        pytest.param("age", 10**400, "is not a number", id="400 digits"),
        ("member", "maybe", '"maybe" is not one of Yes, No'),
        ("joined", "soon", '"soon" is not an ISO 8601 time'),
        ("city", {"a": 1}, '{"a": 1} is not a text'),
    ],
)
def test_a_bad_value_is_named_never_missing(
    transform: Transform, name: str, cell: object, said: str
) -> None:
    feature = next(f for f in transform.features if f.name == name)
    with pytest.raises(CellError) as raised:
        transform.parse_column(feature, [None, cell])
    assert said in str(raised.value)


def test_a_time_without_an_offset_is_utc_wherever_the_machine_stands(
    transform: Transform, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = transform.features[3]
    with monkeypatch.context() as moved:
        moved.setenv("TZ", "America/New_York")
        time.tzset()
        cells = ["1970-01-02", "1970-01-02T00:00:00Z", "1970-01-02T02:00:00+02:00"]
        assert transform.parse_column(joined, cells).tolist() == [86400] * 3
    time.tzset()


def test_a_number_beyond_float32_is_refused(transform: Transform) -> None:
    columns = dict.fromkeys(transform.names, np.array([0.0, 1e39]))
    with pytest.raises(CellError, match=r'column "age", row 2: 1e\+39'):
        transform.encode({**columns, "city": np.array(["Rio", "Rio"], dtype=object)})


def test_a_feature_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match='feature "note" is ignore; allowed: numeric'):
        fit(Feature("note", "ignore"), np.array(["x"], dtype=object))


def test_importing_xgboost_brings_neither_sklearn_nor_pandas_and_hides_nothing_after() -> None:
    code = (
        "import sys; from inference.transform import import_xgboost; import_xgboost();"
        "assert not {'sklearn', 'pandas'} & set(sys.modules), 'imported';"
        "import sklearn, pandas; print(sklearn.__version__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
