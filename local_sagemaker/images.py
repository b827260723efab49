"""The table of images: which local command does what an AWS image does.

An image is looked up by repository name and tag; account and region in the URI are ignored. A job's
own entrypoint comes before the table (engine/jobs.py), and so do the images of the user's own file
(own_images.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from local_sagemaker.containers.xgboost_parameters import METRICS
from local_sagemaker.errors import ApiError, validation

URI = re.compile(
    r"^(?:(?P<registry>[^/]+\.[^/]+|localhost(?::\d+)?)/)?(?P<name>[^:@]+)"
    r"(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]+))?$"
)
# By path, not by -m: a user's program must not find our packages on its module path.
CONTAINERS = Path(__file__).parent / "containers"
CONTAINER = ["python", str(CONTAINERS / "run.py")]
SCRIPT_TRAIN = ["python", str(CONTAINERS / "script_train.py"), "/opt/ml"]
XGBOOST_TRAIN = ["python", str(CONTAINERS / "xgboost_train.py"), "/opt/ml"]
NOTEBOOK_JOB = ["python", str(CONTAINERS / "notebook_job.py"), "/opt/ml"]
MODEL_CODE = "/opt/ml/model/code"
NO_PROCESS = "it has no default command; give AppSpecification.ContainerEntrypoint"


@dataclass(frozen=True)
class Image:
    """What running this image means here. `train` and `serve` are the commands of `docker run
    <image> train|serve`; `train_script` is `train` with a program of the user's (script mode).
    `metrics` are those that its own algorithm prints, found as `metric_regex` says.

    None where a command is not supported: `no_train` / `no_serve` then say why. `serve_cwd` is
    where serve starts. `programs` are executables that only this image has, for entrypoints.
    `version` is the tag whose versions are installed here; another tag runs, with `notes` as the
    warning.
    """

    name: str
    tag: str = ""
    train: list[str] | None = None
    train_script: list[str] | None = None
    metrics: tuple[str, ...] = ()
    metric_regex: str = ""
    serve: list[str] | None = None
    serve_cwd: str | None = None
    python: bool = True
    version: str = ""
    notes: tuple[str, ...] = ()
    no_train: str = ""
    no_serve: str = ""
    process: list[str] | None = None
    no_process: str = NO_PROCESS
    programs: Mapping[str, list[str]] = field(default_factory=dict)

    def entrypoint(self, given: list[str]) -> list[str]:
        """A job's own entrypoint, with a program of the image replaced by what does it here."""
        return [*self.programs.get(given[0], given[:1]), *given[1:]]

    def process_command(self) -> list[str]:
        """The command of a processing job without an entrypoint of its own; refuses an image that
        has none.
        """
        if self.process is None:
            raise validation(f"Image {self.name!r} cannot process here: {self.no_process}")
        return self.process

    def serve_command(self) -> list[str]:
        """The command behind an endpoint; refuses an image that has none."""
        if self.serve is None:
            raise validation(f"Image {self.name!r} cannot serve here: {self.no_serve}")
        return self.serve

    def train_command(self, *, script: bool = False) -> list[str]:
        """The command of a training job without an entrypoint of its own, in algorithm or in script
        mode; refuses an image that has none.
        """
        command = self.train_script if script else self.train
        if command is None:
            raise validation(f"Image {self.name!r} cannot train here: {self.no_train}")
        return command

    def metric_definitions(self) -> list[dict[str, str]]:
        """The metric definitions that AWS gives to every job of this algorithm."""
        return [
            {"Name": f"{channel}:{name}", "Regex": self.metric_regex.format(channel, name)}
            for channel in ("train", "validation")
            for name in self.metrics
        ]


Own = Mapping[str, Image]
"""The images of the user's own file, by repository[:tag] (own_images.py)."""
SCRIPT_ONLY = (
    "{} has no algorithm of its own; give a program with the hyperparameters sagemaker_program and "
    "sagemaker_submit_directory, or AlgorithmSpecification.ContainerEntrypoint"
)
OWN_ENTRYPOINT = "it has no train command; give AlgorithmSpecification.ContainerEntrypoint"

# SageMaker Distribution and the older Studio images that notebook jobs run in.
NOTEBOOK_IMAGES = (
    "sagemaker-distribution",
    "sagemaker-distribution-prod",
    "sagemaker-base-python",
    "sagemaker-base-python-310",
    "sagemaker-data-science-310",
)
ANALYZERS = {
    "sagemaker-model-monitor-analyzer": "Model Monitor's analyzer",
    "sagemaker-clarify-processing": "Clarify",
}


def _notebooks(name: str) -> Image:
    return Image(
        name,
        programs={"amazon_sagemaker_scheduler": NOTEBOOK_JOB},
        no_train=f"{OWN_ENTRYPOINT}, as notebook jobs do with amazon_sagemaker_scheduler",
        no_serve="it is an image for notebooks",
    )


def _analyzer(name: str, title: str) -> Image:
    return Image(
        name,
        no_process=(
            f"{title} is not supported yet; {NO_PROCESS}, or say in images.yaml of "
            f"LOCAL_SAGEMAKER_HOME what it does, as `{name}: {{process: [python3, "
            "/my/analyzer.py]}`, and start the local SageMaker again"
        ),
        no_train=OWN_ENTRYPOINT,
        no_serve="it analyzes data",
    )


IMAGES = {
    image.name: image
    for image in (
        Image(
            "sagemaker-xgboost",
            version="3.2-0",
            train=XGBOOST_TRAIN,
            train_script=SCRIPT_TRAIN,
            metrics=tuple(sorted(METRICS)),
            metric_regex=r".*\[[0-9]+\].*#011{}-{}:(\S+)",
            serve=[*CONTAINER, "xgboost_serve"],
        ),
        Image(
            "sagemaker-scikit-learn",
            version="1.9-0-cpu-py3",
            train_script=SCRIPT_TRAIN,
            serve=[*CONTAINER, "script_server"],
            no_train=SCRIPT_ONLY.format("scikit-learn"),
        ),
        Image(
            "mlops-inference",
            serve=["python3", "-m", "inference.server"],
            serve_cwd=MODEL_CODE,
            no_train=OWN_ENTRYPOINT,
        ),
        *(_notebooks(name) for name in NOTEBOOK_IMAGES),
        *(_analyzer(name, title) for name, title in ANALYZERS.items()),
    )
}

# Repositories that we know and do not run: the name (or how it begins) and what to do instead.
REFUSED = {
    "sagemaker-spark-processing": "Spark is not supported; use the scikit-learn image",
    "pytorch": "PyTorch is not installed here; use the XGBoost or scikit-learn image",
    "tensorflow": "TensorFlow is not installed here; use the XGBoost or scikit-learn image",
    "huggingface": "Hugging Face images are not supported; use the XGBoost or scikit-learn image",
}


def resolve(image_uri: str, own: Own) -> Image:
    """The row for an image URI, with its tag and the warnings that go into the job's log; the
    user's own images (Plane.own_images) come before the table.

    Raises ApiError (ValidationException) for an image that cannot run here; the message names the
    table.
    """
    match = URI.match(image_uri)
    name, tag = (match["name"].rpartition("/")[2], match["tag"] or "") if match else (image_uri, "")
    full = match["name"] if match else image_uri
    keys = (f"{full}:{tag}", f"{name}:{tag}", full, name)
    row = next((own[key] for key in keys if key in own), IMAGES.get(name))
    if row is None:
        raise _unknown(image_uri, name)
    return replace(row, tag=tag, notes=_notes(row, tag))


def _unknown(image_uri: str, name: str) -> ApiError:
    for known, reason in REFUSED.items():
        if name.startswith(known):
            return validation(f"Image {image_uri!r} cannot run here: {reason}.")
    repositories = ", ".join(sorted(IMAGES))
    return validation(
        f"Image {image_uri!r} cannot run here: repository {name!r} is not in the table of images. "
        f"It knows: {repositories} (local_sagemaker/images.py). To run an image of your own, say "
        f"in images.yaml of LOCAL_SAGEMAKER_HOME what it does, as `{name}: {{train: [python3, "
        "/my/train.py]}` (train, process, serve), and start the local SageMaker again."
    )


def _notes(row: Image, tag: str) -> tuple[str, ...]:
    if not row.version or tag == row.version:
        return ()
    asked = f"tag {tag!r}" if tag else "no tag"
    return (
        f"image {row.name} was asked for with {asked}; "
        f"here the versions of {row.version} are installed and will run",
    )
