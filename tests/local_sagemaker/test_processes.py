"""Process trees: they run in their own /opt/ml, end as a shell would say, and outlive nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from local_sagemaker.config import Config
from local_sagemaker.processes import (
    PREIMPORTED,
    Process,
    Processes,
    ProcessSpec,
    ProcessStartError,
)

PATIENCE = 20.0
Run = Callable[..., Process]


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Nothing pre-imported: these tests are about processes."""
    made = Processes(Config(home=tmp_path_factory.mktemp("home")))
    assert made.wait_until_preimported(PATIENCE)
    yield made
    made.close()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    made = tmp_path / "workspace"
    made.mkdir()
    return made


@pytest.fixture
def run(processes: Processes, workspace: Path, tmp_path: Path) -> Run:
    """Start a command; a str is a shell's, a Path is a Python script in the workspace."""

    def go(command: list[str] | str, **changes: object) -> Process:
        words = ["bash", "-c", command] if isinstance(command, str) else command
        spec = {"env": {}, "workspace": workspace, "log": tmp_path / "log", **changes}
        return processes.start(ProcessSpec("test", words, **spec))  # type: ignore[arg-type]

    return go


@pytest.fixture
def said(tmp_path: Path) -> Callable[[], str]:
    return lambda: (tmp_path / "log").read_text()


def script(workspace: Path, text: str, name: str = "script.py") -> list[str]:
    (workspace / name).write_text(text)
    return ["python3", f"/opt/ml/{name}"]


def wait_for_file(path: Path) -> str:
    """What the file says, once it says something."""
    deadline = time.monotonic() + PATIENCE
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < deadline, f"{path} did not appear"
        threading.Event().wait(0.005)
    return path.read_text()


def wait_until_gone(process: psutil.Process) -> None:
    """psutil knows a process by pid and start time: a new one with the same pid does not confuse
    it.
    """
    _, alive = psutil.wait_procs([process], timeout=PATIENCE)
    assert not alive, f"{alive} still runs"


def inside(marker: str) -> psutil.Process:
    """The `sleep` on this machine that carries the marker in its command line, once it runs."""
    deadline = time.monotonic() + PATIENCE
    while True:
        for each in psutil.process_iter(["cmdline"]):
            if each.info["cmdline"] == ["sleep", marker]:
                return each
        assert time.monotonic() < deadline, f"no process sleeps {marker}"


def test_the_workspace_is_opt_ml(run: Run, workspace: Path) -> None:
    (workspace / "given").write_text("from outside")
    assert run("cat /opt/ml/given > /opt/ml/found").wait(PATIENCE) == 0
    assert (workspace / "found").read_text() == "from outside"
    assert not Path("/opt/ml/found").exists()


def test_two_trees_at_once_do_not_see_each_other(processes: Processes, tmp_path: Path) -> None:
    def one(number: int) -> str:
        workspace = tmp_path / str(number)
        workspace.mkdir()
        command = f"echo {number} > /opt/ml/mine; cat /opt/ml/mine; ls /opt/ml"
        spec = ProcessSpec("t", ["bash", "-c", command], {}, workspace, workspace / "log")
        assert processes.start(spec).wait(PATIENCE) == 0
        return (workspace / "mine").read_text() + (workspace / "log").read_text()

    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(one, range(8)))
    assert told == [f"{n}\n{n}\nlog\nmine\n" for n in range(8)]


@pytest.mark.parametrize(
    ("command", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
)
def test_the_exit_code_is_the_one_a_shell_shows(run: Run, command: str, code: int) -> None:
    assert run(command).wait(PATIENCE) == code


def test_a_command_that_does_not_exist_ends_with_127_and_says_so(
    run: Run, said: Callable[[], str]
) -> None:
    assert run(["no-such-program", "x"]).wait(PATIENCE) == 127
    assert "no-such-program" in said()


def test_a_missing_workspace_is_refused_by_name(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ProcessStartError, match="nowhere"):
        run("true", workspace=tmp_path / "nowhere")


def test_the_environment_is_the_given_one_without_the_servers_aws_access(
    run: Run, said: Callable[[], str]
) -> None:
    assert run("env", env={"AWS_REGION": "eu-west-1"}).wait(PATIENCE) == 0
    seen = dict(line.split("=", 1) for line in said().splitlines() if "=" in line)
    assert [name for name in seen if name.startswith("AWS_")] == ["AWS_REGION"]
    assert seen["PATH"].split(":")[0] == str(Path(sys.executable).parent)


def test_python_is_the_servers_own_also_when_it_is_executed(
    run: Run, said: Callable[[], str]
) -> None:
    assert run(["python3", "-c", "import sys; print(sys.prefix)"]).wait(PATIENCE) == 0
    assert said().strip() == sys.prefix


def test_wait_gives_none_when_the_time_is_over(run: Run) -> None:
    process = run("sleep 60")
    assert process.wait(0.01) is None
    assert process.alive
    process.stop(0)
    assert process.wait(PATIENCE) == 137
    assert not process.alive


def test_stop_is_a_sigterm_that_a_program_may_handle(run: Run, workspace: Path) -> None:
    process = run(
        "trap 'echo > /opt/ml/end; exit 7' TERM; echo x > /opt/ml/up; while :; do sleep .01; done"
    )
    wait_for_file(workspace / "up")
    process.stop(PATIENCE)
    assert process.wait(PATIENCE) == 7
    assert (workspace / "end").exists()


def test_a_stop_that_comes_at_once_is_not_lost(run: Run) -> None:
    codes = []
    for _ in range(10):
        process = run(["sleep", "30"])
        process.stop(PATIENCE)
        codes.append(process.wait(PATIENCE / 2))
    assert codes == [128 + signal.SIGTERM] * 10


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace(
    run: Run, workspace: Path
) -> None:
    process = run("trap '' TERM; echo x > /opt/ml/up; while :; do sleep .01; done")
    wait_for_file(workspace / "up")
    process.stop(0.05)
    assert process.wait(PATIENCE) == 137


def test_a_daemon_that_was_left_behind_ends_with_its_tree(run: Run, workspace: Path) -> None:
    marker = "61.0137"
    process = run(f"setsid nohup sleep {marker} & sleep 0.05; echo x > /opt/ml/up; sleep 60")
    wait_for_file(workspace / "up")
    daemon = inside(marker)
    process.stop(0)
    process.wait(PATIENCE)
    wait_until_gone(daemon)


def test_usage_tells_cpu_and_memory(run: Run, workspace: Path) -> None:
    process = run(script(workspace, "x = b'1' * 50_000_000\nsum(range(3_000_000))"))
    assert process.wait(PATIENCE) == 0
    assert process.usage.cpu_seconds > 0.01
    assert process.usage.max_rss_bytes > 50_000_000


def test_kill_9_of_the_server_leaves_no_process(tmp_path: Path) -> None:
    marker = "62.0138"
    server = f"""
import sys; sys.path.insert(0, {str(Path.cwd())!r})
from pathlib import Path
from local_sagemaker.config import Config
from local_sagemaker.processes import Processes, ProcessSpec
home = Path({str(tmp_path)!r})
spec = ProcessSpec("t", ["bash", "-c", "setsid sleep {marker} & echo x > /opt/ml/up; sleep 60"],
                   {{}}, home, home / "log")
Processes(Config(home=home)).start(spec).wait()
"""
    parent = subprocess.Popen([sys.executable, "-c", server])
    try:
        wait_for_file(tmp_path / "up")
        family = [*psutil.Process(parent.pid).children(recursive=True), inside(marker)]
        assert len(family) >= 4  # two launchers or one, the supervisor, bash, its sleep, the daemon
    finally:
        parent.kill()
        parent.wait()
    for each in family:
        wait_until_gone(each)


def test_a_dead_launcher_ends_its_trees_and_is_replaced(tmp_path: Path) -> None:
    processes = Processes(Config(home=tmp_path))
    try:
        assert processes.wait_until_preimported(PATIENCE)
        link = processes._links[PREIMPORTED]
        spec = ProcessSpec(
            "t", script(tmp_path, "import time; time.sleep(60)"), {}, tmp_path, tmp_path / "log"
        )
        process = processes.start(spec)
        tree = psutil.Process(process.pid)
        os.kill(link._launcher.pid, signal.SIGKILL)
        assert process.wait(PATIENCE) == 137
        assert "launcher" in process.reason
        wait_until_gone(tree)
        again = processes.start(
            ProcessSpec("t", ["bash", "-c", "exit 5"], {}, tmp_path, tmp_path / "log")
        )
        assert again.wait(PATIENCE) == 5
        assert processes.wait_until_preimported(PATIENCE)
    finally:
        processes.close()


def test_after_close_nothing_runs_and_nothing_starts(tmp_path: Path) -> None:
    processes = Processes(Config(home=tmp_path))
    spec = ProcessSpec("t", ["sleep", "60"], {}, tmp_path, tmp_path / "log")
    process = processes.start(spec)
    tree = psutil.Process(process.pid)
    processes.close()
    assert process.wait(PATIENCE) == 137
    wait_until_gone(tree)
    with pytest.raises(ProcessStartError, match="shutting down"):
        processes.start(spec)
