"""The pipeline that chaos.py kills the server under: many types of steps, each leaving its mark.

    A --> B, T(raining), U (tuning) --> Check --> Model, Register

Every run of a step's process puts one object of its own into S3 when all its work is done, without
the local SageMaker's help: runs/<execution>/<step>/<job>/<random>. So S3 tells how often what ran,
whatever the store says.
"""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0-cpu-py3"
ROLE = "arn:aws:iam::000000000000:role/local"
BUCKET = "chaos"
CODE = f"s3://{BUCKET}/code"
TINY = "tiny"
STEPS = ("A", "B", "T", "U", "Check", "Model", "Register")
# Processing, training, and the kind of jobs that the tuning step starts.
JOBS = {"A": "processing", "B": "processing", "T": "training"}
TRIALS = 2
RETRY = {
    "ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"],
    "IntervalSeconds": 1,
    "BackoffRate": 1.0,
    "MaxAttempts": 5,
}
EXECUTION: dict[str, Any] = {"Get": "Execution.PipelineExecutionId"}
# A PUT by hand: bash is all that a job has here. It counts only once S3 has answered.
MARK = """
id=$(cat /proc/sys/kernel/random/uuid)
host=${AWS_ENDPOINT_URL#http://}
exec 3<>/dev/tcp/${host%:*}/${host#*:}
printf '%s\\r\\n' "PUT /chaos/runs/$WHERE/$JOB/$id HTTP/1.1" "Host: $host" \
  'Content-Length: 0' 'Connection: close' '' >&3
read -t 20 line <&3
case $line in *200*) ;; *) echo "S3 said: $line"; exit 1;; esac
"""
PROCESS = f"""
JOB=$(sed 's/.*"ProcessingJobName": "\\([^"]*\\)".*/\\1/' /opt/ml/config/processingjobconfig.json)
sleep 0.0$((RANDOM % 9))
{MARK}
echo "$id" > /opt/ml/processing/out/effect
"""
TRAIN = f"""
JOB=$TRAINING_JOB_NAME
sleep 0.0$((RANDOM % 9))
{MARK}
echo "$id" > /opt/ml/model/effect
"""


def definition() -> str:
    gate = {
        "Type": "Equals",
        "LeftValue": {"Get": "Steps.T.TrainingJobStatus"},
        "RightValue": "Completed",
    }
    check = {
        "Name": "Check",
        "Type": "Condition",
        "DependsOn": ["B", "U"],
        "Arguments": {
            "Conditions": [gate],
            "IfSteps": [_model(), _register()],
            "ElseSteps": [{"Name": "No", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}],
        },
    }
    steps = [_process("A"), _process("B", "A"), _training(), _tuning(), check]
    return json.dumps({"Version": "2020-12-01", "Steps": steps})


def tiny() -> str:
    """What concurrent writers start: an execution that needs no job."""
    gate = {"Type": "Equals", "LeftValue": 1, "RightValue": 1}
    check = {"Conditions": [gate], "IfSteps": [], "ElseSteps": []}
    step = {"Name": "Check", "Type": "Condition", "Arguments": check}
    return json.dumps({"Version": "2020-12-01", "Steps": [step]})


def code() -> dict[str, bytes]:
    """The scripts, by their keys in the bucket."""
    return {
        "code/process.sh": PROCESS.encode(),
        "code/train.sh": TRAIN.encode(),
        "code/sourcedir.tar.gz": _source_archive(),
    }


def _source_archive() -> bytes:
    """What the tuning step's trials run: the image starts a script with sh, the mark needs bash."""
    files = {
        "train.sh": 'exec /bin/bash "$(dirname "$0")/trial.sh"\n',
        "trial.sh": f"{TRAIN}\necho loss=0.$RANDOM\n",
    }
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, text in files.items():
            item = tarfile.TarInfo(name)
            item.size = len(text.encode())
            tar.addfile(item, io.BytesIO(text.encode()))
    return raw.getvalue()


def _join(*parts: Any) -> dict[str, Any]:
    return {"Std:Join": {"On": "/", "Values": list(parts)}}


def _cluster(**more: Any) -> dict[str, Any]:
    return {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1, **more}


def _step(name: str, kind: str, arguments: dict[str, Any], *after: str) -> dict[str, Any]:
    step = {"Name": name, "Type": kind, "Arguments": arguments, "RetryPolicies": [RETRY]}
    return step | ({"DependsOn": list(after)} if after else {})


def _process(name: str, *after: str) -> dict[str, Any]:
    place = {
        "S3Uri": _join(f"s3://{BUCKET}/outputs", EXECUTION, name),
        "LocalPath": "/opt/ml/processing/out",
        "S3UploadMode": "EndOfJob",
    }
    script = ["/bin/bash", "/opt/ml/processing/input/code/process.sh"]
    source = {
        "S3Uri": f"{CODE}/process.sh",
        "LocalPath": "/opt/ml/processing/input/code",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
    }
    arguments = {
        "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": script},
        "ProcessingInputs": [{"InputName": "code", "S3Input": source}],
        "Environment": {"WHERE": _join(EXECUTION, name)},
        "ProcessingResources": {"ClusterConfig": _cluster()},
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "out", "S3Output": place}]},
        "RoleArn": ROLE,
    }
    return _step(name, "Processing", arguments, *after)


def _trained(name: str, **algorithm: Any) -> dict[str, Any]:
    return {
        "AlgorithmSpecification": {"TrainingInputMode": "File", **algorithm},
        "Environment": {"WHERE": _join(EXECUTION, name)},
        "OutputDataConfig": {"S3OutputPath": _join(f"s3://{BUCKET}/outputs", EXECUTION, name)},
        "ResourceConfig": _cluster(),
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        "RoleArn": ROLE,
    }


def _training() -> dict[str, Any]:
    script = ["/bin/bash", "/opt/ml/input/data/code/train.sh"]
    arguments = _trained("T", TrainingImage=IMAGE, ContainerEntrypoint=script)
    source = {"S3DataType": "S3Prefix", "S3Uri": f"{CODE}/train.sh"}
    arguments["InputDataConfig"] = [{"ChannelName": "code", "DataSource": {"S3DataSource": source}}]
    return _step("T", "Training", arguments, "A")


def _tuning() -> dict[str, Any]:
    """One trial at a time: at most one is killed, so the other one finds the best."""
    metric = {"Name": "loss", "Regex": "loss=(.*)"}
    job = _trained("U", TrainingImage=SKLEARN, MetricDefinitions=[metric])
    job["StaticHyperParameters"] = {
        "sagemaker_program": "train.sh",
        "sagemaker_submit_directory": f"{CODE}/sourcedir.tar.gz",
    }
    limits = {"MaxNumberOfTrainingJobs": TRIALS, "MaxParallelTrainingJobs": 1}
    config = {
        "Strategy": "Random",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
        "ResourceLimits": limits,
        "ParameterRanges": {
            "ContinuousParameterRanges": [{"Name": "a", "MinValue": "0", "MaxValue": "1"}]
        },
    }
    arguments = {"HyperParameterTuningJobConfig": config, "TrainingJobDefinition": job}
    return _step("U", "Tuning", arguments, "A")


def _model() -> dict[str, Any]:
    data = {"Get": "Steps.T.ModelArtifacts.S3ModelArtifacts"}
    container = {"Image": IMAGE, "ModelDataUrl": data}
    arguments = {"PrimaryContainer": container, "ExecutionRoleArn": ROLE}
    return {"Name": "Model", "Type": "Model", "Arguments": arguments}


def _register() -> dict[str, Any]:
    return {
        "Name": "Register",
        "Type": "RegisterModel",
        "Arguments": {"ModelPackageGroupName": EXECUTION},
    }
