"""What a job installs with pip: there for it, kept for the next, never in our environment."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_sagemaker import isolation
from tests.local_sagemaker.test_processing_jobs import HOME, an_input, request
from tests.local_sagemaker.wheels import a_wheel, wheel_name

CODE = f"{HOME}/input/code"
INSTALL = f"cd {CODE} && python3 -m pip install --no-index --find-links . -r requirements.txt && "
"""What every job of this file begins with."""


def a_job(local: Any, script: str, name: str = "job", version: str = "1.0") -> dict[str, Any]:
    """A processing job whose code folder holds a wheel and a requirements.txt that wants it."""
    prefix = f"code-{version}"
    local.s3.put_object(
        Bucket=local.bucket,
        Key=f"{prefix}/{wheel_name('tinytool', version)}",
        Body=a_wheel("tinytool", version),
    )
    local.put(f"{prefix}/requirements.txt", "tinytool\n")
    uri = f"s3://{local.bucket}/{prefix}/"
    inputs = [an_input("code", uri)]
    return request(local, f"set -e; {script}", name, ProcessingInputs=inputs)


def run(local: Any, sagemaker: Any, wanted: dict[str, Any]) -> str:
    """Run it to its end; its log."""
    name = wanted["ProcessingJobName"]
    sagemaker.create_processing_job(**wanted)
    job = local.until("processing-job", name)
    log = (local.plane.config.home / f"logs/processing-job/{name}.log").read_text()
    assert job["ProcessingJobStatus"] == "Completed", log
    return log


def overlays(local: Any) -> list[Path]:
    return [each for each in local.plane.config.home.glob("overlays/*") if each.is_dir()]


def test_a_job_gets_its_requirements_and_our_environment_does_not(
    local: Any, sagemaker: Any
) -> None:
    log = run(local, sagemaker, a_job(local, INSTALL + "python3 -c 'import tinytool' && tinytool"))
    assert "command 42" in log
    assert importlib.util.find_spec("tinytool") is None
    assert not list(Path(sys.prefix).rglob("tinytool*"))


def test_the_second_job_with_the_same_requirements_installs_nothing(
    local: Any, sagemaker: Any
) -> None:
    script = INSTALL + "python3 -c 'import tinytool; print(tinytool.__file__)'"
    first = run(local, sagemaker, a_job(local, script, "first"))
    second = run(local, sagemaker, a_job(local, script, "second"))
    assert "Successfully installed" in first
    assert "installed already" in second
    assert "Successfully installed" not in second
    assert len(overlays(local)) == 1


def test_other_content_under_the_same_names_is_another_overlay(local: Any, sagemaker: Any) -> None:
    script = INSTALL + "pip list | grep tinytool"
    assert "1.0" in run(local, sagemaker, a_job(local, script, "first"))
    assert "2.0" in run(local, sagemaker, a_job(local, script, "second", "2.0")).split("\n")[-2]
    assert len(overlays(local)) == 2


def test_what_is_installed_here_already_is_not_installed_again(local: Any, sagemaker: Any) -> None:
    log = run(local, sagemaker, a_job(local, "pip install --no-index numpy; pip3 --version"))
    assert "Requirement already satisfied: numpy" in log
    assert list(overlays(local)[0].iterdir()) == []


def test_two_installations_of_one_job_are_both_there(local: Any, sagemaker: Any) -> None:
    wanted = a_job(
        local,
        INSTALL + "pip install --no-index ./other*.whl && python3 -c 'import tinytool, other' "
        "&& tinytool && other",
    )
    other = a_wheel("other", requires="tinytool")
    local.s3.put_object(Bucket=local.bucket, Key=f"code-1.0/{wheel_name('other')}", Body=other)
    assert "Successfully installed other" in run(local, sagemaker, wanted)


@pytest.mark.parametrize("command", ["pip", "python3 -m pip"])
def test_uninstalling_does_nothing_and_says_so(local: Any, sagemaker: Any, command: str) -> None:
    log = run(local, sagemaker, a_job(local, f"{command} uninstall --yes typing"))
    assert "does nothing here" in log
    assert "WARNING: Skipping" not in log  # what pip itself would say: it was not asked


def test_requirements_that_cannot_be_had_fail_the_job_and_leave_no_overlay(
    local: Any, sagemaker: Any
) -> None:
    sagemaker.create_processing_job(
        **a_job(local, "pip install --no-index no-such-distribution-anywhere")
    )
    job = local.until("processing-job", "job")
    assert job["ProcessingJobStatus"] == "Failed"
    assert overlays(local) == []


@pytest.mark.parametrize("option", ["--prefix=/opt/ml/tmp/x", "--root=/opt/ml/tmp/x"])
def test_options_that_could_change_our_environment_are_refused_by_name(
    local: Any, sagemaker: Any, option: str
) -> None:
    sagemaker.create_processing_job(**a_job(local, f"pip install {option} six"))
    assert "exit code: 2" in local.until("processing-job", "job")["FailureReason"]
    log = (local.plane.config.home / "logs/processing-job/job.log").read_text()
    assert f"`pip install {option.partition('=')[0]}` is not supported in a job" in log


def test_a_job_that_could_install_is_still_forked_from_the_pre_imported_process(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    local = start(tmp_path / "home", slots=1, preload=("decimal",))
    assert local.plane.processes.wait_until_preimported(60)
    code = "import sys; print('decimal' in sys.modules)"
    uri = local.put("code/run.py", code)
    wanted = request(local, "", ProcessingInputs=[an_input("code", uri)])
    wanted["AppSpecification"].update(
        ContainerEntrypoint=["python3", f"{CODE}/run.py"], ContainerArguments=["x"]
    )
    assert run(local, local.client(), wanted) == "True\n"


def test_a_jobs_own_module_path_stays(local: Any, sagemaker: Any) -> None:
    uri = local.put("mine/of_mine.py", "print('found')")
    inputs = [an_input("code", f"{uri.rpartition('/')[0]}/")]
    wanted = request(local, "cd /; python3 -c 'import of_mine'", ProcessingInputs=inputs)
    assert run(local, sagemaker, wanted | {"Environment": {"PYTHONPATH": CODE}}) == "found\n"


def test_a_changed_local_package_is_another_overlay(local: Any, sagemaker: Any) -> None:
    """A project is built from its sources; what it is built with is installed here."""
    script = (
        f"cp -r {CODE} /opt/ml/tmp/project; cd /opt/ml/tmp; "
        "pip install --no-index --no-build-isolation ./project; python3 -c 'import mine'"
    )
    local.put(
        "src/setup.py", "from setuptools import setup\nsetup(name='mine', py_modules=['mine'])"
    )
    for name, text in (("first", "print('old')"), ("second", "print('new')")):
        uri = local.put("src/mine.py", text).rpartition("/")[0]
        wanted = request(local, script, name, ProcessingInputs=[an_input("code", f"{uri}/")])
        log = run(local, sagemaker, wanted)
        assert log.split("\n")[-2] == text[7:10]
    assert len(overlays(local)) == 2


PROTECTED = pytest.mark.skipif(
    not isolation.probe().mounts, reason="this machine lets nothing be mounted"
)


@PROTECTED
@pytest.mark.parametrize(
    "command",
    [
        f"{sys.executable} -I -m pip install",
        f"{sys.executable} {sysconfig.get_path('purelib')}/pip install",
        f"{sys.executable} -m uv pip install --offline --python {sys.executable}",
        "env -i PATH=$PATH PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install",
    ],
    ids=["python -I", "pip by its path", "uv", "an empty environment"],
)
def test_what_goes_around_our_pip_cannot_write_into_our_environment(
    local: Any, sagemaker: Any, command: str
) -> None:
    script = f"cd {CODE}; {command} --no-index --find-links . tinytool"
    sagemaker.create_processing_job(**a_job(local, script))
    job = local.until("processing-job", "job")
    log = (local.plane.config.home / "logs/processing-job/job.log").read_text()
    assert job["ProcessingJobStatus"] == "Failed", log
    assert "Read-only file system" in log
    assert not list(Path(sys.prefix).rglob("tinytool*"))


@PROTECTED
def test_the_interpreter_below_ours_is_protected_too(local: Any, sagemaker: Any) -> None:
    folder = sysconfig.get_path("purelib", vars={"base": sys.base_prefix})
    run(local, sagemaker, a_job(local, f"test -d {folder}; test ! -w {folder}"))
