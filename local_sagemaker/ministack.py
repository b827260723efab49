"""MiniStack beside us: S3 and the rest of AWS, in an environment and a process of its own.

Bound to loopback, its data below our home. It ends when the server ends, `kill -9` included
(ministack_child.py). What it fakes stands in docs/local-sagemaker.md: nothing of ours relies on
that.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from local_sagemaker import lambda_packages
from local_sagemaker.config import LOOPBACK, Config, client_environment

CHILD = Path(__file__).with_name("ministack_child.py")
START_SECONDS = 20.0
STOP_SECONDS = 8.0


class MiniStackError(Exception):
    """MiniStack cannot be started; the message says what to do."""


class MiniStack:
    """The running MiniStack; `wait_until_healthy` before use, `stop` at the end."""

    def __init__(self, config: Config, port: int, python: Path) -> None:
        self.port = port
        self._log = config.home / "ministack" / "server.log"
        for directory in ("s3", "state", "tmp"):
            (config.home / "ministack" / directory).mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(python), "-I", str(CHILD)],  # -I: our files are no modules there
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=config.home / "ministack",
                env=environment(config, port),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> bool:
        return self._process.poll() is not None

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._healthy():
            if self._process.poll() is not None:
                code = self._process.returncode
                raise MiniStackError(f"MiniStack ended with code {code}; its log: {self._log}")
            if time.monotonic() > deadline:
                self.stop()
                raise MiniStackError(
                    f"MiniStack was not healthy after {START_SECONDS:.0f} s; its log: {self._log}"
                )
            time.sleep(0.02)

    def stop(self) -> None:
        """SIGTERM (it saves its state then), SIGKILL when that takes too long."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def _healthy(self) -> bool:
        url = f"http://{LOOPBACK}:{self.port}/_ministack/health"
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def environment(config: Config, port: int) -> dict[str, str]:
    """MiniStack's whole environment; its Lambda functions inherit it, so they find us too."""
    home = config.home / "ministack"
    kept = ("PATH", "HOME", "LANG", "LC_ALL")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        **client_environment(config),
        "BIND_HOST": LOOPBACK,
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": config.region,
        "MINISTACK_ACCOUNT_ID": config.account,
        "IOT_MTLS_ENABLED": "0",  # it would listen on every interface
        "SFTP_ENABLED": "0",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(home / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(home / "s3"),
        "TMPDIR": str(home / "tmp"),
        # Not for MiniStack, which is started with -I: for its functions.
        "PYTHONPATH": str(lambda_packages.link(home / "lambda-packages")),
        "LOG_LEVEL": "WARNING",
    }


def find_python(environ: Mapping[str, str]) -> Path:
    """The interpreter of MiniStack's environment. Raises MiniStackError naming where it was looked
    for.
    """
    named = environ.get("LOCAL_SAGEMAKER_MINISTACK")
    roots = (Path.cwd(), Path(__file__).parent.parent, Path(sys.prefix).parent)
    places = [Path(named)] if named else [r / ".venv-ministack/bin/python" for r in roots]
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(str(place) for place in dict.fromkeys(places))
    raise MiniStackError(
        f"MiniStack's environment was not found ({looked}); run `make install`, set "
        "LOCAL_SAGEMAKER_MINISTACK to its python, or give --s3-endpoint URL"
    )
