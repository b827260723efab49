"""`replay` and `bundle`: the job of one step once more, without a trace in what was recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local_sagemaker import isolation, record
from tests.local_sagemaker import hosting
from tests.local_sagemaker.pipelining import (
    CACHED,
    EXECUTION,
    IMAGE,
    ROLE,
    condition,
    for_each,
    listed,
    processing,
    reads,
    run,
    upsert,
    writes,
)

ROOT = Path(__file__).parents[2]
SCRIPT = "; ".join(
    (
        'echo "depth $DEPTH"',
        "cat /opt/ml/processing/data/rows.csv",
        "echo seen > /opt/ml/processing/out/x",
        "test -f /opt/ml/config/processingjobconfig.json || exit 9",
        "exit $CODE",
    )
)


@dataclass
class Answer:
    code: int
    out: str
    err: str


Ask = Callable[..., Answer]


@pytest.fixture
def ask(local: Any) -> Iterator[Ask]:
    """The command line, beside the test's server."""
    home = local.plane.config.home
    lock = record.take_lock(home)
    assert lock is not None
    record.write(local.plane.config, None, None, "on")

    def run_command(*arguments: str, stdin: str = "") -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "local_sagemaker", *arguments],
            env={**os.environ, "LOCAL_SAGEMAKER_HOME": str(home)},
            cwd=ROOT,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    yield run_command
    os.close(lock)


def work(local: Any, code: str = "0", **more: Any) -> dict[str, Any]:
    arguments = {
        **reads(local.put("data/rows.csv", "a,b\n")),
        **writes(local.bucket),
        "Environment": {"DEPTH": "3", "CODE": code},
    }
    return processing("Work", SCRIPT, arguments=arguments, **more)


def workspace_in(answer: Answer) -> Path:
    return Path(answer.err.partition("stays in ")[2].partition(" until")[0])


def recorded(local: Any, sagemaker: Any, arn: str) -> Any:
    jobs = sagemaker.list_processing_jobs()["ProcessingJobSummaries"]
    return listed(sagemaker, arn), jobs, local.keys("")


@pytest.mark.parametrize("code", ["0", "3"])
def test_a_replay_runs_with_the_inputs_and_environment_of_the_job(
    local: Any, sagemaker: Any, ask: Ask, code: str
) -> None:
    arn = run(local, sagemaker, work(local, code))
    before = recorded(local, sagemaker, arn)
    answer = ask("replay", arn, "Work")
    assert (answer.code, answer.out) == (int(code), "depth 3\na,b\n"), answer.err
    assert (workspace_in(answer) / "processing/out/x").read_text() == "seen\n"
    assert recorded(local, sagemaker, arn) == before


def test_a_training_step_is_replayed_with_its_channels_and_hyperparameters(
    local: Any, sagemaker: Any, ask: Ask
) -> None:
    script = "cat /opt/ml/input/config/hyperparameters.json /opt/ml/input/data/train/rows.csv"
    source = {"S3DataType": "S3Prefix", "S3Uri": local.put("data/rows.csv", "1,2\n")}
    arguments = {
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["/bin/sh", "-c", script],
        },
        "HyperParameters": {"eta": "0.1"},
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": f"s3://{local.bucket}/models"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "RoleArn": ROLE,
    }
    arn = run(local, sagemaker, {"Name": "Train", "Type": "Training", "Arguments": arguments})
    answer = ask("replay", arn.rpartition("/")[2], "Train")
    assert (answer.code, answer.out) == (0, '{"eta": "0.1"}1,2\n'), answer.err


def test_a_child_of_a_for_each_is_known_by_its_own_name(
    local: Any, sagemaker: Any, ask: Ask, tmp_path: Path
) -> None:
    body = work(local)
    body["Arguments"]["Environment"]["DEPTH"] = {"Get": "ForEach.CurrentItem"}
    arn = run(local, sagemaker, for_each(["7", "8"], body))
    answer = ask("replay", arn, "Work-1")
    assert (answer.code, answer.out) == (0, "depth 8\na,b\n"), answer.err
    out = tmp_path / "bundle"
    assert ask("bundle", arn, "Work-0", "--out", str(out)).code == 0
    done = subprocess.run([str(out / "run.sh")], capture_output=True, text=True, check=False)
    assert done.stdout == "depth 7\na,b\n"
    assert ask("why", arn, "Work-1").out == (
        "Work-1 ran: caching is off (its CacheConfig is not enabled)\n"
    )
    for name, says in (
        ("Each", "step 'Each' is a ForEach step; it runs no job"),
        ("Work", "no step 'Work' in that execution; did you mean 'Work-"),
        ("Work-2", "no step 'Work-2' in that execution"),
    ):
        answer = ask("replay", arn, name)
        assert answer.code == 1
        assert says in answer.err


def test_a_shell_stands_where_the_job_would(local: Any, sagemaker: Any, ask: Ask) -> None:
    arn = run(local, sagemaker, work(local))
    answer = ask("replay", arn, "Work", "--shell", stdin="pwd; cat processing/data/*; exit 5\n")
    assert answer.code == 5, answer.err
    assert "/opt/ml\na,b\n" in answer.out
    assert "the job's command: /bin/sh -c" in answer.err
    end = ask("replay", arn, "Work", "--shell", stdin="")
    assert end.code == 0, end.err


def test_inputs_that_have_changed_are_told(local: Any, sagemaker: Any, ask: Ask) -> None:
    arn = run(local, sagemaker, work(local, **CACHED))
    assert "does not hold" not in ask("replay", arn, "Work").err
    local.put("data/rows.csv", "other\n")
    answer = ask("replay", arn, "Work")
    assert answer.out == "depth 3\nother\n"
    expected = f"s3://{local.bucket}/data/rows.csv does not hold what it held when the step began"
    assert expected in answer.err


def test_what_has_no_job_to_run_again_says_so(local: Any, sagemaker: Any, ask: Ask) -> None:
    gate = condition("Gate", 1, 2, yes=[processing("Yes")])
    arn = run(local, sagemaker, gate, work(local))
    for step, says in (
        ("Gate", "step 'Gate' is a Condition step; it runs no job"),
        ("Yes", "step 'Yes' has started no job in this execution"),
        ("No", "no step 'No' in that execution"),
    ):
        answer = ask("replay", arn, step)
        assert (answer.code, answer.out) == (1, "")
        assert says in answer.err
        assert answer.err.count("\n") == 1
    local.s3.delete_object(Bucket=local.bucket, Key="data/rows.csv")
    answer = ask("replay", arn, "Work")
    assert (answer.code, "an input cannot be had any more" in answer.err) == (1, True)


def test_a_bundle_runs_by_itself_as_often_as_asked(
    local: Any, sagemaker: Any, ask: Ask, tmp_path: Path
) -> None:
    arn = run(local, sagemaker, work(local, "3"))
    out = tmp_path / "my bundle"
    answer = ask("bundle", arn, "Work", "--out", str(out))
    assert answer.code == 0, answer.err
    names = {"ml", "environment", "job.json", "run.sh"}
    assert {each.name for each in out.iterdir()} == names
    assert "SECRET" not in (out / "environment").read_text()
    local.s3.delete_object(Bucket=local.bucket, Key="data/rows.csv")
    for _ in range(2):
        done = subprocess.run(
            [str(out / "run.sh")], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert (done.returncode, done.stdout) == (3, "depth 3\na,b\n"), done.stderr
        assert (out / "work/processing/out/x").read_text() == "seen\n"
    assert not (out / "ml/processing/out/x").exists()
    again = ask("bundle", arn, "Work", "--out", str(out))
    assert (again.code, "is there already" in again.err) == (1, True)


def test_a_bundle_runs_where_nothing_can_be_mounted(
    local: Any, sagemaker: Any, ask: Ask, tmp_path: Path
) -> None:
    arn = run(local, sagemaker, work(local))
    out = tmp_path / "bundle"
    ask("bundle", arn, "Work", "--out", str(out))
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "unshare").write_text("#!/bin/sh\nexit 1\n")
    (tools / "unshare").chmod(0o755)
    done = subprocess.run(
        [str(out / "run.sh")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
    )
    assert (done.returncode, done.stdout) == (0, "depth 3\na,b\n"), done.stderr
    assert "its path is rewritten" in done.stderr


def test_a_step_that_still_runs_can_be_bundled(
    local: Any, sagemaker: Any, ask: Ask, tmp_path: Path
) -> None:
    upsert(sagemaker, processing("Slow", "sleep 60"))
    arn = sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    local.until_true(lambda: "Metadata" in listed(sagemaker, arn).get("Slow", {}))
    answer = ask("bundle", arn, "Slow", "--out", str(tmp_path / "bundle"))
    assert (answer.code, answer.err) == (0, "")
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    local.until(EXECUTION, arn, "Stopped")


def test_a_replay_finds_the_pip_that_jobs_find(local: Any, sagemaker: Any, ask: Ask) -> None:
    script = "command -v pip; python3 -c 'import pip; print(pip.__file__)'"
    arn = run(local, sagemaker, processing("Work", script))
    answer = ask("replay", arn, "Work")
    shims = local.plane.config.home / "shims"
    assert answer.out.split() == [f"{shims}/bin/pip", f"{shims}/python/pip/__init__.py"]


@pytest.mark.skipif(
    not isolation.probe().network, reason="this machine gives no network namespaces"
)
@pytest.mark.parametrize(("isolated", "said"), [(True, "alone\n"), (False, "reached\n")])
def test_a_replay_has_the_network_of_its_job(
    local: Any, sagemaker: Any, ask: Ask, isolated: bool, said: str
) -> None:
    port = local.plane.config.s3_endpoint.rpartition(":")[2]
    reach = f"bash -c ': < /dev/tcp/127.0.0.1/{port}' 2> /dev/null"
    arguments = {"NetworkConfig": {"EnableNetworkIsolation": isolated}}
    step = processing("Work", f"{reach} && echo reached || echo alone", arguments=arguments)
    arn = run(local, sagemaker, step)
    assert ask("replay", arn, "Work").out == said


def test_jobs_that_one_process_cannot_repeat_say_so(local: Any, sagemaker: Any, ask: Ask) -> None:
    several = processing("Several")
    several["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = 2
    local.put("data/rows.csv", "1,2\n")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{local.bucket}/data/"}
    piped = {
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "Pipe",
            "ContainerEntrypoint": ["cat", "/opt/ml/input/data/train_0"],
        },
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": f"s3://{local.bucket}/models"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "RoleArn": ROLE,
    }
    hosting.create_model(local, sagemaker)
    scored = {
        "ModelName": "one",
        "TransformInput": {"DataSource": {"S3DataSource": source}, "ContentType": "text/csv"},
        "TransformOutput": {"S3OutputPath": f"s3://{local.bucket}/scored"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    steps = [
        several,
        {"Name": "Piped", "Type": "Training", "Arguments": piped},
        {"Name": "Scored", "Type": "Transform", "Arguments": scored},
    ]
    arn = run(local, sagemaker, *steps)
    for step, says in (
        ("Several", "step 'Several' ran on 2 instances; only one can be run again"),
        ("Piped", "input 'train' is a pipe, which is there only while the job runs"),
        ("Scored", "its job is more than one process"),
    ):
        answer = ask("replay", arn, step)
        assert (answer.code, answer.out) == (1, "")
        assert says in answer.err


def test_a_bundle_keeps_every_value_of_the_environment_and_the_job_itself(
    local: Any, sagemaker: Any, ask: Ask, tmp_path: Path
) -> None:
    given = "it's $HOME; a  b"
    step = processing("Work", 'echo "$NOTE"', arguments={"Environment": {"NOTE": given}})
    arn = run(local, sagemaker, step)
    out = tmp_path / "bundle"
    assert ask("bundle", arn, "Work", "--out", str(out)).code == 0
    done = subprocess.run([str(out / "run.sh")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{given}\n"), done.stderr
    job = json.loads((out / "job.json").read_text())
    metadata = listed(sagemaker, arn)["Work"]["Metadata"]
    assert metadata["ProcessingJob"]["Arn"] == job["ProcessingJobArn"]
