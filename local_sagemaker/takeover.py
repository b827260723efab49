"""Run a Python command inside a forked, pre-imported interpreter, as `python script.py` or `python
-m module` would.

`plan` says whether a command can be taken over, and is careful: whatever would behave differently
(interpreter flags, variables that libraries read while they load, files that shadow a module loaded
already) is executed plainly instead. `run` is called in a process made for it, whose stdout and
stderr are the job's log; it never returns.

Known limits: an object's `__del__` is not called at the end of the process (open files are
flushed), and `sys.modules` already holds the pre-imported modules.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import io
import os
import runpy
import sys
import threading
import types
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, NoReturn

from local_sagemaker.supervisor import Program

PYTHONS = frozenset({"python", "python3", f"python3.{sys.version_info.minor}"})
# Read by libraries, or by Python itself, before the first line of a program: a fork comes too late
# for them.
LOAD_TIME_PREFIXES = (
    "LD_",
    "DYLD_",
    "MALLOC_",
    "GLIBC_",
    "GOMP_",
    "OMP_",
    "KMP_",
    "MKL_",
    "PYTHON",
)
HONOURED = frozenset({"OMP_NUM_THREADS", "PYTHONPATH", "PYTHONUNBUFFERED"})
# scikit-learn sets these where it is imported, so every child of such a process has them.
HARMLESS = frozenset({"KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"})
THREADS = {
    "openmp": ("OMP_NUM_THREADS",),
    "blas": ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "SM_NUM_CPUS"),
}


@dataclass(frozen=True)
class Plan:
    """A command that this interpreter can run itself: a script or (module=True) a module, and its
    arguments.
    """

    target: str
    arguments: list[str]
    module: bool
    path: list[str]


@dataclass(frozen=True)
class Interpreter:
    """What the forked interpreter brings: found out once, before the fork, because every page
    touched is copied.
    """

    path: list[str]
    loaded: frozenset[str]
    ours: list[str]
    thread_pools: list[Any]


def interpreter(path: list[str]) -> Interpreter:
    """Describe this interpreter as it is now: the modules it has loaded, the native thread pools
    among them.
    """
    loaded = frozenset(name.partition(".")[0] for name in sys.modules)
    ours = [name for name in sys.modules if name.partition(".")[0] == "local_sagemaker"]
    return Interpreter(path, loaded, ours, _thread_pools())


def plan(program: Program, here: Interpreter) -> Plan | None:
    """How to run the command in this process, or None when it must be executed. Called in the job's
    cwd.
    """
    if not is_our_python(program.command[0]) or not _can_honour(program.env):
        return None
    rest = program.command[1:]
    if rest[:1] == ["-u"]:
        rest = rest[1:]
    module = rest[:1] == ["-m"]
    rest = rest[1:] if module else rest
    if not rest or rest[0].startswith("-") or not (module or _is_script(rest[0])):
        return None
    first = str(Path.cwd()) if module else str(Path(rest[0]).resolve().parent)
    added = [each for each in program.env.get("PYTHONPATH", "").split(os.pathsep) if each]
    if any(_shadows(each, here.loaded) for each in (first, *added)):
        return None
    return Plan(rest[0], rest[1:], module, [first, *added, *here.path])


def run(planned: Plan, program: Program, here: Interpreter) -> NoReturn:
    """Become that program; ends the process with the exit code that python would give."""
    _dress(planned, program, here)
    code = _execute(planned)
    try:
        _finish()
    finally:
        os._exit(code)


def is_our_python(name: str) -> bool:
    if os.sep not in name:
        return name in PYTHONS
    return name == sys.executable


def _can_honour(env: dict[str, str]) -> bool:
    known = HONOURED | HARMLESS
    return not any(name.startswith(LOAD_TIME_PREFIXES) and name not in known for name in env)


def _is_script(name: str) -> bool:
    return name.endswith(".py") and Path(name).is_file()


def _shadows(folder: str, loaded: frozenset[str]) -> bool:
    """Does a file here carry the name of a module that is loaded already, so that `import` would
    miss it?
    """
    with contextlib.suppress(OSError):
        return any(each.name.partition(".")[0] in loaded for each in Path(folder).iterdir())
    return False


def _dress(planned: Plan, program: Program, here: Interpreter) -> None:
    os.environ.clear()
    os.environ.update(program.env)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - open as long as the process lives
    sys.stdout = sys.__stdout__ = _text(1, "strict")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _text(2, "backslashreplace")  # type: ignore[misc]
    sys.path[:] = planned.path
    sys.argv = [planned.target, *planned.arguments]
    sys.orig_argv[:] = program.command
    for name in here.ours:
        del sys.modules[name]
    _reseed()
    for pool in here.thread_pools:
        _set_threads(pool, program.env)


def _text(descriptor: int, errors: str) -> io.TextIOWrapper:
    raw = open(descriptor, "wb", closefd=False)  # noqa: SIM115 - open as long as the process lives
    return io.TextIOWrapper(raw, encoding="utf-8", errors=errors, line_buffering=True)


def _reseed() -> None:
    # numpy seeds its global generator when it is imported: without this all jobs would draw the
    # same numbers.
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def _thread_pools() -> list[Any]:
    """The OpenMP and BLAS libraries that are loaded, each with set_num_threads."""
    try:
        threadpoolctl = importlib.import_module("threadpoolctl")
    except ImportError:
        return []
    return list(threadpoolctl.ThreadpoolController().lib_controllers)


def _set_threads(pool: Any, env: dict[str, str]) -> None:
    """Give a native thread pool the size it would have read from the environment while loading."""
    wanted = next((env[name] for name in THREADS.get(pool.user_api, ()) if env.get(name)), "")
    with contextlib.suppress(ValueError):
        pool.set_num_threads(int(wanted.split(",")[0]) if wanted else os.cpu_count() or 1)


def _execute(planned: Plan) -> int:
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    try:
        if planned.module:
            runpy._run_module_as_main(planned.target)  # type: ignore[attr-defined] # what `python -m` calls
        else:
            _run_script(planned.target, main)
    except SystemExit as end:
        return _exit_code(end.code)
    except BaseException as problem:  # noqa: BLE001 - whatever ends the program ends it
        _report(problem)
        return 130 if isinstance(problem, KeyboardInterrupt) else 1
    return 0


def _run_script(script: str, main: types.ModuleType) -> None:
    main.__file__ = script
    main.__loader__ = SourceFileLoader("__main__", script)
    main.__dict__["__cached__"] = None
    code = compile(Path(script).read_bytes(), script, "exec", dont_inherit=True)
    exec(code, main.__dict__)  # noqa: S102 - running the job's program is what we are here for


def _exit_code(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def _report(problem: BaseException) -> None:
    trace = problem.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, "<frozen runpy>"):
        trace = trace.tb_next
    sys.excepthook(type(problem), problem.with_traceback(trace), trace)


def _finish() -> None:
    """What the interpreter does at its end, as far as anybody can see it from outside."""
    with contextlib.suppress(BaseException):  # a failing exit hook has reported itself
        threading._shutdown()  # type: ignore[attr-defined] # waits for non-daemon threads
        atexit._run_exitfuncs()
    for each in gc.get_objects():
        if isinstance(each, io.TextIOWrapper | io.BufferedWriter | io.BufferedRandom):
            with contextlib.suppress(OSError, ValueError):
                each.flush()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    ctypes.CDLL(None).fflush(None)
