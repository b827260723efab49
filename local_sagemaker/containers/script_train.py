"""Run a user's training program as AWS's XGBoost and scikit-learn images do: `docker run <image>
train` in script mode.

sagemaker_submit_directory (s3://.../sourcedir.tar.gz) -> /opt/ml/code -> python <sagemaker_program>
--name value ..., with the SM_* variables of the training toolkit. SDK tuning jobs and SDK v2
estimators train so. Standard library and boto3 only, and run by path: the program's modules must
not meet ours.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Hyperparameters that are for the container; the program does not get them.
CONTROL = frozenset(
    [
        "sagemaker_program",
        "sagemaker_submit_directory",
        "sagemaker_container_log_level",
        "sagemaker_job_name",
        "sagemaker_region",
        "sagemaker_s3_output",
        "sagemaker_enable_cloudwatch_metrics",
        "_tuning_objective_metric",
    ]
)


class SetupError(Exception):
    """The program cannot be run at all; the message becomes /opt/ml/output/failure."""


def decode(hyperparameters: Mapping[str, str]) -> dict[str, Any]:
    """SDK v2 writes each value as JSON inside the string (`"\\"train.py\\""`), v3 does not."""
    return {name: _decoded(value) for name, value in hyperparameters.items()}


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def arguments(hyperparameters: Mapping[str, Any]) -> list[str]:
    """`--name value`, by name, as the toolkit passes them; one letter gets one dash."""
    found = []
    for name in sorted(hyperparameters):
        value = hyperparameters[name]
        text = value if isinstance(value, str) else _argument(value)
        found += [f"{'-' if len(name) == 1 else '--'}{name}", text]
    return found


def _argument(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)


def variables(root: Path, program: str, given: Mapping[str, Any]) -> dict[str, str]:
    """The SM_* variables of the training toolkit; the hyperparameters are the program's own."""
    config = root / "input" / "config"
    resources = _json(config / "resourceconfig.json")
    channels = _json(config / "inputdataconfig.json")
    values: dict[str, Any] = {
        "model_dir": root / "model",
        "input_dir": root / "input",
        "input_config_dir": config,
        "output_dir": root / "output",
        "output_data_dir": root / "output" / "data",
        "output_intermediate_dir": root / "output" / "intermediate",
        "module_name": Path(program).stem,
        "module_dir": root / "code",
        "user_entry_point": program,
        "channels": sorted(channels),
        "hps": dict(given),
        "user_args": arguments(given),
        "hosts": resources.get("hosts", []),
        "current_host": resources.get("current_host", ""),
        "current_instance_type": resources.get("current_instance_type") or "",
        "current_instance_group": resources.get("current_group_name", ""),
        "instance_groups": [g["instance_group_name"] for g in resources.get("instance_groups", [])],
        "network_interface_name": resources.get("network_interface_name", ""),
        "num_gpus": 0,
        "num_neurons": 0,
        "log_level": 20,
        "framework_params": {},
        "resource_config": resources,
        "input_data_config": channels,
        **{f"channel_{name}": root / "input" / "data" / name for name in channels},
        **{f"hp_{name}": value for name, value in given.items()},
    }
    values["training_env"] = {name: _plain(value) for name, value in values.items()}
    return {f"SM_{name.upper()}": _text(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _text(value: Any) -> str:
    if isinstance(value, (str, Path)):
        return str(value)
    return json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else str(value)


def fetch(uri: str, archive: Path, code: Path) -> None:
    """The user's sourcedir.tar.gz, unpacked; nothing of it may land outside. Raises SetupError."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        boto3.client("s3").download_file(bucket, key, str(archive))
    except (BotoCoreError, ClientError) as cause:
        raise SetupError(f"sagemaker_submit_directory {uri!r} cannot be read: {cause}") from cause
    archives = _beside("archives")
    try:
        archives["unpack"](archive, code, archives["limits"](os.environ))
    except archives["ArchiveError"] as cause:
        raise SetupError(f"sagemaker_submit_directory {uri!r}: {cause}") from cause


def install_requirements(code: Path) -> None:
    """What the program's requirements.txt asks for. Raises SetupError."""
    pip = _beside("requirements_txt")
    try:
        pip["install"](code)
    except pip["RequirementsError"] as cause:
        raise SetupError(str(cause)) from cause


def _beside(name: str) -> dict[str, Any]:
    """A module that lies beside this one; not imported: the program may have one of that name."""
    return runpy.run_path(str(Path(__file__).with_name(f"{name}.py")), run_name=name)


def prepare(root: Path, environ: Mapping[str, str]) -> tuple[Path, dict[str, str], list[str]]:
    """(program, SM_* variables, its arguments), with its code in place. Raises SetupError."""
    given = decode(_json(root / "input" / "config" / "hyperparameters.json"))
    program = str(given.get("sagemaker_program") or environ.get("SAGEMAKER_PROGRAM", ""))
    submitted = str(
        given.get("sagemaker_submit_directory") or environ.get("SAGEMAKER_SUBMIT_DIRECTORY", "")
    )
    code = root / "code"
    code.mkdir(exist_ok=True)
    if submitted.startswith("s3://"):
        fetch(submitted, root / "tmp" / "sourcedir.tar.gz", code)
    elif submitted:
        code = Path(submitted)
    script = code / program
    if not program or not script.is_file():
        held = ", ".join(sorted(each.name for each in code.iterdir())[:10]) if code.is_dir() else ""
        raise SetupError(
            f"sagemaker_program {program!r} is not in {submitted or code}; there is: {held or '-'}"
        )
    install_requirements(code)
    own = {name: value for name, value in given.items() if name not in CONTROL}
    made = variables(root, program, own)
    return script, {**made, "SM_MODULE_DIR": submitted or str(code)}, arguments(own)


def run(script: Path, environment: Mapping[str, str], given: list[str]) -> None:
    """In this very process, so that a forked, pre-imported interpreter is used to the end."""
    os.environ.update(environment)
    os.chdir(script.parent)
    if script.suffix == ".sh":
        os.execvp("/bin/sh", ["/bin/sh", str(script), *given])  # noqa: S606 - the user's program
    sys.path[0] = str(script.parent)
    sys.argv = [str(script), *given]
    runpy.run_path(str(script), run_name="__main__")


def main(root: Path) -> int:
    try:
        script, environment, given = prepare(root, os.environ)
    except SetupError as problem:
        print(f"cannot train: {problem}", file=sys.stderr)
        _fail(root, str(problem))
        return 1
    print(f"running {script} {' '.join(given)}", flush=True)
    try:
        run(script, environment, given)
    except Exception as problem:  # noqa: BLE001 - the user's program may fail in any way
        traceback.print_exc()
        _fail(root, f"{type(problem).__name__}: {problem}")
        return 1
    return 0


def _fail(root: Path, text: str) -> None:
    """Unless the program has said something itself."""
    failure = root / "output" / "failure"
    if not failure.exists():
        failure.write_text(text)


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.is_file() else {}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
