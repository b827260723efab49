"""A user's own CSV: described, run, refused in clear words, and never lost by a kill."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.journeys import made_up
from tests.journeys.conftest import Plane

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def shop(plane: Plane) -> tuple[str, str]:
    """(config, data): the first spec as `pipelines.new` wrote it, with a gate it can pass."""
    data = made_up.write(plane.folder / "shop.csv")
    config = plane.folder / "shop.yaml"
    done = plane.run("pipelines.new", "--data", str(data), "--target", "left", "--out", str(config))
    assert done.returncode == 0, done.stderr
    config.write_text(re.sub(r"gate: .*", "gate: {min: 0.6}", config.read_text()))
    return str(config), str(data)


def changed(data: str, target: Path, column: str, cell: str | None) -> str:
    """A copy of the CSV with one cell changed, or, for None, without the column."""
    with Path(data).open(newline="") as file:
        rows = list(csv.reader(file))
    at = rows[0].index(column)
    if cell is None:
        rows = [row[:at] + row[at + 1 :] for row in rows]
    else:
        rows[7][at] = cell
    with target.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return str(target)


def test_a_csv_and_a_yaml_are_enough(plane: Plane, shop: tuple[str, str]) -> None:
    done = plane.run("pipelines.run", "--config", shop[0], "--data", shop[1], "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    result = json.loads(done.stdout)
    assert result["status"] == "Succeeded"
    assert Path(plane.folder, result["report"]["report"]).is_file()
    assert Path(plane.folder, result["report"]["data_docs"]).is_file()


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [("spend", "plenty", "plenty"), ("city", None, "city"), ("city", "Atlantis", "Atlantis")],
)
def test_bad_data_stops_with_the_failing_expectation(
    plane: Plane, shop: tuple[str, str], tmp_path: Path, column: str, cell: str | None, said: str
) -> None:
    bad = changed(shop[1], tmp_path / "bad.csv", column, cell)
    done = plane.run("pipelines.run", "--config", shop[0], "--data", bad)
    words = done.stdout + done.stderr
    assert done.returncode == 1
    assert column in words
    assert said in words
    assert "Traceback" not in words


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "nowhere.csv"], "nowhere.csv"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--param", "GateX=1"], "GateX"),
        (["--rows", "0"], "--rows"),
        (["--target", "moon"], "moon"),
    ],
)
def test_bad_usage_is_one_message_and_exit_code_2(
    plane: Plane, arguments: list[str], said: str
) -> None:
    done = plane.run("pipelines.run", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_key_in_the_yaml_is_named(plane: Plane, shop: tuple[str, str]) -> None:
    config = plane.folder / "typo.yaml"
    config.write_text(Path(shop[0]).read_text().replace("rounds:", "roundz:", 1))
    done = plane.run("pipelines.run", "--config", str(config), "--data", shop[1])
    assert done.returncode == 2
    assert "typo.yaml" in done.stderr
    assert "roundz" in done.stderr
    assert "rounds" in done.stderr


def test_a_port_in_use_is_one_message_and_leaves_nothing_running(
    plane: Plane, tmp_path: Path
) -> None:
    other = Plane(tmp_path)
    done = other.run("local_sagemaker", "up", *plane.ports)
    assert done.returncode == 1
    assert plane.ports[1] in done.stderr
    assert "--port" in done.stderr
    assert not any(str(other.home) in " ".join(_command(p)) for p in psutil.process_iter())


def _command(process: psutil.Process) -> list[str]:
    try:
        return [*process.cmdline(), process.environ().get("LOCAL_SAGEMAKER_HOME", "")]
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return []


def test_a_server_killed_during_training_goes_on_where_it_was(
    plane: Plane, shop: tuple[str, str], tmp_path: Path
) -> None:
    slow = tmp_path / "slow.yaml"
    text = re.sub(r"rounds: \d+", "rounds: 1500", Path(shop[0]).read_text(), count=1)
    text = re.sub(r"early_stopping_rounds: \d+", "early_stopping_rounds: 1400", text)
    slow.write_text(text)
    watching = plane.start("pipelines.run", "--config", str(slow), "--data", shop[1])
    assert watching.stdout is not None
    for line in watching.stdout:
        if line.startswith("Train-") and "Executing" in line:
            break
    server = json.loads(plane.run("local_sagemaker", "status", "--json").stdout)["pid"]
    family = psutil.Process(server).children(recursive=True)
    os.kill(server, signal.SIGKILL)
    watching.communicate()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    plane.up()
    assert _executions(plane)[0]["PipelineExecutionStatus"] == "Succeeded"
    done = plane.run("pipelines.run", "--config", str(slow), "--data", shop[1], "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Train-left" in json.loads(done.stdout)["reused"]


def _executions(plane: Plane) -> list[dict[str, str]]:
    """The shop's executions, newest first, once none of them runs any more."""
    script = (
        "import boto3, json, threading;"
        "c = boto3.client('sagemaker', region_name='us-east-1');"
        "names = [p['PipelineName'] for p in c.list_pipelines()['PipelineSummaries']];"
        "name = next(n for n in names if 'shop' in n);"
        "list_ = lambda: c.list_pipeline_executions(PipelineName=name);"
        "still = lambda: 'Executing' in str(list_());"
        "[threading.Event().wait(0.3) for _ in iter(still, False)];"
        "found = list_()['PipelineExecutionSummaries'];"
        "print(json.dumps(found, default=str))"
    )
    variables = json.loads(plane.run("local_sagemaker", "env", "--json").stdout)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=plane.environment | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return list(json.loads(done.stdout))
