"""Run a notebook as the images of SageMaker Distribution do: `amazon_sagemaker_scheduler`.

    input channel (SM_EXECUTION_INPUT_PATH) -> init scripts -> parameters injected -> cells executed
    -> /opt/ml/output/data: the notebook as given, as executed, and the log of it

Hyperparameters are the notebook's parameters, always text. What AWS's container does stands in the
public sagemaker_headless_execution_driver; papermill's tags and file names are kept. The executed
notebook is written after every cell, so a job that is stopped or killed leaves what it got to.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SOURCE = 'set -e; . "$0"; env -0 > "$1"'
VERSION = "1.0"
LOG_NAME = "sagemaker_job_execution.log"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
PARAMETERS, INJECTED = "parameters", "injected-parameters"


class StepError(Exception):
    """One step of the execution failed; the message becomes part of /opt/ml/output/failure."""


class Execution:
    """One run: what the environment asks for, where it goes, and what was said so far."""

    def __init__(self, root: Path, environ: dict[str, str]) -> None:
        self.root = root
        self.environ = environ
        self.folder = Path(
            environ.get("SM_EXECUTION_INPUT_PATH")
            or root / "input/data/sagemaker_headless_execution"
        )
        self.data = root / "output" / "data"
        self.step = ""
        self.said: list[str] = []

    @property
    def given(self) -> Path:
        return self.folder / self._needed("SM_INPUT_NOTEBOOK_NAME")

    @property
    def executed(self) -> Path:
        """Where the executed notebook goes: AWS's container allows a dot before ipynb alone."""
        name = re.sub(r"[.:]", "-", self._needed("SM_OUTPUT_NOTEBOOK_NAME"))
        return self.data / re.sub(r"-*ipynb$", ".ipynb", name)

    def enter(self, step: str) -> None:
        self.step, self.said = step, []

    def say(self, text: str) -> None:
        """On stdout, in the log that is delivered, and in the failure if this step fails."""
        print(text, flush=True)
        self.said.append(text)
        with (self.data / LOG_NAME).open("a") as log:
            log.write(f"{text}\n")

    def failure(self) -> str:
        """AWS's words: which of input, output and log there are, the step, what it said."""
        files = [self.data / LOG_NAME]
        if all(self.environ.get(f"SM_{each}_NOTEBOOK_NAME") for each in ("INPUT", "OUTPUT")):
            files = [self.data / self.given.name, self.executed, *files]
        flags = "".join(str(int(each.is_file())) for each in files)
        return "\n".join([f"[SM-{flags}] Error with {self.step}", *self.said])

    def _needed(self, name: str) -> str:
        if not self.environ.get(name):
            raise StepError(f"the environment variable {name} is not set")
        return self.environ[name]


def prepare(run: Execution) -> None:
    """Check what is asked for and put the notebook as given beside the one to come."""
    run.enter("Prepare the input notebook")
    if not run.given.is_file():
        raise StepError(f"Cannot find input notebook: {run.given}")
    shutil.copy(run.given, run.data)
    run.enter("checking sagemaker job definition version")
    if run.environ.get("SM_JOB_DEF_VERSION") != VERSION:
        version = run.environ.get("SM_JOB_DEF_VERSION", "")
        raise StepError(f"Cannot handle SageMaker job definition version: {version}")
    run.enter("reading the options of the job")
    if run.environ.get("SM_OUTPUT_FORMATS"):
        raise StepError("SM_OUTPUT_FORMATS is not supported here: the notebook stays .ipynb")
    if run.environ.get("SM_SKIP_EFS_SIMULATION") != "true":
        raise StepError("SM_SKIP_EFS_SIMULATION must be true here: there is no EFS to simulate")


def run_scripts(run: Execution) -> None:
    """The life cycle script in a shell of its own; the init script may set variables."""
    if script := run.environ.get("SM_LCC_INIT_SCRIPT"):
        run.enter("running LCC script as init-script")
        _shell(run, ["sh", str(run.folder / script)])
    if script := run.environ.get("SM_INIT_SCRIPT"):
        run.enter("running init script")
        after = run.root / "tmp" / "environment"
        _shell(run, ["bash", "-c", SOURCE, str(run.folder / script), str(after)])
        pairs = (each.partition("=") for each in after.read_text().split("\0") if each)
        run.environ.clear()
        run.environ.update({name: value for name, _, value in pairs})


def _shell(run: Execution, command: list[str]) -> None:
    with subprocess.Popen(
        command,
        cwd=run.folder,
        env=run.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as shell:
        for line in shell.stdout or ():
            run.say(line.rstrip("\n"))
    if shell.returncode:
        raise StepError(f"the script ended with exit code {shell.returncode}")


def inject(notebook: Any, parameters: Mapping[str, str]) -> None:
    """A cell that assigns the parameters: in place of one injected before, else after the cell
    tagged `parameters`, else first.
    """
    import nbformat

    if not parameters:
        return
    lines = ["# Parameters", *(f"{name} = {json.dumps(parameters[name])}" for name in parameters)]
    cell = nbformat.v4.new_code_cell("\n".join(lines), metadata={"tags": [INJECTED]})
    old = _tagged(notebook, INJECTED)
    if old is not None:
        notebook.cells[old] = cell
        return
    defaults = _tagged(notebook, PARAMETERS)
    notebook.cells.insert(0 if defaults is None else defaults + 1, cell)


def _tagged(notebook: Any, tag: str) -> int | None:
    places = enumerate(notebook.cells)
    return next((at for at, cell in places if tag in cell.metadata.get("tags", ())), None)


def execute(run: Execution) -> None:
    """Run the cells in a kernel of the asked name. Raises StepError with the cell's error."""
    import nbformat
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    run.enter("executing notebook")
    kernel = run._needed("SM_KERNEL_NAME")
    parameters = _parameters(run.root)
    run.say(f"Use Kernel {kernel} to execute {run.given.name}. Params: {parameters}")
    try:
        notebook = nbformat.read(run.given, as_version=4)
    except (ValueError, nbformat.ValidationError) as problem:
        raise StepError(f"{run.given.name} is not a notebook: {problem}") from problem
    inject(notebook, parameters)
    try:
        _run_cells(run, notebook, kernel)
    except NoSuchKernel as problem:
        from jupyter_client.kernelspec import KernelSpecManager

        known = ", ".join(sorted(KernelSpecManager().find_kernel_specs()))
        raise StepError(f"No such kernel: {kernel}; here there is {known}") from problem
    except CellExecutionError as problem:
        raise StepError(_explain(notebook, problem)) from problem
    except DeadKernelError as problem:
        raise StepError(f"{problem}; it ended while the notebook ran") from problem


def _run_cells(run: Execution, notebook: Any, kernel: str) -> None:
    import nbformat
    from nbclient import NotebookClient

    def save(**_: Any) -> None:
        nbformat.write(notebook, run.executed)

    os.environ.clear()
    os.environ.update(run.environ)
    os.environ["JUPYTER_RUNTIME_DIR"] = str(run.root / "tmp" / "jupyter")
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name=kernel,
        resources={"metadata": {"path": str(run.folder)}},
        on_cell_executed=save,
    )
    save()
    client.execute()


def _explain(notebook: Any, problem: Any) -> str:
    """The cell and its error first: a FailureReason has room for 1024 characters."""
    count = next(
        (
            cell.execution_count
            for cell in notebook.cells
            if any(each.output_type == "error" for each in cell.get("outputs", ()))
        ),
        None,
    )
    place = f'Exception encountered at "In [{count or " "}]":'
    text = f"Exception during processing notebook: {place}\n{problem.ename}: {problem.evalue}\n"
    return COLOURS.sub("", f"{text}{problem.traceback}")


def _parameters(root: Path) -> dict[str, str]:
    path = root / "input" / "config" / "hyperparameters.json"
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def main(root: Path) -> int:
    run = Execution(root, dict(os.environ))
    run.data.mkdir(parents=True, exist_ok=True)
    try:
        prepare(run)
        run_scripts(run)
        execute(run)
    except StepError as problem:
        run.say(str(problem))
        (root / "output" / "failure").write_text(run.failure())
        return 1
    run.say("Notebook execution is complete")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
