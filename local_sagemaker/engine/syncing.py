"""Folders of a running job that go to S3 while it runs: Continuous outputs and checkpoints.

What is new or changed since the last look is uploaded, every few seconds and once more at the end.
Nothing is ever removed from S3.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from local_sagemaker.plane import Plane
from local_sagemaker.storage import StorageError

log = logging.getLogger(__name__)
INTERVAL_SECONDS = 5.0


class Sync:
    """The folders of one host, each with its S3 URI."""

    def __init__(self, plane: Plane, folders: list[tuple[Path, str]]) -> None:
        self._plane = plane
        self._folders = folders
        self._sent: dict[Path, tuple[int, int]] = {}
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._folders:
            self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """No more looks while the job runs; may be called twice."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def once(self) -> None:
        """Upload what is new or changed. Raises StorageError."""
        for folder, uri in self._folders:
            for path in _files(folder):
                self._send(path, f"{uri.rstrip('/')}/{path.relative_to(folder).as_posix()}")

    def _send(self, path: Path, uri: str) -> None:
        try:
            state = path.stat()
            seen = (state.st_size, state.st_mtime_ns)
            if self._sent.get(path) != seen:
                self._plane.storage.upload(path, uri)
                self._sent[path] = seen
        except FileNotFoundError:  # a temporary file of the job's: gone before we came to it
            log.debug("a file vanished before its upload path=%s", path)

    def _run(self) -> None:
        while not self._plane.clock.wait(self._over, INTERVAL_SECONDS):
            try:
                self.once()
            except StorageError as problem:  # the upload at the end tries again, and then it counts
                log.warning("a sync to S3 failed, the next one tries again: %s", problem)


def _files(folder: Path) -> list[Path]:
    paths = [Path(where, name) for where, _, names in os.walk(folder) for name in sorted(names)]
    return [path for path in paths if path.is_file() and not path.is_symlink()]
