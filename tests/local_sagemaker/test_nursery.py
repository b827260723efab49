"""Guards: an unprivileged user's forked programs end as root's do, and leave nobody."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# A user who is nobody, in a process of its own (test_isolation.py tells of prctl 4): a pre-imported
# launcher there is told to run two programs, and then left alone with a third.
AS_NOBODY = """
import ctypes, json, os, socket, sys, tempfile
sys.path.insert(0, os.getcwd())
import psutil
from local_sagemaker.launcher import Launcher
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
