"""POST /_reset: everything forgotten while the server goes on, so that a test suite begins anew.

Off unless the server was started with `up --allow-reset`. Stops what runs, removes the home's
contents, has MiniStack forget too when it is ours, and puts a new plane in the old one's place.
"""

from __future__ import annotations

import logging
import shutil
import urllib.request
from pathlib import Path

from local_sagemaker import boot, record
from local_sagemaker.config import Config
from local_sagemaker.plane import Plane

log = logging.getLogger(__name__)

PATH = "/_reset"
# The running server's own files, the user's table of images, and what MiniStack clears itself.
KEPT = frozenset({record.LOCK, record.FILE, "server.log", "ministack", "images.yaml"})
MINISTACK_SECONDS = 30.0


def anew(plane: Plane) -> tuple[Plane, str]:
    """A plane that knows nothing, in the home of one that is taken down; and what MiniStack said
    when it could not forget, or nothing.
    """
    boot.shut_down(plane)
    problem = _reset_ministack(plane.config) if plane.config.owns_s3 else ""
    _empty(plane.config.home)
    fresh = boot.build(plane.config, plane.clock)
    boot.recover(fresh)
    log.info("everything was forgotten home=%s", fresh.config.home)
    return fresh, problem


def _empty(home: Path) -> None:
    for each in home.iterdir():
        if each.name in KEPT:
            continue
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def _reset_ministack(config: Config) -> str:
    url = f"{config.s3_endpoint}/_ministack/reset"
    request = urllib.request.Request(url, method="POST")  # noqa: S310 - http on loopback, our own
    try:
        with urllib.request.urlopen(request, timeout=MINISTACK_SECONDS) as answer:  # noqa: S310
            answer.read()
    except OSError as problem:
        return f"SageMaker has forgotten everything, MiniStack has not: {problem}"
    return ""
