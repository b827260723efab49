"""What AWS's Python runtimes bring to every Lambda function: boto3 and what it needs.

MiniStack runs functions by its own interpreter, whose environment has no boto3. Its functions are
given a folder of links to ours, which holds nothing else: a function that forgot to ship a library
fails here as it does on AWS.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

NAMES = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")


def link(folder: Path) -> Path:
    """The folder, made anew: another installation may have made the last one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in NAMES:
        source = _place(name)
        (folder / source.name).symlink_to(source)
    return folder


def _place(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {name!r}, which boto3 needs", name=name)
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin
