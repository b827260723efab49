"""Paths into JSON: how they are written, where they lead, what is said when they lead nowhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_sagemaker.engine import paths

SEGMENTS = st.one_of(
    st.integers(0, 99),
    st.text(alphabet="abcXYZ_-09", min_size=1, max_size=8),
    st.text(min_size=1, max_size=8).filter(lambda text: "'" not in text),
)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", ("a",)),
        ("a.b", ("a", "b")),
        ("Outputs['train'].S3Output", ("Outputs", "train", "S3Output")),
        ('Outputs["a.b"]', ("Outputs", "a.b")),
        ("List[0][1].x", ("List", 0, 1, "x")),
        ("metrics.validation:rmse", ("metrics", "validation:rmse")),
    ],
)
def test_a_path_is_read_into_segments(text: str, path: paths.Path) -> None:
    assert paths.parse(text) == path


@pytest.mark.parametrize(
    "text", ["", ".a", "a..b", "a[", "a['b", "a[-1]", "a b", "a['b']c", "a.", "]"]
)
def test_a_malformed_path_is_refused(text: str) -> None:
    with pytest.raises(paths.PathError):
        paths.parse(text)


@given(st.text(alphabet="abZ_-09", min_size=1, max_size=5), st.lists(SEGMENTS, max_size=5))
def test_what_is_written_is_read_back(first: str, rest: list[str | int]) -> None:
    assert paths.parse(paths.write([first, *rest])) == (first, *rest)


@pytest.mark.parametrize("text", ["$.a[0].b", "a[0].b", "$['a'][0]['b']"])
def test_a_json_path_may_begin_with_a_dollar(text: str) -> None:
    assert paths.follow({"a": [{"b": 7}]}, paths.parse_json_path(text)) == 7


def test_a_dollar_alone_is_the_whole_document() -> None:
    assert paths.follow([1], paths.parse_json_path("$")) == [1]


@pytest.mark.parametrize("member", paths.LIST_NAMES)
def test_entries_of_lists_are_found_by_name(member: str) -> None:
    document = {"L": [{member: "other"}, {member: "train", "V": 3}]}
    assert paths.follow(document, ("L", "train", "V")) == 3


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (("metric",), "at the top is no 'metric'; did you mean 'metrics'?"),
        (("metrics", "auc", "value"), "at 'metrics.auc' is 0.5, which has no members"),
        (("L", 4), "at 'L' are 1 entries, so there is no [4]"),
        (("L", "trian"), "at 'L' is no entry named 'trian'; did you mean 'train'?"),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_ends(path: paths.Path, says: str) -> None:
    document = {"metrics": {"auc": 0.5}, "L": [{"Name": "train"}]}
    with pytest.raises(paths.PathError) as error:
        paths.follow(document, path)
    assert says in str(error.value)
