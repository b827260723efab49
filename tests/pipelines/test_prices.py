"""The table of prices: dated, checked, and replaceable by the user's own."""

from pathlib import Path

import pytest
import yaml

from pipelines import prices
from pipelines.prices import TABLE, CostError


def test_the_table_says_of_when_and_where_it_is() -> None:
    table = prices.load()
    assert (table.as_of, table.region) == ("2026-11", "us-east-1")
    assert "check before you rely on it" in table.note


def test_published_figures_are_reproduced() -> None:
    table = prices.load()
    assert table.month("ml.g4dn.xlarge", 2) == pytest.approx(1075.14, abs=0.01)
    assert table.used("serverless_gb_second", 6) == pytest.approx(0.00012)
    fargate = table.used("fargate_vcpu_hour", 16 * 3 / 60) + table.used("fargate_gb_hour", 3.2)
    assert fargate == pytest.approx(0.05, abs=0.005)
    tokens = {"claude_sonnet_input_token": 50_000, "claude_sonnet_output_token": 10_000}
    assert sum(table.used(name, n) for name, n in tokens.items()) == pytest.approx(0.30)


def test_a_table_of_ones_own_takes_its_place(tmp_path: Path) -> None:
    document = yaml.safe_load(TABLE.read_text())
    document["instances"]["ml.m5.large"]["hour"] = 0.2
    document["region"] = "eu-west-1"
    path = tmp_path / "prices.yaml"
    path.write_text(yaml.safe_dump(document))
    table = prices.load(path)
    assert (table.month("ml.m5.large", 1), table.region) == (146.0, "eu-west-1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("a: [", "cannot be read"),
        ("as_of: x", "instances: Field required"),
        (TABLE.read_text().replace("hour: 0.056", "hour: -1"), "instances.ml.t2.medium.hour"),
    ],
)
def test_a_bad_table_is_bad_usage(text: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CostError) as caught:
        prices.load(path)
    assert (said in str(caught.value), caught.value.exit_code) == (True, 2)


def test_what_has_no_price_names_what_has_one() -> None:
    table = prices.load()
    with pytest.raises(CostError, match=r"no price of ml\.p5\.48xlarge; .*ml\.m5\.large"):
        table.month("ml.p5.48xlarge", 1)
    with pytest.raises(CostError, match=r"no price of 'magic'; allowed: .*athena_tb"):
        table.used("magic", 1)
