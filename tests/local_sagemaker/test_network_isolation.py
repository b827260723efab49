"""EnableNetworkIsolation: a job reaches a loopback of its own, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_sagemaker import isolation
from tests.local_sagemaker import test_processing_jobs as processing
from tests.local_sagemaker import test_training_jobs as training
from tests.local_sagemaker.test_isolation import AS_NOBODY, root_on_linux

networked = pytest.mark.skipif(
    not isolation.probe().network, reason="this machine gives no network namespaces"
)
# Can it reach the test's S3, what interfaces are there, and does its own loopback work?
PROBE = """
import json, os, socket, sys, threading
port = int(os.environ["AWS_ENDPOINT_URL"].rpartition(":")[2])
try:
    socket.create_connection(("127.0.0.1", port), 5).close()
    outside = True
except OSError:
    outside = False
own = socket.create_server(("127.0.0.1", 0))
socket.create_connection(own.getsockname(), 5).close()
names = [name for _, name in socket.if_nameindex()]
print(json.dumps({"outside": outside, "names": names}))
"""


def printed(local: Any, kind: str, name: str = "job") -> list[str]:
    """What the job's program printed, and what was said to it, once it has completed."""
    row = local.until(f"{kind}-job", "job")
    log = local.plane.config.home / f"logs/{kind}-job/{name}.log"
    status = row["TrainingJobStatus" if kind == "training" else "ProcessingJobStatus"]
    assert status == "Completed", log.read_text()
    return str(log.read_text()).splitlines()


def trained(local: Any, **changes: Any) -> list[str]:
    wanted = training.request(local, "", **changes)
    local.put("data/train/probe.py", PROBE)
    program = ["python3", "/opt/ml/input/data/train/probe.py"]
    wanted["AlgorithmSpecification"].update(ContainerEntrypoint=program, ContainerArguments=["x"])
    local.client().create_training_job(**wanted)
    return printed(local, "training")


def processed(local: Any, program: str = PROBE, isolated: bool = True) -> list[str]:
    wanted = processing.request(
        local,
        "",
        NetworkConfig={"EnableNetworkIsolation": isolated},
        ProcessingInputs=[processing.an_input("code", local.put("code/run.py", program))],
    )
    command = ["python3", f"{processing.HOME}/input/code/run.py"]
    wanted["AppSpecification"].update(ContainerEntrypoint=command, ContainerArguments=["x"])
    local.client().create_processing_job(**wanted)
    return printed(local, "processing")


@networked
def test_an_isolated_training_job_has_loopback_alone(local: Any) -> None:
    (line,) = trained(local, EnableNetworkIsolation=True)
    assert json.loads(line) == {"outside": False, "names": ["lo"]}


@networked
def test_an_isolated_processing_job_has_loopback_alone_and_delivers(local: Any) -> None:
    (line,) = processed(local)
    assert json.loads(line) == {"outside": False, "names": ["lo"]}


def test_other_jobs_reach_s3(local: Any) -> None:
    (line,) = processed(local, isolated=False)
    assert json.loads(line)["outside"] is True


@networked
def test_a_forked_python_program_is_isolated_too(start: Callable[..., Any], tmp_path: Path) -> None:
    local = start(tmp_path / "home", slots=1, preload=("decimal",))
    assert local.plane.processes.wait_until_preimported(60)
    program = f"import sys\nprint('decimal' in sys.modules)\n{PROBE}"
    forked, line = processed(local, program)
    assert (forked, json.loads(line)["names"]) == ("True", ["lo"])


def test_several_isolated_instances_are_told_that_they_cannot_talk(local: Any) -> None:
    wanted = training.request(local, "true", EnableNetworkIsolation=True)
    wanted["ResourceConfig"]["InstanceCount"] = 2
    local.client().create_training_job(**wanted)
    assert "they cannot reach each other either" in printed(local, "training")[0]


# A launcher on a machine whose kernel gives no network namespaces runs one program.
WITHOUT = """
import dataclasses, json, os, socket, sys, tempfile
sys.path.insert(0, os.getcwd())
from local_sagemaker import isolation
from local_sagemaker.launcher import Launcher
found = dataclasses.replace(isolation.probe(), network=False)
isolation.probe = lambda: found
home = tempfile.mkdtemp()
ours, theirs = socket.socketpair()
if os.fork() == 0:
    ours.close()
    Launcher(theirs, None).run()
    os._exit(0)
theirs.close()
said = ours.makefile("r")
said.readline()
message = dict(do="start", number=1, command=["true"], env={}, workspace=home, log=home + "/log")
message |= {"cwd": None, "path": [], "network": False}
ours.sendall(json.dumps(message).encode() + b"\\n")
print([json.loads(said.readline())["event"] for _ in range(2)])
print(open(home + "/log").read())
"""


def test_a_machine_without_network_namespaces_says_so_in_the_log() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False, timeout=60
    )
    events, said = ended.stdout.split("\n", 1)
    assert events == "['started', 'ended']", ended.stderr
    assert "EnableNetworkIsolation is not enforced on this machine" in said


@root_on_linux
def test_nobody_can_leave_the_network_too() -> None:
    script = AS_NOBODY.replace(
        "isolation.enter_workspace(found, workspace)",
        "isolation.enter_workspace(found, workspace); isolation.leave_network(found)\n"
        "    import socket; print([name for _, name in socket.if_nameindex()], flush=True)",
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, "/opt/ml"], capture_output=True, text=True, check=False
    )
    if "network namespace" not in ended.stdout:
        pytest.skip("this kernel gives no user namespaces")
    assert "['lo']" in ended.stdout.splitlines(), (ended.stderr, os.getuid())
