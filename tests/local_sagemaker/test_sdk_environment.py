"""The SageMaker SDK, unpatched, in a program that has what `python -m local_sagemaker env` says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from local_sagemaker.config import user_environment

# A connection to anything but this machine fails the program, as it would where there is no
# internet, and is told.
PROGRAM = """
import json, socket, sys

connect = socket.socket.connect
def loopback_only(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
        raise OSError(f"left the machine: {address}")
    return connect(self, address)
def no_names(host, *rest, **more):
    if host not in ("127.0.0.1", "localhost"):
        raise OSError(f"asked for a name: {host}")
    return look_up(host, *rest, **more)
look_up, socket.getaddrinfo, socket.socket.connect = socket.getaddrinfo, no_names, loopback_only

from sagemaker.core.helper.session_helper import Session, get_execution_role

session = Session()
print(json.dumps({
    "account": session.account_id(),
    "caller": session.get_caller_identity_arn(),
    "bucket": session.default_bucket(),
    "role": get_execution_role(session, use_default=True),
    "uploaded": session.upload_string_as_file_body("text", session.default_bucket(), "a/b"),
}))
"""


def test_the_sdk_finds_account_bucket_and_role_here(local: Any, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(program)],
        env={
            **clean,
            **user_environment(local.plane.config, {"PYTHONPATH": str(tmp_path)}),
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    account = local.plane.config.account
    assert found == {
        "account": account,
        "caller": f"arn:aws:iam::{account}:root",
        "bucket": f"sagemaker-us-east-1-{account}",
        "role": f"arn:aws:iam::{account}:role/AmazonSageMaker-DefaultRole",
        "uploaded": f"s3://sagemaker-us-east-1-{account}/a/b",
    }
    uploaded = local.s3.get_object(Bucket=found["bucket"], Key="a/b")["Body"].read()
    assert uploaded == b"text"
