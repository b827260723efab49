"""The compiled pipeline: what SageMaker is asked for, for every problem in config/.

The SDK is imported once (seconds); each definition is compiled once and looked at many times.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

PROJECT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((PROJECT / "config").glob("*.yaml"))
ROLE = "arn:aws:iam::111122223333:role/mlops"
WHERE = {
    "region": "us-east-1",
    "role": ROLE,
    "default_bucket": "a-bucket",
    "code_uri": "s3://a-bucket/code/0123/",
    "compile_only": True,
}
DATA = "s3://a-bucket/data/rows.csv"
EXECUTION = "p4jn9xou8a8s"
# Step type -> (operation, the name that the service generates when a pipeline runs the step).
REQUESTS = {
    "Processing": ("CreateProcessingJob", {"ProcessingJobName": "a-job"}),
    "Training": ("CreateTrainingJob", {"TrainingJobName": "a-job"}),
    "Model": ("CreateModel", {"ModelName": "a-model"}),
    "RegisterModel": ("CreateModelPackage", {}),
    "EndpointConfig": ("CreateEndpointConfig", {}),
    "Endpoint": ("CreateEndpoint", {}),
}
PROPERTIES = {
    "ModelPackageArn": "arn:aws:sagemaker:us-east-1:111122223333:model-package/a-group/1",
    "ModelName": "a-model",
    "EndpointConfigName": "a-config",
}
# Python's re has no \\p{..}: letters, numbers, marks, blanks, symbols, punctuation of any script.
UNICODE = {"L": r"\w", "N": r"\w", "M": r"\w", "Z": r"\s", "S": r"\S", "P": r"\S"}
SERVICE = botocore.session.get_session().get_service_model("sagemaker")

COMPILE_GUARDED = """
import json, sys
asked = []
def hook(event, args):
    if event == "socket.connect":
        asked.append(str(args[1]))
    elif event == "socket.getaddrinfo":
        asked.append(str(args[0]))
sys.addaudithook(hook)
from pipelines import training
config, data_uri, where = sys.argv[1:]
pipeline = training.get_pipeline(config=config, data_uri=data_uri, **json.loads(where))
print(json.dumps({"definition": pipeline.definition(), "asked": asked}))
"""


def compile_here(config: Path, **more: Any) -> str:
    from pipelines import training

    return str(
        training.get_pipeline(config=config, **{"data_uri": DATA, **WHERE, **more}).definition()
    )


@pytest.fixture(scope="module")
def definitions() -> dict[str, str]:
    return {config.stem: compile_here(config) for config in CONFIGS}


def every_step(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for step in steps:
        found.append(step)
        if step["Type"] == "Condition":
            branches = step["Arguments"]["IfSteps"] + step["Arguments"]["ElseSteps"]
            found += every_step(branches)
    return found


def by_name(definition: str) -> dict[str, dict[str, Any]]:
    return {step["Name"]: step for step in every_step(json.loads(definition)["Steps"])}


def resolved(value: Any, parameters: dict[str, Any]) -> Any:
    """The value as it would be at run time, with made-up results of earlier steps."""
    if isinstance(value, list):
        return [resolved(item, parameters) for item in value]
    if not isinstance(value, dict):
        return value
    if "Std:Join" in value:
        parts = resolved(value["Std:Join"]["Values"], parameters)
        return value["Std:Join"]["On"].join(str(part) for part in parts)
    if "Std:JsonGet" in value:
        return 0.9
    if set(value) == {"Get"}:
        kind, _, name = value["Get"].partition(".")
        if kind == "Parameters":
            return parameters[name]
        if kind == "Execution":
            return EXECUTION
        return PROPERTIES.get(name.rpartition(".")[2], f"s3://a-bucket/{kind}")
    return {key: resolved(item, parameters) for key, item in value.items()}


def defaults(definition: str) -> dict[str, Any]:
    return {p["Name"]: p["DefaultValue"] for p in json.loads(definition)["Parameters"]}


def wrong_values(shape: Any, value: Any, path: str = "") -> list[str]:
    """What botocore does not check before it sends: enums, patterns and lengths of strings."""
    if shape.type_name == "structure":
        return [
            w for k, v in value.items() for w in wrong_values(shape.members[k], v, f"{path}.{k}")
        ]
    if shape.type_name == "list":
        longest = shape.metadata.get("max", 10**9)
        long = [f"{path} holds {len(value)}, at most {longest}"] if len(value) > longest else []
        return long + [w for item in value for w in wrong_values(shape.member, item, path)]
    if shape.type_name == "map":
        pairs = [(shape.key, k) for k in value] + [(shape.value, v) for v in value.values()]
        return [w for part, item in pairs for w in wrong_values(part, item, path)]
    if shape.type_name != "string":
        return []
    facts = shape.metadata
    # CustomerMetadataValue's pattern ends in a ${1,256} that means its length.
    pattern = re.sub(r"\$\{\d+,\d+\}$", "", facts.get("pattern", ""))
    pattern = re.sub(r"\\p\{(.)\}", lambda m: UNICODE[m[1]], pattern)
    fits = (
        value in (facts.get("enum") or [value])
        and facts.get("min", 0) <= len(value) <= facts.get("max", 10**9)
        and (not pattern or re.fullmatch(pattern, value))
    )
    return [] if fits else [f"{path}: {value!r}"]


@pytest.mark.parametrize("config", [config.stem for config in CONFIGS])
def test_every_step_is_a_request_that_sagemaker_accepts(
    definitions: dict[str, str], config: str
) -> None:
    checked = set()
    for step in by_name(definitions[config]).values():
        if step["Type"] not in REQUESTS:
            continue
        operation, generated = REQUESTS[step["Type"]]
        request = resolved(step["Arguments"], defaults(definitions[config])) | generated
        shape = SERVICE.operation_model(operation).input_shape
        report = ParamValidator().validate(request, shape)
        assert not report.has_errors(), f"{step['Name']}: {report.generate_report()}"
        assert wrong_values(shape, request) == [], step["Name"]
        checked.add(operation)
    assert checked == {operation for operation, _ in REQUESTS.values()}


def test_every_training_job_runs_our_command_in_the_pinned_image(
    definitions: dict[str, str],
) -> None:
    steps = by_name(definitions["engagement"])
    training = {name: step for name, step in steps.items() if step["Type"] == "Training"}
    assert len(training) == 5
    for name, step in training.items():
        specification = step["Arguments"]["AlgorithmSpecification"]
        assert specification["TrainingImage"].endswith("/sagemaker-xgboost:3.2-0")
        assert specification["ContainerEntrypoint"] == ["python3", "/opt/ml/input/data/code/run.py"]
        model = name.removeprefix("Train-")
        assert specification["ContainerArguments"] == ["train", "--model", model]
        channels = [channel["ChannelName"] for channel in step["Arguments"]["InputDataConfig"]]
        assert channels == ["code", "train", "validation", "transform"]


def test_training_and_serving_use_the_same_xgboost(definitions: dict[str, str]) -> None:
    steps = by_name(definitions["telco_churn"])
    specification = steps["Train-churn"]["Arguments"]["AlgorithmSpecification"]
    container = steps["Register"]["Arguments"]["InferenceSpecification"]["Containers"][0]
    assert container["Image"] == specification["TrainingImage"]


def test_every_job_is_cached_and_retried_and_every_other_request_retried(
    definitions: dict[str, str],
) -> None:
    jobs = [s for s in by_name(definitions["telco_churn"]).values() if s["Type"] in REQUESTS]
    for step in jobs:
        kinds = {
            kind for policy in step.get("RetryPolicies", []) for kind in policy["ExceptionType"]
        }
        if step["Type"] in ("Processing", "Training"):
            assert step["CacheConfig"] == {"Enabled": True, "ExpireAfter": "P30D"}
            assert {"SageMaker.JOB_INTERNAL_ERROR", "SageMaker.CAPACITY_ERROR"} <= kinds
        elif step["Type"] != "Endpoint":
            # Anything else than Step.* is refused for steps that are one API call.
            assert kinds == {"Step.SERVICE_FAULT", "Step.THROTTLING"}


def test_every_output_goes_to_a_place_of_this_execution(definitions: dict[str, str]) -> None:
    found = 0
    for step in by_name(definitions["engagement"]).values():
        arguments = step["Arguments"]
        outputs = [
            output["S3Output"]["S3Uri"]
            for output in arguments.get("ProcessingOutputConfig", {}).get("Outputs", [])
        ]
        if step["Type"] == "Training":
            outputs.append(arguments["OutputDataConfig"]["S3OutputPath"])
        for uri in outputs:
            assert {"Get": "Execution.PipelineExecutionId"} in uri["Std:Join"]["Values"]
            found += 1
    assert found == 1 + 4 + 5 + 2 + 1


def test_no_cache_key_holds_the_execution_id(definitions: dict[str, str]) -> None:
    for step in by_name(definitions["engagement"]).values():
        keys = ("AppSpecification", "AlgorithmSpecification", "Environment", "ProcessingInputs")
        for key in (*keys, "InputDataConfig", "HyperParameters"):
            assert "Execution." not in json.dumps(step["Arguments"].get(key, {}))


def test_every_gate_and_fairness_limit_is_compared_with_a_parameter(
    definitions: dict[str, str],
) -> None:
    conditions = by_name(definitions["telco_churn"])["CheckGates"]["Arguments"]["Conditions"]
    said = [
        (c["Type"], c["LeftValue"]["Std:JsonGet"]["Path"], c["RightValue"]["Get"])
        for c in conditions
    ]
    assert said[0] == (
        "GreaterThanOrEqualTo",
        "models.churn.metrics.auc.value",
        "Parameters.GateChurn",
    )
    assert (
        "LessThanOrEqualTo",
        "models.churn.fairness_limits.demographic_parity_difference.value",
        "Parameters.LimitDemographicParityDifference",
    ) in said


def test_a_metric_where_smaller_is_better_is_gated_from_above(
    definitions: dict[str, str], tmp_path: Path
) -> None:
    text = (PROJECT / "config" / "abalone.yaml").read_text()
    changed = re.sub(r"metric: \w+", "metric: rmse", text)
    changed = re.sub(r"gate: \{.*\}", "gate: {max: 3.0}", changed)
    config = tmp_path / "abalone.yaml"
    config.write_text(changed)
    conditions = by_name(compile_here(config))["CheckGates"]["Arguments"]["Conditions"]
    assert [condition["Type"] for condition in conditions] == ["LessThanOrEqualTo"]


def test_failed_gates_fail_the_execution_with_their_numbers(definitions: dict[str, str]) -> None:
    failed = by_name(definitions["telco_churn"])["GatesFailed"]
    assert failed["Type"] == "Fail"
    assert "gates.failed" in json.dumps(failed["Arguments"]["ErrorMessage"])


def test_only_an_approved_version_is_served(definitions: dict[str, str]) -> None:
    top = {step["Name"]: step for step in json.loads(definitions["telco_churn"])["Steps"]}
    approval = top["CheckApproval"]
    assert approval["DependsOn"] == ["Register"]
    assert approval["Arguments"]["Conditions"][0]["LeftValue"] == {
        "Get": "Parameters.ModelApprovalStatus"
    }
    names = [step["Name"] for step in approval["Arguments"]["IfSteps"]]
    assert names == ["Model", "EndpointConfig", "Endpoint"]
    assert approval["Arguments"]["IfSteps"][0]["Arguments"]["PrimaryContainer"] == {
        "ModelPackageName": {"Get": "Steps.Register.ModelPackageArn"}
    }


def test_no_condition_stands_inside_a_condition(definitions: dict[str, str]) -> None:
    for step in json.loads(definitions["engagement"])["Steps"]:
        if step["Type"] == "Condition":
            inside = step["Arguments"]["IfSteps"] + step["Arguments"]["ElseSteps"]
            assert all(inner["Type"] != "Condition" for inner in inside)


def test_thresholds_reach_the_evaluation_as_parameters(definitions: dict[str, str]) -> None:
    arguments = by_name(definitions["telco_churn"])["Evaluate"]["Arguments"]
    words = resolved(arguments, defaults(definitions["telco_churn"]))["AppSpecification"]
    assert words["ContainerArguments"][:3] == ["evaluate", "--threshold", "churn=0.8"]
    assert "--limit" in words["ContainerArguments"]


def test_without_data_every_start_must_name_some() -> None:
    definition = compile_here(PROJECT / "config" / "abalone.yaml", data_uri=None)
    uri = json.loads(definition)["Parameters"][0]
    assert uri["Name"] == "InputDataUri"
    assert "DefaultValue" not in uri


def test_an_image_of_your_own_serves_every_step() -> None:
    image = "111122223333.dkr.ecr.us-east-1.amazonaws.com/mine:1"
    text = compile_here(PROJECT / "config" / "telco_churn.yaml", image_uri=image)
    images = set(re.findall(r"[0-9]{12}\.dkr\.ecr[^\"]+", text))
    assert images == {image}


def test_the_templates_names_are_honoured() -> None:
    text = compile_here(
        PROJECT / "config" / "telco_churn.yaml",
        model_package_group_name="shop-p-1",
        base_job_prefix="shop-prefix",
        processing_instance_type="ml.m5.4xlarge",
    )
    assert by_name(text)["Register"]["Arguments"]["ModelPackageGroupName"] == "shop-p-1"
    assert "s3://a-bucket/shop-prefix/executions" in text
    assert defaults(text)["ProcessingInstanceType"] == "ml.m5.4xlarge"


def test_compiling_twice_gives_identical_bytes(definitions: dict[str, str]) -> None:
    assert compile_here(PROJECT / "config" / "adult.yaml") == definitions["adult"]


def test_another_process_compiles_the_same_bytes_and_asks_nobody(
    definitions: dict[str, str], tmp_path: Path
) -> None:
    """A fresh home without credentials or SDK settings: nothing to read, nobody to ask."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(PROJECT),
        "PYTHONHASHSEED": "4711",
    }
    done = subprocess.run(
        [
            *(sys.executable, "-c", COMPILE_GUARDED),
            *(str(PROJECT / "config" / "engagement.yaml"), DATA, json.dumps(WHERE)),
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert answer["definition"] == definitions["engagement"]
    outside = [a for a in answer["asked"] if "127.0.0.1" not in a and "localhost" not in a]
    assert outside == []
