"""The notebook runs from its first cell to its last, against a local SageMaker of its own."""

import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # jupyter's own deprecations
    import nbformat
    from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def own_plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LOCAL_SAGEMAKER_HOME", str(tmp_path / "home"))
    command = [sys.executable, "-m", "local_sagemaker"]
    ports = ["--port", free_port(), "--s3-port", free_port()]
    subprocess.run([*command, "up", *ports], cwd=ROOT, check=True, capture_output=True)
    yield
    subprocess.run([*command, "down"], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.journey
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("own_plane")
def test_every_cell_of_the_first_notebook_runs() -> None:
    notebook = nbformat.read(ROOT / "notebooks/01_first_run.ipynb", as_version=4)
    client = NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(ROOT / "notebooks")}}
    )
    client.execute()
    shown = "".join(str(cell.get("outputs", "")) for cell in notebook.cells)
    assert "<svg" in shown
    assert "Every gate passed" in shown
    assert "image/png" in shown
