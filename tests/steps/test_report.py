"""report: one page that stands alone, says the verdict and escapes what it is given."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from steps import charts, report


class Page(HTMLParser):
    """Collects tags, and fails on a tag that closes another one."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass


@pytest.fixture
def page(shop: Any) -> str:
    path = shop.folder / "evaluate/processing/output/evaluation/report.html"
    return str(path.read_text("utf-8"))


def test_the_page_is_well_formed_and_loads_nothing(page: str) -> None:
    parsed = Page(page)
    assert parsed.open == []
    assert all(address.startswith("#") for address in parsed.addresses)
    assert not re.search(r"https?:|@import|url\(|<script", page)


def test_the_page_shows_verdict_metrics_pictures_and_groups(page: str, shop: Any) -> None:
    assert "Every gate passed" in page
    path = shop.folder / "evaluate/processing/output/evaluation/evaluation.json"
    for name, verdict in json.loads(path.read_text("utf-8"))["models"].items():
        assert f'<section id="{name}">' in page
        assert report.number(verdict["metrics"][verdict["metric"]]["value"]) in page
    assert page.count("<svg") == 2 + 3 + 1 + 3
    assert "Paris, &#34;Est&#34;" in page
    assert "30 to below 50" in page


def test_a_failed_gate_is_the_headline(make_shop: Any) -> None:
    made = make_shop()
    made.prepare()
    for model in made.problem.models:
        made.train(model.name)
    page = (made.evaluate("--threshold", "left=0.999") / "evaluation/report.html").read_text(
        "utf-8"
    )
    assert "Not to be released" in page
    assert re.search(r"left: auc 0\.\d+ is below 0.999", page)
    assert "Every gate passed" not in page


def test_names_from_the_data_cannot_write_html(make_shop: Any) -> None:
    made = make_shop()
    for row in made.rows:
        row[3] = row[3] and row[3].replace("Köln", "<script>alert(1)</script>")
    made.write_rows(made.rows)
    made.prepare()
    for model in made.problem.models:
        made.train(model.name)
    page = (made.evaluate() / "evaluation/report.html").read_text("utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.84231, "0.8423"),
        (12.3456, "12.35"),
        (48120.4, "48,120"),
        (0, "0"),
        (0.00012345, "0.00012"),
    ],
)
def test_numbers_are_short(value: float, shown: str) -> None:
    assert report.number(value) == shown


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-37, 912, [0, 200, 400, 600, 800]),
        (0.021, 0.034, [0.022, 0.024, 0.026, 0.028, 0.03, 0.032, 0.034]),
    ],
)
def test_ticks_are_round_and_inside(low: float, high: float, ticks: list[float]) -> None:
    assert charts._ticks(charts.Axis("x", low, high)) == pytest.approx(ticks)


def test_constant_values_still_make_a_chart() -> None:
    axis = charts.spanning("x", [3.0, 3.0])
    assert (axis.low, axis.high) == (2.5, 3.5)
    assert "nan" not in charts.dots([(3.0, 3.0)], axis, axis)


def test_evaluation_has_no_time_in_it(shop: Any) -> None:
    for path in (shop.folder / "evaluate/processing/output").rglob("*.*"):
        assert not re.search(rb"20\d\d-\d\d-\d\dT", path.read_bytes())
