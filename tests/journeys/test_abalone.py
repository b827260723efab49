"""AWS's abalone pipeline, as a user writes it with the SageMaker SDK v3, runs unpatched."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.journeys.conftest import SECONDS, Plane

pytestmark = pytest.mark.journey
HERE = Path(__file__).parent / "abalone"


def shells(path: Path, rows: int = 1200) -> Path:
    """Rows like abalone's: sex, seven sizes that belong together, rings that follow from them."""
    random = np.random.default_rng(5)
    size = random.gamma(6, 0.09, rows)
    with path.open("w", newline="") as file:
        for row in range(rows):
            noise = random.normal(1, 0.05, 7)
            sizes = (size[row] * np.array([1, 0.8, 0.28, 1.5, 0.65, 0.33, 0.43]) * noise).round(4)
            rings = max(1, round(3 + 12 * size[row] + random.normal(0, 1.2)))
            csv.writer(file).writerow(["MFI"[row % 3], *sizes, rings])
    return path


def test_the_abalone_pipeline_of_the_sdk_runs_to_its_end(plane: Plane, tmp_path: Path) -> None:
    variables = json.loads(plane.run("local_sagemaker", "env", "--json").stdout)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / "go.py"), str(shells(tmp_path / "a.csv"))],
        env=plane.environment | variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    steps = dict(line.split()[1:] for line in done.stdout.splitlines() if line.startswith("step "))
    assert set(steps.values()) == {"Succeeded"}
    assert {"AbaloneTrain", "AbaloneTransform", "AbaloneRegisterModel"} <= set(steps)
    assert "object AbaloneTransform/batch.csv.out" in done.stdout
