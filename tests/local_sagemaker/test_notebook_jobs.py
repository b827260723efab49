"""Notebook jobs: what SDK v3's NotebookJobStep compiles to (definitions/notebook_job.json), run."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.local_sagemaker.pipelining import ENDS, EXECUTION, ROLE, listed

COMPILED = Path(__file__).with_name("definitions") / "notebook_job.json"
INPUT = "notebooks/p/Note/input-2026-11-21-08-43-46-009"
DEFAULTS = {"metadata": {"tags": ["parameters"]}}
SHOWN = """\
import os
print("x =", repr(x), os.environ["GREETING"], os.environ["COLOUR"], open("extra.txt").read())
"""


def notebook(*cells: Any) -> str:
    """A notebook of these cells; the first holds the defaults of the parameters."""
    first = nbformat.v4.new_code_cell("x = '1'", **DEFAULTS)
    made = nbformat.v4.new_notebook()
    made.cells = [first, *(nbformat.v4.new_code_cell(each) for each in cells)]
    return str(nbformat.writes(made))


def run(local: Any, sagemaker: Any, given: str, script: str = "export GREETING=hi") -> Any:
    """The compiled pipeline with this notebook and init script, to its end: its one step."""
    local.put(f"{INPUT}/simple.ipynb", given)
    local.put(f"{INPUT}/init.sh", script)
    local.put(f"{INPUT}/extra.txt", "beside")
    text = COMPILED.read_text().replace("the-bucket", local.bucket)
    sagemaker.create_pipeline(PipelineName="p", RoleArn=ROLE, PipelineDefinition=text)
    arn = sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    local.until(EXECUTION, arn, *ENDS, timeout=60)
    return listed(sagemaker, arn)["Note"]


def job_of(sagemaker: Any, step: Any) -> Any:
    name = step["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2]
    return sagemaker.describe_training_job(TrainingJobName=name)


def outputs(local: Any, sagemaker: Any, step: Any) -> dict[str, str]:
    """What lies in output.tar.gz, where AWS's own integration tests look for it."""
    job = job_of(sagemaker, step)
    folder = job["OutputDataConfig"]["S3OutputPath"].partition(f"{local.bucket}/")[2]
    body = local.read(f"{folder}/{job['TrainingJobName']}/output/output.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        return {item.name: tar.extractfile(item).read().decode() for item in tar if item.isfile()}  # type: ignore[union-attr]


def printed(text: str) -> list[str]:
    cells: Iterable[Any] = json.loads(text)["cells"]
    return ["".join(each["text"]) for cell in cells for each in cell["outputs"] if "text" in each]


def test_a_notebook_runs_with_its_parameters_and_comes_back_executed(
    local: Any, sagemaker: Any
) -> None:
    given = notebook(SHOWN)
    step = run(local, sagemaker, given)
    assert step["StepStatus"] == "Succeeded", step.get("FailureReason")
    found = outputs(local, sagemaker, step)
    assert set(found) == {"simple.ipynb", "night-run.ipynb", "sagemaker_job_execution.log"}
    assert found["simple.ipynb"] == given
    document = json.loads(found["night-run.ipynb"])
    executed = document["cells"]
    assert document["metadata"]["language_info"]["name"] == "python"
    assert printed(found["night-run.ipynb"]) == ["x = '5' hi blue beside\n"]
    assert [cell["metadata"].get("tags") for cell in executed] == [
        ["parameters"],
        ["injected-parameters"],
        None,
    ]


def test_the_error_of_a_cell_is_the_reason_and_what_ran_before_is_kept(
    local: Any, sagemaker: Any
) -> None:
    step = run(local, sagemaker, notebook("print('before')", "1 / 0", "print('after')"))
    assert step["StepStatus"] == "Failed"
    reason = job_of(sagemaker, step)["FailureReason"]
    assert "[SM-111] Error with executing notebook" in reason
    assert 'Exception encountered at "In [4]":\nZeroDivisionError: division by zero' in reason
    assert printed(outputs(local, sagemaker, step)["night-run.ipynb"]) == ["before\n"]


@pytest.mark.parametrize(
    ("given", "script", "words"),
    [
        (notebook(), "echo no disk; exit 3", "Error with running init script\nno disk\n"),
        ("{}", "true", "simple.ipynb is not a notebook"),
        (notebook("import os; os._exit(9)"), "true", "Kernel died"),
        (notebook(), "export SM_KERNEL_NAME=scala", "No such kernel: scala; here there is"),
        (notebook(), "export SM_OUTPUT_NOTEBOOK_NAME=", "SM_OUTPUT_NOTEBOOK_NAME is not set"),
    ],
)
def test_what_keeps_a_notebook_from_running_is_the_reason(
    local: Any, sagemaker: Any, given: str, script: str, words: str
) -> None:
    step = run(local, sagemaker, given, script)
    assert step["StepStatus"] == "Failed"
    assert words in job_of(sagemaker, step)["FailureReason"]


def test_parameters_injected_before_are_replaced(local: Any, sagemaker: Any) -> None:
    made = nbformat.v4.new_notebook()
    old = nbformat.v4.new_code_cell("x = 'old'", metadata={"tags": ["injected-parameters"]})
    made.cells = [old, nbformat.v4.new_code_cell("print(x)")]
    step = run(local, sagemaker, str(nbformat.writes(made)))
    executed = outputs(local, sagemaker, step)["night-run.ipynb"]
    assert printed(executed) == ["5\n"]
    assert len(json.loads(executed)["cells"]) == 2


def a_job(local: Any, given: str, **environment: str) -> dict[str, Any]:
    """The training job of the compiled step, without a pipeline and without an init script."""
    wanted = json.loads(COMPILED.read_text().replace("the-bucket", local.bucket))
    arguments: dict[str, Any] = wanted["Steps"][0]["Arguments"] | {"TrainingJobName": "job"}
    arguments["OutputDataConfig"] = {"S3OutputPath": f"s3://{local.bucket}/out"}
    arguments["Environment"] |= {"SM_INIT_SCRIPT": "", **environment}
    local.put(f"{INPUT}/simple.ipynb", given)
    return arguments


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SM_OUTPUT_FORMATS", "html", "SM_OUTPUT_FORMATS is not supported here"),
        ("SM_SKIP_EFS_SIMULATION", "false", "there is no EFS to simulate"),
        ("SM_JOB_DEF_VERSION", "2.0", "Cannot handle SageMaker job definition version: 2.0"),
        ("SM_INPUT_NOTEBOOK_NAME", "gone.ipynb", "Cannot find input notebook"),
    ],
)
def test_what_a_notebook_job_cannot_do_is_refused_by_name(
    local: Any, sagemaker: Any, name: str, value: str, words: str
) -> None:
    sagemaker.create_training_job(**a_job(local, notebook(), **{name: value}))
    assert words in local.until("training-job", "job")["FailureReason"]


def printed_by_the_job(local: Any) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(local.read("out/job/output/output.tar.gz"))) as tar:
        executed = tar.extractfile("night-run.ipynb")
        assert executed is not None
        return printed(executed.read().decode())


def test_a_notebook_job_that_is_killed_leaves_the_cells_that_had_run(
    local: Any, sagemaker: Any
) -> None:
    kills = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"
    sagemaker.create_training_job(**a_job(local, notebook("print('before')", kills)))
    assert local.until("training-job", "job")["TrainingJobStatus"] == "Failed"
    assert printed_by_the_job(local) == ["before\n"]


def test_a_stopped_notebook_leaves_the_cells_that_had_run(local: Any, sagemaker: Any) -> None:
    waits = "import pathlib, time; pathlib.Path('/opt/ml/model/on').touch(); time.sleep(60)"
    sagemaker.create_training_job(**a_job(local, notebook("print('before')", waits)))
    local.until_true((local.plane.config.home / "jobs/training-job/job/model/on").exists)
    sagemaker.stop_training_job(TrainingJobName="job")
    assert local.until("training-job", "job")["TrainingJobStatus"] == "Stopped"
    assert printed_by_the_job(local) == ["before\n"]
