"""Guards: an unprivileged user's forked programs end as root's do, and leave nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local_sagemaker import isolation
from local_sagemaker.config import Config
from local_sagemaker.processes import Processes, ProcessSpec, Usage

# A user who is nobody, in a process of its own (test_isolation.py tells of prctl 4): a pre-imported
# launcher there is told to run two programs, and then left alone with a third.
AS_NOBODY = """
import ctypes, json, os, socket, sys, tempfile
sys.path.insert(0, os.getcwd())
import psutil
from local_sagemaker import isolation
from local_sagemaker.launcher import Launcher
isolation.environments()  # what it imports may lie where nobody can read
os.setgid(65534); os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
home = tempfile.mkdtemp()
ours, theirs = socket.socketpair()
if os.fork() == 0:
    ours.close()
    Launcher(theirs, []).run()
    os._exit(0)
theirs.close()
said = ours.makefile("r")
print(json.loads(said.readline())["isolation"]["user"], flush=True)

def start(script):
    command = ["/bin/sh", "-c", script]
    message = dict(do="start", number=1, command=command, env={}, workspace=home, log=home + "/log")
    ours.sendall(json.dumps(message | {"cwd": None, "path": []}).encode() + b"\\n")
    assert json.loads(said.readline())["event"] == "started"

for script in ("(setsid sleep 53.01 &); exit 5", "kill -TERM $$"):
    start(script)
    print(json.loads(said.readline())["code"], flush=True)
running = psutil.process_iter(["cmdline"])  # a zombie of somebody has none
print(sum(each.info["cmdline"] == ["sleep", "53.01"] for each in running))
start("sleep 53.02")
family = psutil.Process().children(recursive=True)
ours.shutdown(socket.SHUT_RDWR)
print(psutil.wait_procs(family, timeout=10)[1])
"""


@pytest.mark.skipif(
    sys.platform != "linux" or os.getuid() != 0, reason="changes its user: needs root on Linux"
)
def test_nobodys_guarded_programs_end_as_they_should_and_leave_nobody() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", AS_NOBODY], capture_output=True, text=True, check=False, timeout=60
    )
    if ended.stdout.startswith("False"):
        pytest.skip("this kernel gives no user namespaces")
    assert ended.stdout.splitlines() == ["True", "5", "143", "0", "[]"], ended.stderr


# An orphan works for a moment; its program then looks whether it is gone or a zombie.
ORPHAN = """
import os, time
reader, writer = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.write(writer, str(os.getpid()).encode())
        while time.process_time() < 0.5:
            pass
    os._exit(0)
os.wait()
place = f"/proc/{os.read(reader, 20).decode()}"
deadline = time.monotonic() + 20
while os.path.exists(place) and time.monotonic() < deadline:
    time.sleep(0.01)
print("a zombie" if os.path.exists(place) else "gone")
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """With a pre-imported launcher that has nothing imported, if trees are guarded here."""
    if not isolation.probe().pids:
        pytest.skip("this machine gives no process id namespaces")
    made = Processes(Config(home=tmp_path / "home", preload=()))
    assert made.wait_until_preimported(60)
    yield made
    made.close()


def run(processes: Processes, folder: Path, text: str) -> tuple[int | None, str, Usage]:
    """Run a Python program to its end: exit code, what it said, what it used."""
    folder.mkdir()
    (folder / "job.py").write_text(text)
    spec = ProcessSpec("t", ["python3", "job.py"], {}, folder, folder / "log")
    process = processes.start(spec)
    return process.wait(60), (folder / "log").read_text(), process.usage


def test_orphans_are_collected_at_once_and_what_they_used_counts(
    processes: Processes, tmp_path: Path
) -> None:
    code, said, usage = run(processes, tmp_path / "w", ORPHAN)
    assert (code, said) == (0, "gone\n")
    assert usage.cpu_seconds > 0.4


def test_a_nursery_that_dies_is_replaced_with_its_launcher(
    processes: Processes, tmp_path: Path
) -> None:
    launchers = [each for each in psutil.Process().children() if "launcher" in str(each.cmdline())]
    (launcher,) = [each for each in launchers if "--preload" in each.cmdline()]
    nursery = min(launcher.children(), key=psutil.Process.create_time)
    nursery.kill()
    launcher.wait(20)
    assert processes.wait_until_preimported(60)
    assert run(processes, tmp_path / "w", "print(1)")[:2] == (0, "1\n")


# A nursery that cannot fork: its launcher refuses to start, and says why.
WITHOUT_ROOM = """
import json, os, socket, sys, tempfile
sys.path.insert(0, os.getcwd())
from local_sagemaker import isolation
from local_sagemaker.launcher import Launcher
found = isolation.probe()
def no_room(_):
    raise OSError("no room for a process")
isolation.probe, isolation.fork_tree = (lambda: found), no_room
home = tempfile.mkdtemp()
ours, theirs = socket.socketpair()
if os.fork() == 0:
    ours.close()
    Launcher(theirs, []).run()
    os._exit(0)
theirs.close()
said = ours.makefile("r")
said.readline()
message = dict(do="start", number=1, command=["true"], env={}, workspace=home, log=home + "/log")
ours.sendall(json.dumps(message | {"cwd": None, "path": []}).encode() + b"\\n")
print(said.readline())
"""


def test_a_program_that_cannot_be_forked_is_refused_with_the_reason() -> None:
    if not isolation.probe().pids:
        pytest.skip("this machine gives no process id namespaces")
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_ROOM],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    told = json.loads(ended.stdout)
    assert (told["event"], told["reason"]) == ("refused", "no room for a process"), ended.stderr
