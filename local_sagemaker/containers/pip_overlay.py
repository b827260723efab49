"""`pip` as a job finds it: what it installs goes into an overlay, never into our environment.

    pip install ...  ->  <home>/overlays/<key>/  ->  links in the job's own folder on PYTHONPATH

The key is the content of what was asked for: the arguments, every file and folder they name
(requirements, constraints, local packages), and the distributions that are there already. A second
job that asks for the same links to the same overlay at once. Only what our environment lacks is
installed: pip itself says what (`--dry-run --report`). Started by the shims that
local_sagemaker/overlays.py writes; standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SITE_VARIABLE = "LOCAL_SAGEMAKER_SITE"
# Options of the job's command that also decide how a file that was chosen is fetched and built.
FETCHING = frozenset(
    {
        "-f", "--find-links", "-i", "--index-url", "--extra-index-url", "--trusted-host", "--cert",
        "--client-cert", "--proxy", "--timeout", "--retries", "--cache-dir", "-C",
        "--config-settings",
    }
)  # fmt: skip
FETCHING_FLAGS = frozenset(
    {"--no-index", "--no-build-isolation", "--no-cache-dir", "-q", "--quiet", "-v", "--verbose"}
)
# They change no environment, or one that the job names itself.
HARMLESS = frozenset({"-t", "--target", "--dry-run", "-h", "--help"})
REFUSED = frozenset({"--prefix", "--root"})
DISTRIBUTIONS = (".whl", ".tar.gz", ".zip", ".html")


def main(arguments: list[str], overlays: Path, shim: Path) -> int:
    """Do what pip is asked to; the exit code."""
    site = Path(os.environ[SITE_VARIABLE])
    command = next((each for each in arguments if not each.startswith("-")), "")
    if command == "uninstall":
        _say("`pip uninstall` does nothing here: a job never changes the environment it runs in")
        return 0
    options = {each.partition("=")[0] for each in arguments}
    if command != "install" or options & HARMLESS:
        return _pip(arguments, shim)
    if options & REFUSED:
        names = ", ".join(sorted(options & REFUSED))
        _say(f"`pip install {names}` is not supported in a job; leave it out, or use --target")
        return 2
    wanted = [each for each in arguments if each not in ("install", "--user")]
    overlay = overlays / _key(wanted)
    if overlay.is_dir():
        _say(f"these requirements are installed already: {overlay}")
    else:
        code = _build(wanted, overlay, shim)
        if code:
            return code
    _link(overlay, site)
    return 0


def _build(wanted: list[str], overlay: Path, shim: Path) -> int:
    """Install into a folder beside the overlay, and rename: it is there whole, or not at all."""
    overlay.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with overlay.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if overlay.is_dir():  # another job was building it
            return 0
        part = overlay.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        code = _install(wanted, part, shim)
        if code:
            shutil.rmtree(part)
        else:
            part.rename(overlay)
        return code


def _install(wanted: list[str], target: Path, shim: Path) -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        code = _pip(["install", *wanted, "--dry-run", "--report", str(report)], shim)
        if code:
            return code
        missing = [_reference(each) for each in json.loads(report.read_text())["install"]]
    if not missing:
        return 0
    _say(f"installing into an overlay: {', '.join(each.partition(' @ ')[0] for each in missing)}")
    fetching = list(_fetching(wanted))
    return _pip(["install", *fetching, "--no-deps", "--target", str(target), *missing], shim)


def _reference(item: dict[str, Any]) -> str:
    """`name @ url` for one entry of pip's installation report."""
    source = item["download_info"]
    url = source["url"]
    if "vcs_info" in source:
        url = f"{source['vcs_info']['vcs']}+{url}@{source['vcs_info']['commit_id']}"
    sha256 = source.get("archive_info", {}).get("hashes", {}).get("sha256")
    return f"{item['metadata']['name']} @ {url}" + (f"#sha256={sha256}" if sha256 else "")


def _fetching(arguments: list[str]) -> Iterator[str]:
    for place, each in enumerate(arguments):
        if each in FETCHING:
            yield from arguments[place : place + 2]
        elif each in FETCHING_FLAGS or each.partition("=")[0] in FETCHING:
            yield each


def _key(wanted: list[str]) -> str:
    digest = hashlib.sha256(json.dumps([sys.version, _distributions()]).encode())
    settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    settings.pop("PIP_CACHE_DIR", None)
    digest.update(json.dumps(settings, sort_keys=True).encode())
    seen: set[Path] = set()
    for word in wanted:
        digest.update(b"\0word " + word.encode())
        _add_content(digest, word, Path.cwd(), seen)
    return digest.hexdigest()[:32]


def _add_content(digest: Any, word: str, folder: Path, seen: set[Path]) -> None:
    """Add what a word of a command line or requirements file names, if it names a path."""
    path = _path(word, folder)
    if path is None or path in seen:
        return
    seen.add(path)
    for file in [path] if path.is_file() else _files(path):
        digest.update(f"\0file {file.relative_to(path.parent)}\0".encode() + file.read_bytes())
    if path.is_file() and path.suffix == ".txt":
        for each in path.read_text(errors="replace").split():
            _add_content(digest, each, path.parent, seen)


def _files(folder: Path) -> list[Path]:
    """All of a project's; of any other folder (--find-links) the distributions that lie in it."""
    if any((folder / name).exists() for name in ("pyproject.toml", "setup.py")):
        return sorted(each for each in folder.rglob("*") if each.is_file())
    return sorted(each for each in folder.iterdir() if each.name.endswith(DISTRIBUTIONS))


def _path(word: str, folder: Path) -> Path | None:
    name = word.rpartition("=")[2] if word.startswith("--") else word
    name = name.removeprefix("-r").removeprefix("-c").removeprefix("file://").partition("[")[0]
    if not name:
        return None
    try:
        path = (folder / name).resolve()
        return path if path.exists() else None
    except OSError:  # a word that can be no path: too long
        return None


def _distributions() -> list[str]:
    return sorted(
        found.name
        for folder in sys.path
        if folder and Path(folder).is_dir()
        for found in Path(folder).glob("*.dist-info")
    )


def _link(overlay: Path, site: Path) -> None:
    """Show the overlay's entries in the job's folder; folders of two overlays become one."""
    site.mkdir(parents=True, exist_ok=True)
    for source in overlay.iterdir():
        shown = site / source.name
        if source.is_dir() and shown.is_dir():
            if shown.is_symlink():
                before = shown.resolve()
                shown.unlink()
                _link(before, shown)
            _link(source, shown)
            continue
        shown.unlink(missing_ok=True)
        shown.symlink_to(source)


def _pip(arguments: list[str], shim: Path) -> int:
    """The real pip, in a process that does not find the shim."""
    path = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    shown = os.pathsep.join(each for each in path if Path(each) != shim)
    environment = {**os.environ, "PYTHONPATH": shown, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment["PIP_ROOT_USER_ACTION"] = "ignore"
    return subprocess.call([sys.executable, "-m", "pip", *arguments], env=environment)


def _say(text: str) -> None:
    print(f"[local-sagemaker] {text}", flush=True)
