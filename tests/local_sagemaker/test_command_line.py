"""The command line, as a person uses it: real processes, ports and signals."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

ROLE = "arn:aws:iam::000000000000:role/local"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
ROOT = Path(__file__).parents[2]


@dataclass
class Answer:
    code: int
    out: str
    err: str


@dataclass
class CommandLine:
    """The program in a home of its own, on two ports of its own."""

    home: Path
    port: int
    s3_port: int

    def run(self, *arguments: str, stdin: str = "") -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "local_sagemaker", *arguments],
            env={**os.environ, "LOCAL_SAGEMAKER_HOME": str(self.home)},
            cwd=ROOT,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def up(self, *more: str) -> Answer:
        ports = ["--port", str(self.port), "--s3-port", str(self.s3_port)]
        return self.run("up", *ports, "--preload", "", *more)

    def client(self, service: str) -> Any:
        """A boto3 client made from what `env` says and nothing else."""
        variables = json.loads(self.run("env", "--json").out)
        own = "AWS_ENDPOINT_URL_SAGEMAKER" if service == "sagemaker" else "AWS_ENDPOINT_URL"
        return boto3.client(
            service,
            endpoint_url=variables[own],
            region_name=variables["AWS_DEFAULT_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )

    def processes(self) -> list[psutil.Process]:
        """The server and everything it started, jobs included; [] when it is not up."""
        record = json.loads(self.run("status", "--json").out)
        if not record["up"]:
            return []
        server = psutil.Process(record["pid"])
        return [server, *server.children(recursive=True)]


def gone(processes: list[psutil.Process], seconds: float = 10.0) -> bool:
    """Have all of them ended, or do they within these seconds?"""
    return not psutil.wait_procs(processes, timeout=seconds)[1]


def left_in(home: Path) -> list[psutil.Process]:
    """Processes that stand in a home: what a start that failed might leave."""
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if each.cwd().startswith(str(home)) or each.environ().get("STATE_DIR", "").startswith(
                str(home)
            ):
                found.append(each)
    return found


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        threading.Event().wait(0.02)


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    line = CommandLine(tmp_path / "home", *free_ports())
    yield line
    processes = line.processes()
    line.run("down")
    assert gone(processes)


def long_job(client: Any, name: str) -> None:
    client.create_training_job(
        TrainingJobName=name,
        RoleArn=ROLE,
        AlgorithmSpecification={
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["/bin/bash", "-c"],
            "ContainerArguments": ["echo started; sleep 300 & sleep 300"],
        },
        OutputDataConfig={"S3OutputPath": "s3://nobodys-bucket/out"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )


def test_up_status_env_down(cli: CommandLine) -> None:
    assert cli.run("status").code == 1
    env = cli.run("env")
    assert (env.code, env.out) == (1, "")
    assert "python -m local_sagemaker up" in env.err

    up = cli.up()
    assert (up.code, up.err) == (0, "")
    assert f"http://127.0.0.1:{cli.port}" in up.out
    again = cli.up()
    assert again.code == 0
    assert "already up" in again.out

    record = json.loads(cli.run("status", "--json").out)
    assert (record["up"], record["port"], record["s3_port"]) == (True, cli.port, cli.s3_port)
    assert "secret_key" not in record
    assert (record["events"], "events in EventBridge: on" in up.out) == ("on", True)
    assert cli.client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []
    assert cli.client("s3").list_buckets()["Buckets"] == []
    processes = cli.processes()
    listening = {c.laddr.ip for p in processes for c in p.net_connections("inet") if c.laddr}
    assert listening == {"127.0.0.1"}

    shell = ["/bin/sh", "-c", 'eval "$(cat)"; exec env']
    given = subprocess.run(shell, input=cli.run("env").out, capture_output=True, text=True)
    variables = dict(line.split("=", 1) for line in given.stdout.splitlines() if "=" in line)
    assert variables["AWS_ENDPOINT_URL_SAGEMAKER"] == f"http://127.0.0.1:{cli.port}"
    assert variables["no_proxy"].startswith("127.0.0.1,localhost")

    assert cli.run("down").out == "down\n"
    assert gone(processes)
    assert "nothing was up" in cli.run("down").out


def test_two_at_once_start_one(cli: CommandLine) -> None:
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(cli.up())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.code for answer in answers] == [0, 0], answers
    assert len({answer.out.partition("(process")[2] for answer in answers}) == 1


@pytest.mark.parametrize("option", ["--port", "--s3-port"])
def test_a_port_in_use_is_one_clear_line_and_nothing_is_left(cli: CommandLine, option: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", cli.port if option == "--port" else cli.s3_port))
        other.listen()
        up = cli.up()
        taken = other.getsockname()[1]
    assert up.code == 1
    assert up.out == ""
    assert up.err == (
        f"local_sagemaker: port {taken} is in use by another program; choose another: {option} N\n"
    )
    assert cli.run("status").code == 1
    assert left_in(cli.home) == []


def test_killed_at_once_it_leaves_nobody_and_tells_the_truth_when_it_is_back(
    cli: CommandLine,
) -> None:
    cli.up()
    s3 = cli.client("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="k", Body=b"content")
    long_job(cli.client("sagemaker"), "cut")
    log = cli.home / "logs/training-job/cut.log"
    until(lambda: log.exists() and "started" in log.read_text())
    until(lambda: [each.name() for each in cli.processes()].count("sleep") == 2)
    processes = cli.processes()

    os.kill(processes[0].pid, signal.SIGKILL)
    assert cli.run("status").code == 1  # a stale record misleads nobody
    assert cli.up().code == 0  # on the same ports, at once
    assert gone(processes)

    job = cli.client("sagemaker").describe_training_job(TrainingJobName="cut")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("InternalServerError: the local SageMaker was stopped")
    assert cli.client("s3").get_object(Bucket="kept", Key="k")["Body"].read() == b"content"

    processes = cli.processes()
    os.kill(processes[0].pid, signal.SIGKILL)
    assert gone(processes)


def test_logs_reset_and_what_they_refuse(cli: CommandLine) -> None:
    none = cli.run("logs", "job")
    assert (none.code, none.err) == (
        1,
        "local_sagemaker: no log of 'job'; the newest logs: there are none\n",
    )
    cli.up()
    client = cli.client("sagemaker")
    long_job(client, "job")
    log = cli.home / "logs/training-job/job.log"
    until(lambda: log.exists() and "started" in log.read_text())
    assert "started\n" in cli.run("logs", "job").out
    assert "the newest logs: job" in cli.run("logs", "jobb").err
    client.stop_training_job(TrainingJobName="job")
    assert "started\n" in cli.run("logs", "job", "--follow").out

    unasked = cli.run("reset")
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    processes = cli.processes()
    assert cli.run("reset", "--yes").code == 0
    assert gone(processes)
    assert not cli.home.exists()


def test_reset_does_not_remove_what_it_did_not_make(cli: CommandLine) -> None:
    cli.home.mkdir()
    (cli.home / "thesis.txt").write_text("years")
    answer = cli.run("reset", "--yes")
    assert answer.code == 1
    assert "was not made by a local SageMaker" in answer.err
    assert (cli.home / "thesis.txt").exists()


def test_another_s3_may_stand_beside_it(cli: CommandLine, s3_endpoint: str, bucket: str) -> None:
    assert cli.up("--s3-endpoint", s3_endpoint).code == 0
    record = json.loads(cli.run("status", "--json").out)
    assert (record["s3_endpoint"], record["ministack_pid"]) == (s3_endpoint, None)


def test_operations_are_listed_with_what_each_supports(cli: CommandLine) -> None:
    listed = json.loads(cli.run("operations", "--json").out)
    training = listed["CreateTrainingJob"]
    assert "HyperParameters" in training["supported"]
    assert "RoleArn" in training["kept, not acted on"]
    limited = training["with these values only"]
    assert "AlgorithmSpecification.TrainingInputMode = 'File' or 'FastFile' or 'Pipe'" in limited
    assert "DebugRuleConfigurations" in training["refused"]
    assert "CreateTrainingJob\n    supported: " in cli.run("operations").out


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["up", "--port", "x"], ["up", "--slots", "0"], ["up", "--time-scale", "0"], []],
)
def test_wrong_usage_exits_with_2(cli: CommandLine, arguments: list[str]) -> None:
    answer = cli.run(*arguments)
    assert answer.code == 2
    assert "Traceback" not in answer.err


def test_waits_may_be_shorter_than_awss(
    cli: CommandLine, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_SAGEMAKER_TIME_SCALE", "soon")
    refused = cli.up("--s3-endpoint", s3_endpoint)
    assert refused.code == 1
    assert "LOCAL_SAGEMAKER_TIME_SCALE='soon' is not a positive number" in refused.err
    monkeypatch.setenv("LOCAL_SAGEMAKER_TIME_SCALE", "50")
    assert cli.up("--s3-endpoint", s3_endpoint).code == 0
    assert json.loads(cli.run("status", "--json").out)["time_scale"] == 50.0
    assert cli.run("down").code == 0
    assert cli.up("--s3-endpoint", s3_endpoint, "--time-scale", "100").code == 0
    assert json.loads(cli.run("status", "--json").out)["time_scale"] == 100.0


def test_a_missing_ministack_says_what_to_do(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_SAGEMAKER_MINISTACK", "/nowhere/python")
    answer = cli.up()
    assert answer.code == 1
    assert answer.err.startswith(
        "local_sagemaker: MiniStack's environment was not found (/nowhere/"
    )
    assert "make install" in answer.err


def test_help_shows_an_example(cli: CommandLine) -> None:
    answer = cli.run("--help")
    assert answer.code == 0
    assert 'eval "$(python -m local_sagemaker env)"' in answer.out


def test_the_list_of_operations_in_the_docs_is_what_the_command_prints() -> None:
    written = (Path(__file__).parents[2] / "docs/operations.md").read_text("utf-8")
    printed = subprocess.run(
        [sys.executable, "-m", "local_sagemaker", "operations"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"```\n{printed}```\n" in written, "run `make docs`"
