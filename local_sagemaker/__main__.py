"""The command line: up | down | status | env | logs | reset | operations.

why, replay and bundle, which look at one step of an execution, stand in step_commands.py.

Reads arguments and the environment, calls one function, prints what it did. Exit codes: 0 done, 1
it did not work (the reason is printed), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local_sagemaker import config, daemon, step_commands
from local_sagemaker.containers import archives
from local_sagemaker.store_schema import OtherVersion

EXAMPLE = """\
example:
  python -m local_sagemaker up
  eval "$(python -m local_sagemaker env)"
  aws sagemaker list-training-jobs      # boto3 and the SageMaker SDK find it as well
  python -m local_sagemaker down
"""
PRELOAD = ("numpy", "pandas", "xgboost", "sklearn")

Command = Callable[[argparse.Namespace, Path], int]


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    arguments = parser().parse_args(argv)
    home = config.home_directory(os.environ)
    command: Command = arguments.command
    try:
        return command(arguments, home)
    except (daemon.DaemonError, OtherVersion) as cause:
        print(f"local_sagemaker: {cause}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    except BrokenPipeError:  # `... | head`: nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m local_sagemaker",
        description="SageMaker on this machine: the real wire protocol, really executed.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _add_up(_command(commands, "up", up, "start it, with MiniStack beside it; wait until healthy"))
    _command(commands, "down", down, "stop it and everything it started")
    _add_json(_command(commands, "status", status, "is it up, and where"))
    _add_json(_command(commands, "env", env, "the variables with which AWS SDKs find it"))
    logs = _command(commands, "logs", show_logs, "the log of a job")
    logs.add_argument("job", metavar="JOB", help="its name; KIND/NAME if two kinds share it")
    logs.add_argument("-f", "--follow", action="store_true", help="until the job has ended")
    step_commands.add(lambda *command: _command(commands, *command))
    reset = _command(commands, "reset", wipe, "stop it and remove all its data")
    reset.add_argument("--yes", action="store_true", help="do not ask")
    _add_json(_command(commands, "operations", operations, "the supported API operations"))
    return top


def _command(commands: Any, name: str, fn: Command, text: str) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    added.set_defaults(command=fn)
    return added


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="for machines")


def _add_up(command: argparse.ArgumentParser) -> None:
    _add_json(command)
    command.add_argument("--port", type=_port, default=config.DEFAULT_PORT, help="of SageMaker")
    command.add_argument(
        "--s3-port", type=_port, default=config.DEFAULT_S3_PORT, help="of MiniStack"
    )
    command.add_argument("--s3-endpoint", metavar="URL", help="use this S3, start no MiniStack")
    command.add_argument("--slots", type=_positive, help="parallel jobs (default: the cores)")
    command.add_argument(
        "--preload",
        metavar="MODULES",
        help="imported once, so that Python jobs start at once; comma-separated, may be empty "
        f"(default: those installed of {','.join(PRELOAD)})",
    )
    command.add_argument(
        "--allow-reset",
        action="store_true",
        help="for test suites: POST /_reset forgets everything at once "
        "(or LOCAL_SAGEMAKER_ALLOW_RESET=1)",
    )
    command.add_argument(
        "--time-scale",
        type=config.positive,
        metavar="FACTOR",
        help="seconds of AWS's in a real one where deployments wait: with 100, 300 s of baking "
        "take 3 s (default: 1, or LOCAL_SAGEMAKER_TIME_SCALE)",
    )
    command.add_argument("--foreground", action="store_true", help="stay; stop with Ctrl-C")
    command.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)


def up(arguments: argparse.Namespace, home: Path) -> int:
    if arguments.foreground:
        return _foreground(arguments, home)
    record, word = daemon.running(home), "already up"
    if record is None:
        try:
            record, word = daemon.start(home, _foreground_arguments(arguments)), "up"
        except daemon.DaemonError:
            record = daemon.running(home)  # somebody else may have started it just now
            if record is None:
                raise
    _print_record(record, arguments.json, word)
    return 0


def down(arguments: argparse.Namespace, home: Path) -> int:
    print("down" if daemon.stop(home) else f"nothing was up in {home}")
    return 0


def status(arguments: argparse.Namespace, home: Path) -> int:
    record = daemon.running(home)
    if record is not None:
        _print_record(record, arguments.json, "up")
        return 0
    print(json.dumps({"up": False, "home": str(home)}) if arguments.json else f"down ({home})")
    return 1


def env(arguments: argparse.Namespace, home: Path) -> int:
    record = daemon.running(home)
    if record is None:
        raise daemon.DaemonError("it is not up; start it: python -m local_sagemaker up")
    known = {k: record[k] for k in ("s3_endpoint", "region", "access_key", "secret_key")}
    running = config.Config(home=home, port=record["port"], **known)
    variables = config.user_environment(running, os.environ)
    if arguments.json:
        print(json.dumps(variables, indent=1))
    else:
        for name, value in variables.items():
            print(f"export {name}={shlex.quote(value)}")
    return 0


def show_logs(arguments: argparse.Namespace, home: Path) -> int:
    from local_sagemaker import logs

    try:
        path = logs.find(home, arguments.job)
    except logs.LogError as cause:
        raise daemon.DaemonError(str(cause)) from cause
    if arguments.follow:
        logs.follow(home, path, sys.stdout.write)
    else:
        logs.show(path, sys.stdout.write)
    return 0


def wipe(arguments: argparse.Namespace, home: Path) -> int:
    if not arguments.yes:
        if not sys.stdin.isatty():
            print("reset removes all data; say --yes when nobody can be asked", file=sys.stderr)
            return 2
        if input(f"Remove everything in {home}? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing was removed")
            return 1
    daemon.stop(home)
    print(f"removed {home}" if daemon.wipe(home) else f"there was nothing in {home}")
    return 0


def operations(arguments: argparse.Namespace, home: Path) -> int:
    from local_sagemaker import boot
    from local_sagemaker.operations import describe

    boot.load_api()
    if arguments.json:
        print(json.dumps(describe(), indent=1))
        return 0
    for name, members in describe().items():
        print(name)
        for part, names in members.items():
            print(f"    {part}: {', '.join(names)}")
    return 0


def _foreground(arguments: argparse.Namespace, home: Path) -> int:
    from local_sagemaker import ministack, serve
    from local_sagemaker.containers.archives import ArchiveError
    from local_sagemaker.own_images import OwnImagesError

    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    tell = _teller(arguments.ready_fd)
    refusals = (
        serve.StartError,
        ministack.MiniStackError,
        OwnImagesError,
        ArchiveError,
        config.TimeScaleError,
        OtherVersion,
        config.SettingError,
    )
    try:
        beside = None
        if arguments.s3_endpoint is None:
            beside = serve.Beside(arguments.s3_port, ministack.find_python(os.environ))
        serve.run(_config(arguments, home, os.environ), beside, lambda: tell("ready"))
    except refusals as cause:
        tell(str(cause))
        print(f"local_sagemaker: {cause}", file=sys.stderr)
        return 1
    return 0


def _teller(descriptor: int | None) -> Callable[[str], None]:
    """Say one word to the process that started us and waits at the other end."""

    def tell(word: str) -> None:
        if descriptor is None:
            print(f"local_sagemaker: {word}", flush=True)
            return
        os.write(descriptor, f"{word}\n".encode())
        os.close(descriptor)

    return tell


def _config(arguments: argparse.Namespace, home: Path, environ: Mapping[str, str]) -> config.Config:
    """The configuration of a server that is about to start."""
    keys: dict[str, Any] = {}
    if arguments.s3_endpoint is not None:  # somebody else's S3 asks for the caller's own keys
        keys = {
            field: environ[name]
            for field, name in (
                ("access_key", "AWS_ACCESS_KEY_ID"),
                ("secret_key", "AWS_SECRET_ACCESS_KEY"),
            )
            if name in environ
        }
    return config.Config(
        home=home,
        port=arguments.port,
        s3_endpoint=arguments.s3_endpoint or f"http://{config.LOOPBACK}:{arguments.s3_port}",
        region=config.region(environ),
        slots=arguments.slots or os.cpu_count() or 1,
        preload=_preload(arguments.preload),
        images=config.images_file(environ),
        archive_limits=archives.limits(environ),
        owns_s3=arguments.s3_endpoint is None,
        allow_reset=arguments.allow_reset or config.allows_reset(environ),
        time_scale=arguments.time_scale or config.time_scale(environ),
        **config.hosting(environ),
        **keys,
    )


def _preload(given: str | None) -> tuple[str, ...]:
    if given is not None:
        return tuple(name for name in given.split(",") if name)
    return tuple(name for name in PRELOAD if importlib.util.find_spec(name) is not None)


def _foreground_arguments(arguments: argparse.Namespace) -> list[str]:
    passed = ("port", "s3_port", "s3_endpoint", "slots", "preload", "time_scale")
    given = {name: getattr(arguments, name) for name in passed}
    options = [f"--{k.replace('_', '-')}={v}" for k, v in given.items() if v is not None]
    return [*options, *(["--allow-reset"] if arguments.allow_reset else [])]


def _print_record(record: dict[str, Any], as_json: bool, word: str) -> None:
    if as_json:
        shown = {k: v for k, v in record.items() if k not in ("access_key", "secret_key")}
        print(json.dumps({"up": True, **shown}))
        return
    print(f"{word}: SageMaker at {record['endpoint']} (process {record['pid']})")
    beside = f"MiniStack, process {record['ministack_pid']}" if record["s3_port"] else "not ours"
    print(f"    S3 at {record['s3_endpoint']} ({beside})")
    print(f"    SageMaker's events in EventBridge: {record['events']}")


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port; it may be 1 to 65535")
    return port


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


if __name__ == "__main__":
    sys.exit(main())
