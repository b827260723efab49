"""A few rounds of the chaos script, so that it cannot rot; `--times 200` is for people."""

from __future__ import annotations

import random
from pathlib import Path

from bench import chaos


def test_two_kills_at_random_moments_leave_no_lie(tmp_path: Path) -> None:
    assert chaos.rounds(tmp_path / "home", 2, random.Random(7)) == []
