"""Python jobs in a forked, pre-imported interpreter: nobody can tell them from `python job.py`."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from local_sagemaker import isolation, launcher, takeover
from local_sagemaker.config import Config
from local_sagemaker.processes import Process, Processes, ProcessSpec
from local_sagemaker.supervisor import Program

PATIENCE = 60.0
Ran = Callable[..., tuple[int | None, str]]
# Is this process a fork of the launcher (and not executed)? Its command line tells.
FORKED = "print('local_sagemaker.launcher' in open('/proc/self/cmdline').read())\n"


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    made = Processes(Config(home=tmp_path_factory.mktemp("home"), preload=("numpy", "xgboost")))
    assert made.wait_until_preimported(PATIENCE), "threads run in the pre-imported launcher"
    yield made
    made.close()


@pytest.fixture
def ran(processes: Processes, tmp_path: Path) -> Ran:
    """Run a script (or a whole command) to its end: its exit code and all it said."""

    def go(text: str = "", command: list[str] | None = None, **env: str) -> tuple[int | None, str]:
        (tmp_path / "job.py").write_text(text)
        words = command or ["python3", "job.py", "--alpha", "1"]
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        spec = ProcessSpec("t", words, env, tmp_path, log)
        return processes.start(spec).wait(PATIENCE), log.read_text()

    return go


def test_a_script_is_taken_over_with_everything_python_gives_it(ran: Ran) -> None:
    code, said = ran(
        FORKED
        + "import os, sys\n"
        + "print(__name__, __file__, sys.argv, os.getcwd(), sys.path[0])\n"
        + "print(sys.modules['__main__'].__file__)\n"
        + "print(os.environ['MINE'], 'local_sagemaker' in sys.modules, sys.executable)\n",
        MINE="yes",
    )
    assert code == 0
    assert said.splitlines() == [
        "True",
        "__main__ job.py ['job.py', '--alpha', '1'] /opt/ml /opt/ml",
        "job.py",
        f"yes False {sys.executable}",
    ]


def test_a_module_is_taken_over(ran: Ran, tmp_path: Path) -> None:
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool" / "__main__.py").write_text(
        FORKED + "import sys; print(__name__, __package__, sys.argv[1:])"
    )
    code, said = ran(command=["python", "-u", "-m", "tool", "x"])
    assert (code, said) == (0, "True\n__main__ tool ['x']\n")


@pytest.mark.parametrize(
    ("ending", "code", "words"),
    [
        ("sys.exit(7)", 7, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit('no data')", 1, "no data"),
        ("raise ValueError('bad row')", 1, "ValueError: bad row"),
        ("os._exit(9)", 9, ""),
        ("os.kill(os.getpid(), 15)", 143, ""),
        ("os.abort()", 134, ""),
    ],
)
def test_it_ends_as_python_ends(ran: Ran, ending: str, code: int, words: str) -> None:
    ended, said = ran(f"import os, sys\n{ending}\n")
    assert ended == code
    assert words in said
    assert "takeover.py" not in said


def test_exit_hooks_threads_and_open_files_are_finished(ran: Ran, tmp_path: Path) -> None:
    code, said = ran(
        "import atexit, threading, time\n"
        "atexit.register(print, 'last')\n"
        "threading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()\n"
        "kept = open('/opt/ml/kept', 'w'); kept.write('unflushed')\n"
        "print('main', end=' ')\n"
    )
    assert (code, said) == (0, "main thread\nlast\n")
    assert (tmp_path / "kept").read_text() == "unflushed"


def test_what_a_fork_could_not_honour_is_executed(ran: Ran, tmp_path: Path) -> None:
    assert ran(FORKED, PYTHONHASHSEED="0")[1] == "False\n"
    assert ran(FORKED, LD_LIBRARY_PATH="/nowhere")[1] == "False\n"
    assert ran(FORKED, command=["python", "-O", "job.py"])[1] == "False\n"
    (tmp_path / "scipy.py").write_text("mine = True")
    assert ran(FORKED + "import scipy; print(scipy.mine)")[1] == "False\nTrue\n"


def test_what_scikit_learn_leaves_in_the_environment_hinders_no_fork(ran: Ran) -> None:
    left = {"KMP_DUPLICATE_LIB_OK": "True", "KMP_INIT_AT_FORK": "FALSE"}
    assert ran(FORKED, **left)[1] == "True\n"


def test_a_missing_script_is_pythons_own_error(ran: Ran) -> None:
    code, said = ran(command=["python3", "nowhere.py"])
    assert code == 2
    assert "can't open file" in said


def test_jobs_draw_different_random_numbers(ran: Ran) -> None:
    text = "import numpy, random; print(numpy.random.rand(), random.random())"
    first, second = ran(text)[1].split(), ran(text)[1].split()
    assert len({*first, *second}) == 4


def test_thread_counts_of_the_environment_are_honoured(ran: Ran) -> None:
    text = (
        FORKED
        + "from threadpoolctl import threadpool_info\n"
        + "print(sorted({(p['user_api'], p['num_threads']) for p in threadpool_info()}))"
    )
    assert ran(text, OMP_NUM_THREADS="3", OPENBLAS_NUM_THREADS="2")[1].splitlines() == [
        "True",
        "[('blas', 2), ('openmp', 3)]",
    ]


def test_xgboost_trains_in_several_forks_at_once(processes: Processes, tmp_path: Path) -> None:
    text = FORKED + (
        "import sys, numpy, xgboost\n"
        "x = numpy.random.default_rng(0).random((2000, 10), dtype='f4')\n"
        "(x @ x.T).sum()\n"
        "data = xgboost.DMatrix(x, label=x[:, 0] > x[:, 1])\n"
        "parameters = {'nthread': int(sys.argv[1]), 'objective': 'binary:logistic'}\n"
        "print(len(xgboost.train(parameters, data, 5).get_dump()))\n"
    )

    def one(number: int) -> tuple[int | None, str]:
        workspace = tmp_path / str(number)
        workspace.mkdir()
        (workspace / "job.py").write_text(text)
        command = ["python3", "job.py", str(1 + number % 2)]
        spec = ProcessSpec("t", command, {}, workspace, workspace / "log")
        return processes.start(spec).wait(PATIENCE), (workspace / "log").read_text()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == [(0, "True\n5\n")] * 4


def test_a_module_that_starts_a_thread_makes_the_launcher_unusable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "thread_count", lambda: 2)
    assert "2 threads run after importing json" in launcher._preload(["json"])


def test_a_module_that_fails_to_load_makes_jobs_be_executed_not_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_library.py").write_text("raise RuntimeError('half installed')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "half installed" in launcher._preload(["not_installed_at_all", "broken_library"])


def test_without_namespaces_opt_ml_is_rewritten_everywhere_it_is_spelled(tmp_path: Path) -> None:
    drivers = tmp_path / "input" / "data" / "sm_drivers" / "scripts"
    drivers.mkdir(parents=True)
    (drivers / "environment.py").write_text('MODEL = "/opt/ml/model"')
    (drivers / "notes.txt").write_text("/opt/ml")
    program = Program(
        ["bash", "-c", "ls /opt/ml/input"], {"SM_MODEL_DIR": "/opt/ml/model"}, tmp_path, "/opt/ml"
    )
    there = launcher.rewritten(program)
    assert there.command == ["bash", "-c", f"ls {tmp_path}/input"]
    assert there.env == {"SM_MODEL_DIR": f"{tmp_path}/model"}
    assert there.cwd == str(tmp_path)
    assert (drivers / "environment.py").read_text() == f'MODEL = "{tmp_path}/model"'
    assert (drivers / "notes.txt").read_text() == "/opt/ml"


def test_process_groups_alone_also_take_the_whole_tree_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a machine without namespaces does, played: the launcher finds nothing that works."""
    (tmp_path / "site").mkdir()
    program = (
        "import sys\n"
        f"sys.path.insert(0, {str(Path.cwd())!r})\n"
        "from local_sagemaker import isolation, launcher\n"
        "isolation.probe = lambda: isolation.NONE\n"
        "sys.path.insert(0, '')\n"
        "sys.exit(launcher.main())\n"
    )
    (tmp_path / "launch.py").write_text(program)
    from local_sagemaker import processes as module

    spawn = module.subprocess.Popen

    def popen(command: list[str], **options: object) -> object:
        return spawn([command[0], str(tmp_path / "launch.py"), *command[3:]], **options)

    monkeypatch.setattr(module.subprocess, "Popen", popen)
    processes = Processes(Config(home=tmp_path))
    try:
        assert processes.isolation == isolation.NONE.describe()
        process = _left_behind(processes, tmp_path)
        assert process.wait(PATIENCE) == 0
        assert (tmp_path / "log").read_text() == ""
        _gone(int((tmp_path / "daemon").read_text()))
    finally:
        processes.close()


def _left_behind(processes: Processes, workspace: Path) -> Process:
    command = "setsid sleep 63 & echo $! > /opt/ml/daemon; test -s /opt/ml/daemon"
    return processes.start(
        ProcessSpec("t", ["bash", "-c", command], {}, workspace, workspace / "log")
    )


def _gone(pid: int) -> None:
    assert (
        not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]
    )


@pytest.fixture
def spare(processes: Processes) -> psutil.Process:
    """The process that waits for the next program."""
    if "process id namespace" not in processes.isolation:
        pytest.skip("there is none without process id namespaces")
    return _spare_of(processes)


def _spare_of(processes: Processes) -> psutil.Process:
    launcher_pid = processes._link("pre-imported")._launcher.pid
    deadline = time.monotonic() + PATIENCE
    while True:
        children = psutil.Process(launcher_pid).children()
        waiting = [each for each in children if each.status() == psutil.STATUS_SLEEPING]
        spares = [each for each in waiting if not each.children()]  # the nursery has guards
        if spares:
            return spares[0]
        assert time.monotonic() < deadline, "no process was forked for the next program"
        threading.Event().wait(0.01)


def test_a_program_begins_in_the_process_that_was_forked_before(
    processes: Processes, spare: psutil.Process, tmp_path: Path
) -> None:
    (tmp_path / "job.py").write_text(FORKED)
    spec = ProcessSpec("t", ["python3", "job.py"], {}, tmp_path, tmp_path / "log")
    process = processes.start(spec)
    assert process.pid == spare.pid
    assert process.wait(PATIENCE) == 0
    assert _spare_of(processes).pid != spare.pid


def test_a_program_begins_though_the_process_kept_for_it_has_died(
    ran: Ran, spare: psutil.Process
) -> None:
    spare.kill()
    while spare.is_running() and spare.status() != psutil.STATUS_ZOMBIE:
        threading.Event().wait(0.01)
    assert ran("print('on')") == (0, "on\n")


def test_no_process_waits_any_more_after_the_end(tmp_path: Path) -> None:
    made = Processes(Config(home=tmp_path))
    made.wait_until_preimported(PATIENCE)
    if "process id namespace" not in made.isolation:
        made.close()
        pytest.skip("there is none without process id namespaces")
    (tmp_path / "job.py").write_text("")
    spec = ProcessSpec("t", ["python3", "job.py"], {}, tmp_path, tmp_path / "log")
    made.start(spec).wait(PATIENCE)
    waits = _spare_of(made)
    made.close()
    _gone(waits.pid)


def test_only_python_commands_are_taken_over() -> None:
    assert takeover.is_our_python("python3")
    assert takeover.is_our_python(sys.executable)
    assert not takeover.is_our_python("/usr/bin/python9")
    assert not takeover.is_our_python("bash")
