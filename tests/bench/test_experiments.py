"""Simulated experiments, fewer of them: peeking costs the always-valid test nothing."""

import pytest

import bench.__main__
from bench import experiments


@pytest.mark.parametrize("share", [20, 50])
def test_false_decisions_stay_below_alpha_where_the_peeked_z_test_does_not(share: int) -> None:
    found = experiments.wrong(0.9, share, runs=500)
    assert found.promoted <= experiments.ALPHA
    assert found.rolled_back <= experiments.ALPHA / 2 + 0.01
    assert found.by_z_test > 2 * experiments.ALPHA


def test_more_traffic_and_an_even_split_find_more() -> None:
    few, many = (experiments.power(0.05, 20, size, runs=60) for size in (1_000, 10_000))
    assert many > few
    assert experiments.power(0.05, 50, 3_000, runs=60) >= experiments.power(0.05, 20, 3_000, 60)


def test_the_command_prints_both_tables(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RUNS": 20, "POWER_RUNS": 20, "SIZES": (600,), "RATES": (0.5,)}.items():
        monkeypatch.setattr(experiments, name, value)
    assert bench.__main__.main(["experiments"]) == 0
    said = capsys.readouterr().out
    assert "| 0.5 | 80/20 |" in said
    assert "| +5 points | 50/50 |" in said
