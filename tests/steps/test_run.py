"""run.py: finds the bundle, satisfies the pins, runs the step, leaves the reason of a failure."""

import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from steps import run

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bundle(shop: Any, tmp_path: Path) -> Path:
    """A code bundle as a job gets it: run.py beside an archive of everything else."""
    folder = tmp_path / "channel"
    folder.mkdir()
    shutil.copy(PROJECT / "steps/run.py", folder / "run.py")
    with tarfile.open(folder / "job-code.tar", "w") as archive:
        archive.add(shop.spec_path, "problem.json")
        for room in ("steps", "inference"):
            archive.add(PROJECT / room, room)
    return folder


def _start(bundle: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(bundle / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def test_a_step_runs_from_the_bundle_alone(shop: Any, bundle: Path, tmp_path: Path) -> None:
    root = tmp_path / "ml"
    (root / "input").mkdir(parents=True)
    (root / "input/data").symlink_to(shop.folder / "train-score/input/data")
    done = _start(bundle, "train", "--root", str(root), "--model", "score")
    assert done.returncode == 0, done.stderr
    first = shop.folder / "train-score/model/model.ubj"
    assert (root / "model/model.ubj").read_bytes() == first.read_bytes()


def test_the_spec_of_the_bundle_is_the_default(shop: Any, bundle: Path, tmp_path: Path) -> None:
    root = tmp_path / "ml"
    (root / "processing/input").mkdir(parents=True)
    (root / "processing/input/data").symlink_to(shop.data)
    done = _start(bundle, "prepare", "--root", str(root))
    assert done.returncode == 0, done.stderr
    assert (root / "processing/output/train/features.npy").is_file()


def test_bad_input_leaves_one_paragraph_and_no_traceback(
    shop: Any, bundle: Path, tmp_path: Path
) -> None:
    done = _start(
        bundle, "prepare", "--root", str(tmp_path / "ml"), "--problem", str(shop.spec_path)
    )
    assert done.returncode == 1
    reason = (tmp_path / "ml/output/message").read_text("utf-8")
    assert reason == "prepare: no data file was given; put at least one CSV into the input"
    assert done.stderr.strip() == reason


def test_training_leaves_its_reason_where_training_jobs_do(bundle: Path, tmp_path: Path) -> None:
    done = _start(bundle, "train", "--root", str(tmp_path / "ml"), "--model", "score")
    assert done.returncode == 1
    reason = (tmp_path / "ml/output/failure").read_text("utf-8")
    assert reason.startswith("train: FileNotFoundError:")
    assert "transform.json" in reason
    assert "Traceback" not in done.stderr


def test_a_bug_shows_its_traceback_and_leaves_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        raise ZeroDivisionError("division by zero")
    except ZeroDivisionError as error:
        run.report(error, "package", tmp_path)
    assert "Traceback" in capsys.readouterr().err
    reason = (tmp_path / "output/message").read_text("utf-8")
    assert reason == "package: ZeroDivisionError: division by zero"


def test_a_long_reason_is_cut_between_characters(tmp_path: Path) -> None:
    run.report(run.RunError("ü" * 2000), "package", tmp_path)
    raw = (tmp_path / "output/message").read_bytes()
    assert len(raw) <= 1024
    assert raw.decode().endswith("ü")


def test_bad_usage_exits_2(bundle: Path) -> None:
    assert _start(bundle, "fly").returncode == 2
    assert _start(bundle, "train").returncode == 2


def test_installed_pins_are_satisfied_and_others_are_missing(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(
        "# a comment\n"
        f"numpy=={version('numpy')}\n"
        f"Great.Expectations=={version('great_expectations')} \\\n    --hash=sha256:00\n"
        'pandas==0.0.1 ; python_version > "3"\n'
        "never-heard-of==1.0\n",
        encoding="utf-8",
    )
    assert run.missing_pins(file) == ["pandas==0.0.1", "never-heard-of==1.0"]
    assert run.missing_pins(tmp_path / "none.txt") == []


def test_either_name_of_xgboost_satisfies_the_pin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "requirements.txt"
    for installed in ("xgboost", "xgboost-cpu"):

        def versions(name: str, installed: str = installed) -> str:
            if name != installed:
                raise run.importlib.metadata.PackageNotFoundError(name)
            return "3.2.0"

        monkeypatch.setattr(run.importlib.metadata, "version", versions)
        for pinned in ("xgboost", "xgboost-cpu"):
            file.write_text(f"{pinned}==3.2.0\n", encoding="utf-8")
            assert run.missing_pins(file) == []
            file.write_text(f"{pinned}==3.0.5\n", encoding="utf-8")
            assert run.missing_pins(file) == [f"{pinned}==3.0.5"]


def test_a_steps_own_requirements_go_before_those_of_all(tmp_path: Path) -> None:
    assert run.requirements_of("train", tmp_path).name == "requirements.txt"
    (tmp_path / "requirements-train.txt").touch()
    assert run.requirements_of("train", tmp_path).name == "requirements-train.txt"
    assert run.requirements_of("prepare", tmp_path).name == "requirements.txt"


def test_missing_pins_are_installed_into_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    def pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        called.append(command)
        return subprocess.CompletedProcess(command, 0, stderr="")

    monkeypatch.setattr(run.subprocess, "run", pip)
    run.install([])
    assert called == []
    run.install(["a==1", "b==2"])
    assert called[0][:4] == [sys.executable, "-m", "pip", "install"]
    assert called[0][-2:] == ["a==1", "b==2"]


def test_a_failed_installation_says_what_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, stderr="WARNING: x\nERROR: no network\n\n")
    monkeypatch.setattr(run.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(run.RunError, match=r"cannot install a==1: ERROR: no network"):
        run.install(["a==1"])
