"""The requirements.txt beside a user's program, installed as AWS's toolkits do: with pip, from its
folder, before the program is imported.

`pip` is the one that jobs find (overlays.py): it installs into an overlay. Standard library only.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

NAME = "requirements.txt"


class RequirementsError(Exception):
    """Something it asks for cannot be had; the message ends with what pip said."""


def install(folder: Path) -> None:
    """Install what the folder asks for, if it asks. Raises RequirementsError."""
    if not (folder / NAME).is_file():
        return
    command = [sys.executable, "-m", "pip", "install", "-r", NAME]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as pip:
        said = []
        for line in pip.stdout or ():
            print(line, end="", flush=True)
            said.append(line.strip())
    if pip.returncode:
        errors = [line for line in said if line.startswith("ERROR")] or said[-1:]
        raise RequirementsError(f"{NAME} cannot be installed: {' '.join(errors)}")
    importlib.invalidate_caches()
