"""Writers that go on while the server is killed, and what was acknowledged to them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bench.chaos_pipeline import IMAGE, ROLE, TINY

PAUSE_SECONDS = 0.03


@dataclass
class Acknowledged:
    """What the server has answered with success: it must never forget it."""

    models: dict[str, str] = field(default_factory=dict)  # name -> the value of its tag, or ""
    executions: list[str] = field(default_factory=list)


class Writers:
    """Two threads: models with tags, and executions. They end when the server does not answer."""

    def __init__(self, endpoint: str, round_name: str) -> None:
        self.acknowledged = Acknowledged()
        self.surprises: list[str] = []
        self._name = round_name
        self._over = threading.Event()
        self._client = boto3.client(
            "sagemaker",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - the emulator's well-known word
            config=Config(retries={"max_attempts": 0}, read_timeout=10),
        )
        self._threads = [
            threading.Thread(target=self._until_killed, args=(write,))
            for write in (self._model, self._execution)
        ]
        for each in self._threads:
            each.start()

    def wait(self) -> None:
        """A moment."""
        self._over.wait(PAUSE_SECONDS)

    def end(self) -> Acknowledged:
        """After the kill: what counts."""
        self._over.set()
        for each in self._threads:
            each.join()
        self._client.close()
        return self.acknowledged

    def _until_killed(self, write: Any) -> None:
        number = 0
        try:
            while not self._over.wait(PAUSE_SECONDS):
                write(f"{self._name}-{number}")
                number += 1
        except ClientError as error:
            self.surprises.append(f"a writer was refused: {error}")
        except BotoCoreError:
            return  # the server is gone

    def _model(self, name: str) -> None:
        arn = self._client.create_model(
            ModelName=name, PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=ROLE
        )["ModelArn"]
        self.acknowledged.models[name] = ""
        self._client.add_tags(ResourceArn=arn, Tags=[{"Key": "said", "Value": name}])
        self.acknowledged.models[name] = name

    def _execution(self, name: str) -> None:
        answer = self._client.start_pipeline_execution(
            PipelineName=TINY, PipelineExecutionDisplayName=name
        )
        self.acknowledged.executions.append(answer["PipelineExecutionArn"])
