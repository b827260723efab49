"""Script mode: AWS's image finds the two functions however it imports the entry file."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from inference import codecs, script

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """The bundle's code/ folder: inference.py beside inference/."""
    shutil.copytree(PROJECT / "inference", tmp_path / "code/inference")
    shutil.copy(PROJECT / "inference/program.py", tmp_path / "code/inference.py")
    return tmp_path / "code"


def test_transform_fn_answers_like_the_server(bundle_folder: Path) -> None:
    bundle = script.model_fn(str(bundle_folder))
    body, media_type = script.transform_fn(bundle, b'{"age": 30}', "application/json", "*/*")
    assert media_type == "application/json"
    assert json.loads(body)["model_version"] == "abc123"
    text, media_type = script.transform_fn(bundle, "30,Köln,Yes,", "text/csv", "text/csv")
    assert media_type == "text/csv"
    assert text.count(b"\n") == 1


def test_a_bad_request_raises_its_reason(bundle_folder: Path) -> None:
    bundle = script.model_fn(str(bundle_folder))
    with pytest.raises(codecs.RequestError, match="not a number"):
        script.transform_fn(bundle, b'{"age": "x"}', "application/json", "*/*")


def test_the_package_is_found_when_it_lies_beside_the_file(code: Path, bundle_folder: Path) -> None:
    _ask("import inference", bundle_folder, cwd=code)


def test_the_file_alone_finds_its_package(code: Path, bundle_folder: Path, tmp_path: Path) -> None:
    installed = tmp_path / "site"
    installed.mkdir()
    shutil.copy(code / "inference.py", installed / "inference.py")
    _ask("import inference", bundle_folder, cwd=installed, submit_directory=code)


def _ask(
    statement: str, bundle_folder: Path, cwd: Path, submit_directory: Path | None = None
) -> None:
    program = (
        f"{statement}; assert hasattr(inference, 'model_fn');"
        f"bundle = inference.model_fn({str(bundle_folder)!r});"
        "print(inference.transform_fn(bundle, '30,Rio,Yes,', 'text/csv', 'text/csv')[1])"
    )
    environment = {"SAGEMAKER_SUBMIT_DIRECTORY": str(submit_directory)} if submit_directory else {}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "text/csv", done.stderr
