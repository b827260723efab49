"""The server that chaos.py kills: a real `up` in a home of its own, and every process it is to
blame for.
"""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from pathlib import Path
from typing import Any

import boto3
import psutil

from bench.local_plane import command, free_port

MARKER = "CHAOS_MARKER"
DYING_SECONDS = 15.0


class Server:
    """It can be killed and started again; whatever it starts carries its marker."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.marker = uuid.uuid4().hex
        self.environment = {
            **os.environ,
            "LOCAL_SAGEMAKER_HOME": str(home),
            MARKER: self.marker,
        }
        self._ports = ("--port", str(free_port()), "--s3-port", str(free_port()))

    def up(self) -> None:
        command(self.environment, "up", *self._ports, "--preload", "", "--slots", "2")
        found = json.loads(command(self.environment, "status", "--json"))
        self.pid = int(found["pid"])
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        region = {"region_name": "us-east-1"}
        self.endpoint = found["endpoint"]
        self.sagemaker = boto3.client("sagemaker", endpoint_url=found["endpoint"], **keys, **region)
        self.s3 = boto3.client("s3", endpoint_url=found["s3_endpoint"], **keys, **region)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def survivors(self) -> list[str]:
        """The processes that are still there after a while, in words."""
        deadline = time.monotonic() + DYING_SECONDS
        while (alive := self._marked()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return [f"{each.pid} {' '.join(_words(each))[:80]}" for each in alive]

    def down(self) -> None:
        command(self.environment, "down")

    def _marked(self) -> list[psutil.Process]:
        return [each for each in psutil.process_iter() if _carries(each, self.marker)]

    def all_of(self, operation: str, member: str, **request: Any) -> list[dict[str, Any]]:
        """Every summary of a List operation."""
        pages = self.sagemaker.get_paginator(operation).paginate(**request)
        return [each for page in pages for each in page[member]]


def _carries(process: psutil.Process, marker: str) -> bool:
    try:
        return process.environ().get(MARKER) == marker and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return ["?"]
