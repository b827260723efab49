"""A problem with versions in a registry, and endpoints on a real local SageMaker beside MiniStack;
for the tests of what is served.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipelines import settings
from pipelines.settings import Settings
from tests.local_sagemaker.conftest import Local, new_client
from tests.local_sagemaker.hosting import ROLE, XGBOOST, archive

# Answers like a bundle of ours: the predictions and its own version; "fail" is an error.
BUNDLE = """
import json, os

def model_fn(model_dir):
    return json.load(open(os.path.join(model_dir, "bundle.json")))["version"]

def transform_fn(version, body, content_type, accept):
    if body == "fail":
        raise ValueError("no such row")
    answer = {"predictions": [{"churn": 0.5}], "model_version": version}
    return json.dumps(answer), "application/json"
"""
PROBLEM = """
name: {name}
columns:
  age: {{kind: numeric, min: 18, max: 90}}
  plan: {{kind: categorical, values: [free, plus]}}
  seen: {{kind: timestamp}}
  active: {{kind: boolean}}
  churned: {{kind: boolean}}
models:
  churn: {{kind: binary, target: churned, metric: auc, gate: {{min: 0.5}}}}
"""
Main = Callable[[list[str]], int]


@dataclass
class Shop:
    """One problem, its configuration file, and clients of everything."""

    local: Local
    name: str
    config: Path
    capture: pytest.CaptureFixture[str]
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """Of the local SageMaker, or of MiniStack for what that does not speak."""
        if service not in self.clients:
            ours = service in ("sagemaker", "sagemaker-runtime", "application-autoscaling")
            url = self.local.url if ours else self.local.plane.config.s3_endpoint
            self.clients[service] = new_client(service, url)
        return self.clients[service]

    def register(self, word: str, approval: str = "Approved") -> int:
        """Another version, whose bundle calls itself by this word; its number."""
        sagemaker = self.client("sagemaker")
        if not sagemaker.list_model_package_groups(NameContains=self.name)[
            "ModelPackageGroupSummaryList"
        ]:
            sagemaker.create_model_package_group(ModelPackageGroupName=self.name)
        content = {"bundle.json": json.dumps({"version": word}), "code/inference.py": BUNDLE}
        key = f"bundles/{self.name}/{word}/model.tar.gz"
        self.local.s3.put_object(Bucket=self.local.bucket, Key=key, Body=archive(content))
        container = {
            "Image": XGBOOST,
            "ModelDataUrl": f"s3://{self.local.bucket}/{key}",
            "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
        }
        made = sagemaker.create_model_package(
            ModelPackageGroupName=self.name,
            ModelApprovalStatus=approval,
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            CustomerMetadataProperties={"churn.auc": "0.8", "churn.gate": "auc min 0.5"},
        )
        return int(made["ModelPackageArn"].rpartition("/")[2])

    def run(self, main: Main, *words: str, exit_code: int = 0) -> dict[str, Any]:
        """A command with --json; its document."""
        assert self.call(main, *words, "--json") == exit_code, self.capture.readouterr()
        document: dict[str, Any] = json.loads(self.capture.readouterr().out)
        return document

    def text(self, main: Main, *words: str, exit_code: int = 0) -> str:
        """A command as people see it: what it prints, errors too."""
        found = self.call(main, *words)
        said = self.capture.readouterr()
        assert found == exit_code, said
        return said.out + said.err

    def call(self, main: Main, *words: str) -> int:
        return main([*words, "--config", str(self.config)])

    def parameter(self, name: str) -> Any:
        """A parameter below the problem's folder."""
        full = f"/ml-pipeline/models/{self.name}/{name}"
        return self.client("ssm").get_parameter(Name=full)["Parameter"]["Value"]

    def described(self) -> dict[str, Any]:
        answer = self.client("sagemaker").describe_endpoint(EndpointName=self.name)
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}

    def weights(self) -> dict[str, float]:
        return {
            each["VariantName"]: each["CurrentWeight"]
            for each in self.described()["ProductionVariants"]
        }

    def versions(self) -> dict[str, str]:
        """Variant -> the version that it serves, by SageMaker's own descriptions."""
        sagemaker = self.client("sagemaker")
        config = sagemaker.describe_endpoint_config(
            EndpointConfigName=self.described()["EndpointConfigName"]
        )
        found = {}
        for each in config["ProductionVariants"]:
            model = sagemaker.describe_model(ModelName=each["ModelName"])
            found[each["VariantName"]] = model["PrimaryContainer"]["ModelPackageName"]
        return {name: arn.rpartition("/")[2] for name, arn in found.items()}


def shop(
    local: Local,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capture: pytest.CaptureFixture[str],
) -> Shop:
    """A problem of a name of its own, so that tests share MiniStack's parameters without harm."""
    name = f"shop-{local.bucket.removeprefix('test-')}"
    config = folder / "problem.yaml"
    config.write_text(PROBLEM.format(name=name))
    made = Shop(local, name, config, capture)
    place = Settings("local", "us-east-1", "", ROLE, local.bucket, {})
    quick = place.words._replace(poll_seconds=0.01)
    monkeypatch.setitem(settings.TARGETS, "local", quick)
    monkeypatch.setattr(settings, "resolve", lambda *_, **__: place)
    monkeypatch.setattr(settings, "client", lambda _, service: made.client(service))
    return made
