"""Namespaces: what this machine allows, and that an unprivileged user gets the same as root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local_sagemaker import isolation

# A user who is nobody, in a process of its own. After setuid the files of /proc/self belong to
# root, until the process is made dumpable again (prctl 4). Where /opt/ml should be is the first
# argument.
AS_NOBODY = """
import ctypes, os, sys, tempfile
from pathlib import Path
sys.path.insert(0, os.getcwd())
from local_sagemaker import isolation
isolation.OPT_ML = Path(sys.argv[1])
os.setgid(65534); os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
found = isolation.probe()
print(found.describe(), flush=True)
isolation.enter(found)
workspace = Path(tempfile.mkdtemp())
pid = isolation.fork_tree(found)
if pid == 0:
    isolation.enter_workspace(found, workspace)
    (isolation.OPT_ML / "made").write_text("x")
    print(sorted(os.listdir("/opt")), os.getuid(), flush=True)
    os._exit(5)
print(isolation.exit_code(os.waitpid(pid, 0)[1]), os.listdir(workspace))
"""

NOBODYS = "unprivileged mount namespace, process id namespace"

root_on_linux = pytest.mark.skipif(
    sys.platform != "linux" or os.getuid() != 0, reason="changes its user: needs root on Linux"
)


@root_on_linux
@pytest.mark.parametrize("place", ["ml", "a-name-that-does-not-exist"])
def test_nobody_gets_a_workspace_too_and_still_sees_all_of_opt(place: str) -> None:
    before = {each.name for each in Path("/opt").iterdir()}
    ended = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, f"/opt/{place}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.stdout.startswith(isolation.NONE.describe()):
        pytest.skip("this kernel gives no user namespaces")
    seen = sorted(before | {place})
    assert ended.stdout.splitlines() == [
        NOBODYS + (", network namespace on request" if isolation.probe().network else ""),
        f"{seen} 65534",
        "5 ['made']",
    ], ended.stderr
    assert {each.name for each in Path("/opt").iterdir()} == before


def test_a_machine_that_allows_nothing_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_works", lambda _: False)
    assert isolation.probe() == isolation.NONE
    assert "rewritten" in isolation.NONE.describe()


def test_the_exit_code_of_a_signal_is_128_and_its_number() -> None:
    assert [isolation.exit_code(status) for status in (0, 3 << 8, 9, 15)] == [0, 3, 137, 143]
