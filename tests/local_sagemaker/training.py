"""Requests that the tests of training and tuning share: made-up data, and the images' `train`."""

from __future__ import annotations

import io
import random
import tarfile
from typing import Any

ROLE = "arn:aws:iam::000000000000:role/local"
XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0-cpu-py3"


def rows(count: int = 60, seed: int = 1) -> list[tuple[float, float, float]]:
    """(label, a, b) with label about 3a - b."""
    chance = random.Random(seed)
    features = [(chance.random(), chance.random()) for _ in range(count)]
    return [(3 * a - b + 0.1 * chance.random(), a, b) for a, b in features]


def csv(values: list[Any], delimiter: str = ",") -> str:
    return "".join(delimiter.join(str(each) for each in row) + "\n" for row in values)


def libsvm(values: list[tuple[float, float, float]]) -> str:
    return "".join(f"{label} 0:{a} 1:{b}\n" for label, a, b in values)


def channel(name: str, uri: str, content_type: str = "text/csv") -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri}
    return {
        "ChannelName": name,
        "ContentType": content_type,
        "DataSource": {"S3DataSource": source},
    }


def request(
    local: Any, hyperparameters: dict[str, str], *channels: dict[str, Any], **changes: Any
) -> dict[str, Any]:
    """A training job of the XGBoost image without an entrypoint; default channels are made up."""
    if not channels:
        channels = (
            channel("train", local.put("data/train.csv", csv(rows()))),
            channel("validation", local.put("data/validation.csv", csv(rows(30, 2)))),
        )
    wanted = {
        "TrainingJobName": "job",
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": XGBOOST, "TrainingInputMode": "File"},
        "HyperParameters": hyperparameters,
        "InputDataConfig": list(channels),
        "OutputDataConfig": {"S3OutputPath": f"s3://{local.bucket}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }
    return wanted | changes


def log_of(local: Any, name: str = "job") -> str:
    return str((local.plane.config.home / f"logs/training-job/{name}.log").read_text())


def artifact(local: Any, name: str = "job") -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(local.read(f"out/{name}/output/model.tar.gz"))) as tar:
        return {item.name: tar.extractfile(item).read() for item in tar if item.isfile()}  # type: ignore[union-attr]


def source_dir(local: Any, files: dict[str, str], key: str = "code/sourcedir.tar.gz") -> str:
    """A sourcedir.tar.gz on S3; its URI."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, text in files.items():
            item = tarfile.TarInfo(name)
            item.size = len(text.encode())
            tar.addfile(item, io.BytesIO(text.encode()))
    local.s3.put_object(Bucket=local.bucket, Key=key, Body=raw.getvalue())
    return f"s3://{local.bucket}/{key}"
