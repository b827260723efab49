"""The table of images: which local command does what an AWS image does.

An image is looked up by repository name and tag; account and region in the URI are ignored. A job's
own entrypoint comes before the table (engine/jobs.py), and so do the images of the user's own file
(own_images.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from local_sagemaker.errors import ApiError, validation

URI = re.compile(
    r"^(?:(?P<registry>[^/]+\.[^/]+|localhost(?::\d+)?)/)?(?P<name>[^:@]+)"
    r"(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]+))?$"
)
CONTAINER = ["python", str(Path(__file__).parent / "containers" / "run.py")]
MODEL_CODE = "/opt/ml/model/code"


@dataclass(frozen=True)
class Image:
    """What running this image means here. `train` and `serve` are the commands of `docker run
    <image> train|serve`.

    None where a command is not supported: `no_train` / `no_serve` then say why. `serve_cwd` is
    where serve starts. `version` is the tag whose versions are installed here; another tag runs,
    with `notes` as the warning.
    """

    name: str
    tag: str = ""
    train: list[str] | None = None
    serve: list[str] | None = None
    serve_cwd: str | None = None
    python: bool = True
    version: str = ""
    notes: tuple[str, ...] = ()
    no_train: str = ""
    no_serve: str = ""
    process: list[str] | None = None
    no_process: str = "it has no default command; give AppSpecification.ContainerEntrypoint"

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

    def train_command(self) -> list[str]:
        """The command of a training job without an entrypoint of its own; refuses an image that has
        none.
        """
        if self.train is None:
            raise validation(f"Image {self.name!r} cannot train here: {self.no_train}")
        return self.train


SCRIPT_ONLY = (
    "{} is not supported yet; give AlgorithmSpecification.ContainerEntrypoint, "
    "as ModelTrainer does with a SourceCode"
)
OWN_ENTRYPOINT = "it has no train command; give AlgorithmSpecification.ContainerEntrypoint"

IMAGES = {
    image.name: image
    for image in (
        Image(
            "sagemaker-xgboost",
            version="3.2-0",
            serve=[*CONTAINER, "xgboost_serve"],
            no_train=SCRIPT_ONLY.format("XGBoost's algorithm mode"),
        ),
        Image(
            "sagemaker-scikit-learn",
            version="1.9-0-cpu-py3",
            serve=[*CONTAINER, "script_server"],
            no_train=SCRIPT_ONLY.format("scikit-learn's script mode by hyperparameters"),
        ),
        Image(
            "mlops-inference",
            serve=["python3", "-m", "inference.server"],
            serve_cwd=MODEL_CODE,
            no_train=OWN_ENTRYPOINT,
        ),
    )
}

# Repositories that we know and do not run: the name (or how it begins) and what to do instead.
REFUSED = {
    "sagemaker-spark-processing": "Spark is not supported; use the scikit-learn image",
    "pytorch": "PyTorch is not installed here; use the XGBoost or scikit-learn image",
    "tensorflow": "TensorFlow is not installed here; use the XGBoost or scikit-learn image",
    "huggingface": "Hugging Face images are not supported; use the XGBoost or scikit-learn image",
    "sagemaker-model-monitor-analyzer": "Model Monitor's analyzer is not supported yet",
    "sagemaker-clarify-processing": "Clarify is not supported yet",
}


# The images of the user's own file, by repository[:tag]; set when the server starts.
_OWN: dict[str, Image] = {}


def use(own: dict[str, Image]) -> None:
    """From now on these come before the table."""
    _OWN.clear()
    _OWN.update(own)


def resolve(image_uri: str) -> Image:
    """The row for an image URI, with its tag and the warnings that go into the job's log.

    Raises ApiError (ValidationException) for an image that cannot run here; the message names the
    table.
    """
    match = URI.match(image_uri)
    name, tag = (match["name"].rpartition("/")[2], match["tag"] or "") if match else (image_uri, "")
    full = match["name"] if match else image_uri
    keys = (f"{full}:{tag}", f"{name}:{tag}", full, name)
    row = next((_OWN[key] for key in keys if key in _OWN), IMAGES.get(name))
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
