"""`python3 run.py <step> [args]`: what a job starts. Standard library only.

It stands in the code bundle beside `job-code.tar`, which holds `steps/`, `inference/`,
`problem.json` and the requirements:

    unpack -> requirements present? else pip install -> steps.<step>.main(args) -> exit code

AWS's images lack some of the pins, so there pip runs; locally everything is there and nothing is
installed. A step that fails leaves one paragraph where SageMaker looks for the reason.
"""

import argparse
import importlib
import importlib.metadata
import re
import subprocess
import sys
import tarfile
import traceback
from collections.abc import Sequence
from pathlib import Path

STEPS = ("validate", "prepare", "train", "evaluate", "package")
ARCHIVE = "job-code.tar"
OWN_PACKAGES = ("steps", "inference")
REASON_CHARACTERS = 1024  # SageMaker keeps no more of a reason
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)\s*==\s*(?P<version>[^\s;#\\]+)")
# The same library under two names: without and with support for GPUs.
TWINS = {"xgboost": "xgboost-cpu", "xgboost-cpu": "xgboost"}


class RunError(Exception):
    """The step cannot be started."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="run.py", description=__doc__.splitlines()[0], epilog="example: run.py train --help"
    )
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="go to the step")
    chosen = parser.parse_args(argv)
    try:
        folder = bundle_folder(root_of(chosen.arguments))
        install(missing_pins(requirements_of(chosen.step, folder)))
        sys.path[:] = [str(folder), *(p for p in sys.path if p != str(Path(__file__).parent))]
        step = importlib.import_module(f"steps.{chosen.step}")
        return int(step.main(chosen.arguments))
    except Exception as error:  # noqa: BLE001  the edge: whatever a step raises is its reason
        report(error, chosen.step, root_of(chosen.arguments))
        return 1


def bundle_folder(root: Path) -> Path:
    """Where `steps/` lies: unpacked from the archive beside run.py, or above it in a checkout."""
    here = Path(__file__).resolve().parent
    archive = here / ARCHIVE
    if not archive.is_file():
        return here.parent
    folder = root / "code"  # a channel's own folder may be read-only
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder


def requirements_of(step: str, folder: Path) -> Path:
    """The step's own pins when the bundle has them, else those of all steps."""
    own = folder / f"requirements-{step}.txt"
    return own if own.is_file() else folder / "requirements.txt"


def missing_pins(requirements: Path) -> list[str]:
    """The `name==version` lines that this Python does not satisfy; none without a file."""
    if not requirements.is_file():
        return []
    found = (PIN.match(line.strip()) for line in requirements.read_text("utf-8").splitlines())
    return [
        f"{pin['name']}=={pin['version']}"
        for pin in found
        if pin and pin["version"] not in _installed_versions(pin["name"])
    ]


def install(pins: Sequence[str]) -> None:
    """pip install into the running Python, which in a job is the container's own."""
    if not pins:
        return
    print(f"run.py: installing {' '.join(pins)}", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*command, *pins], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RunError(
            f"cannot install {' '.join(pins)}: {_last_line(done.stderr)}. Use an image that has"
            " these packages, or give the job a way to the package index"
        )
    importlib.invalidate_caches()


def report(error: Exception, step: str, root: Path) -> None:
    """The reason to stderr and to the file that SageMaker reads; a traceback for a bug alone."""
    known = type(error).__module__.split(".")[0] in (*OWN_PACKAGES, "__main__")
    if not known and not isinstance(error, OSError):
        traceback.print_exception(error)
    what = str(error) if known else f"{type(error).__name__}: {error}"
    reason = f"{step}: {what}"
    print(reason, file=sys.stderr, flush=True)
    path = root / "output" / ("failure" if step == "train" else "message")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(reason.encode()[:REASON_CHARACTERS].decode(errors="ignore").encode())
    except OSError as trouble:
        print(f"{step}: the reason cannot be written: {trouble}", file=sys.stderr, flush=True)


def root_of(arguments: Sequence[str]) -> Path:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--root", type=Path, default=Path("/opt/ml"))
    return Path(parser.parse_known_args(arguments)[0].root)


def _installed_versions(name: str) -> list[str]:
    normal = re.sub(r"[-_.]+", "-", name).lower()
    versions = []
    for candidate in filter(None, (normal, TWINS.get(normal))):
        try:
            versions.append(importlib.metadata.version(candidate))
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "pip gave no reason"


if __name__ == "__main__":
    sys.exit(main())
