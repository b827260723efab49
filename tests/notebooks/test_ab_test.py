"""The A/B notebook: the better of two versions is found, promoted, and rolled back again."""

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
def test_the_better_version_is_promoted_and_then_rolled_back() -> None:
    notebook = nbformat.read(ROOT / "notebooks/02_ab_test.ipynb", as_version=4)
    client = NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(ROOT / "notebooks")}}
    )
    client.execute()
    shown = "".join(str(cell.get("outputs", "")) for cell in notebook.cells)
    assert shown.index("hold: B against A") < shown.index("promote: B against A")
    assert "variant B, version 2, serves alone" in shown
    assert "v2 -> v1; version 1 answered 5 of 5 requests" in shown
    assert shown.count("image/png") == 2
    assert "model ab-test-v2" in shown.split("Deleted")[-1]
