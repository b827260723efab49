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
