"""A user's own images: a YAML file that maps each to the local commands that do what it does.

    churn-trainer:    # repository, or repository:tag, without the registry
      train: [python3, /home/me/churn/train.py]
      process: [python3, /home/me/churn/process.py]
      serve: [python3, /home/me/churn/serve.py]

<home>/images.yaml, or the file that LOCAL_SAGEMAKER_IMAGES names; read when the server starts. A
request's own entry point comes before it, and it comes before the table of images.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from local_sagemaker.images import Image

COMMANDS = ("train", "process", "serve")
KEY = re.compile(r"[a-z0-9][a-z0-9._/-]*(:[\w][\w.-]*)?")


class OwnImagesError(Exception):
    """The file cannot be used; the message names it, the place in it, and what may stand there."""


def load(path: Path, *, required: bool) -> dict[str, Image]:
    """repository[:tag] -> image. No file is no images, unless it is required. OwnImagesError."""
    if not path.exists() and not required:
        return {}
    try:
        given = yaml.safe_load(path.read_text())
    except (OSError, UnicodeError, yaml.YAMLError) as cause:
        raise OwnImagesError(f"{path} cannot be read as YAML: {cause}") from cause
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise OwnImagesError(f"{path} should map repositories to commands, but is {given!r}")
    return {str(key): _image(path, key, commands) for key, commands in given.items()}


def _image(path: Path, key: object, commands: Any) -> Image:
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise OwnImagesError(
            f"{path}: {key!r} is no repository; write repository or repository:tag, without the "
            "registry: churn-trainer, my-team/churn-trainer:1"
        )
    allowed = ", ".join(COMMANDS)
    if not isinstance(commands, dict) or not commands:
        raise OwnImagesError(f"{path}: {key}: give one or more of {allowed}, not {commands!r}")
    for name, command in commands.items():
        if name not in COMMANDS:
            raise OwnImagesError(f"{path}: {key}: {name!r} is unknown; it may be {allowed}")
        if not _is_command(command):
            raise OwnImagesError(
                f"{path}: {key}: {name} should be a list of words, as [python3, /my/program.py], "
                f"not {command!r}"
            )
    absent = f"{path} gives it no {{}} command"
    return Image(
        key,
        **commands,
        train_script=commands.get("train"),
        no_train=absent.format("train"),
        no_process=absent.format("process"),
        no_serve=absent.format("serve"),
    )


def _is_command(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(word, str) and word for word in value)
    )
