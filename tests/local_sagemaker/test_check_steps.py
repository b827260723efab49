"""QualityCheck and ClarifyCheck steps around real jobs: small scripts in place of the analyzers."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_sagemaker.test_pipeline_executions import (
    EXECUTION,
    create,
    listed,
    processing,
    run,
    status,
)
from tests.local_sagemaker.test_pipeline_executions import start as begin

OUT = "/opt/ml/processing/output"
ANALYZE = f"echo '{{}}' > {OUT}/constraints.json; echo '{{}}' > {OUT}/statistics.json; "
VIOLATED = json.dumps({"violations": [{"feature_name": "age", "description": "age has drifted"}]})
VIOLATE = f"echo '{VIOLATED}' > {OUT}/constraint_violations.json; "
CACHE = {"CacheConfig": {"Enabled": True, "ExpireAfter": "P1D"}}
FIRST = {"SkipCheck": True, "RegisterNewBaseline": True}
QUALITY = (
    "CalculatedBaselineConstraints",
    "CalculatedBaselineStatistics",
    "BaselineUsedForDriftCheckConstraints",
    "BaselineUsedForDriftCheckStatistics",
)


def check(bucket: str, script: str = ANALYZE, **more: Any) -> dict[str, Any]:
    """A QualityCheck step named Check (or what `more` says)."""
    place = {"S3Uri": f"s3://{bucket}/check", "LocalPath": OUT, "S3UploadMode": "EndOfJob"}
    output = {"OutputName": "quality_check_output", "S3Output": place}
    arguments = {
        "ProcessingOutputConfig": {"Outputs": [output]},
        **more.pop("arguments", {}),
    }
    return {
        **processing("Check", script, arguments=arguments),
        "Type": "QualityCheck",
        "CheckType": "DATA_QUALITY",
        "ModelPackageGroupName": None,
        **more,
    }


def supplied(local: Any) -> dict[str, Any]:
    """A previous baseline, as the members that supply it."""
    return {
        "SuppliedBaselineConstraints": local.put("old/constraints.json", "{}"),
        "SuppliedBaselineStatistics": local.put("old/statistics.json", "{}"),
    }


def register(sagemaker: Any, approval: str = "Approved", **baselines: Any) -> None:
    sagemaker.create_model_package(
        ModelPackageGroupName="churn",
        ModelApprovalStatus=approval,
        **({"DriftCheckBaselines": baselines} if baselines else {}),
    )


def source(uri: str) -> dict[str, str]:
    return {"ContentType": "application/json", "S3Uri": uri}


def told(local: Any, sagemaker: Any, step: dict[str, Any], *names: str) -> dict[str, str]:
    """The properties of the Check step, as another step sees them; it must succeed."""
    values = [{"Get": f"Steps.Check.{name}"} for name in names]
    message = {"Std:Join": {"On": " ", "Values": values}}
    say = {"Name": "Say", "Type": "Fail", "Arguments": {"ErrorMessage": message}}
    execution = run(local, sagemaker, step, say)
    assert listed(sagemaker, execution)["Check"]["StepStatus"] == "Succeeded"
    found = str(status(sagemaker, execution)[1]).split(" ")
    return dict(zip(names, found, strict=True))


def test_a_first_run_registers_what_it_calculated(local: Any, sagemaker: Any) -> None:
    step = check(local.bucket, ANALYZE + VIOLATE, **FIRST)
    new = f"s3://{local.bucket}/check"
    assert told(local, sagemaker, step, *QUALITY) == {
        "CalculatedBaselineConstraints": f"{new}/constraints.json",
        "CalculatedBaselineStatistics": f"{new}/statistics.json",
        "BaselineUsedForDriftCheckConstraints": f"{new}/constraints.json",
        "BaselineUsedForDriftCheckStatistics": f"{new}/statistics.json",
    }


@pytest.mark.parametrize(
    ("skip", "register_new", "used"),
    [(False, False, "old"), (False, True, "check"), (True, False, "old"), (True, True, "check")],
)
def test_the_baseline_that_is_used_follows_the_two_switches(
    local: Any, sagemaker: Any, skip: bool, register_new: bool, used: str
) -> None:
    switches = {"SkipCheck": skip, "RegisterNewBaseline": register_new}
    step = check(local.bucket, **switches, **supplied(local))
    found = told(local, sagemaker, step, *QUALITY)
    assert found["BaselineUsedForDriftCheckConstraints"] == (
        f"s3://{local.bucket}/{used}/constraints.json"
    )
    assert found["BaselineUsedForDriftCheckStatistics"] == (
        f"s3://{local.bucket}/{used}/statistics.json"
    )
    assert found["CalculatedBaselineConstraints"] == f"s3://{local.bucket}/check/constraints.json"


def test_the_metadata_of_a_check_is_aws_s(local: Any, sagemaker: Any) -> None:
    execution = run(local, sagemaker, check(local.bucket, **supplied(local)))
    shown = listed(sagemaker, execution)["Check"]["Metadata"]["QualityCheck"]
    job = shown.pop("CheckJobArn")
    assert ":processing-job/pipelines-" in job
    assert shown == {
        "CheckType": "DATA_QUALITY",
        "SkipCheck": False,
        "RegisterNewBaseline": False,
        "CalculatedBaselineConstraints": f"s3://{local.bucket}/check/constraints.json",
        "CalculatedBaselineStatistics": f"s3://{local.bucket}/check/statistics.json",
        "BaselineUsedForDriftCheckConstraints": f"s3://{local.bucket}/old/constraints.json",
        "BaselineUsedForDriftCheckStatistics": f"s3://{local.bucket}/old/statistics.json",
    }


def test_violations_fail_the_step_and_their_report_is_named(local: Any, sagemaker: Any) -> None:
    execution = run(local, sagemaker, check(local.bucket, ANALYZE + VIOLATE, **supplied(local)))
    step = listed(sagemaker, execution)["Check"]
    report = f"s3://{local.bucket}/check/constraint_violations.json"
    assert step["StepStatus"] == "Failed"
    assert step["FailureReason"] == (
        "ClientError: DATA_QUALITY check found 1 violation(s) of the baseline, such as "
        f"age has drifted; the report is {report}"
    )
    assert step["Metadata"]["QualityCheck"]["ViolationReport"] == report


def test_violations_do_not_fail_a_step_that_is_told_so(local: Any, sagemaker: Any) -> None:
    step = check(local.bucket, ANALYZE + VIOLATE, FailOnViolation=False, **supplied(local))
    execution = run(local, sagemaker, step)
    shown = listed(sagemaker, execution)["Check"]
    assert shown["StepStatus"] == "Succeeded"
    assert shown["Metadata"]["QualityCheck"]["ViolationReport"].endswith("violations.json")


def test_a_skipped_check_does_not_look_for_violations(local: Any, sagemaker: Any) -> None:
    step = check(local.bucket, ANALYZE + VIOLATE, SkipCheck=True, **supplied(local))
    shown = listed(sagemaker, run(local, sagemaker, step))["Check"]
    assert shown["StepStatus"] == "Succeeded"
    assert "ViolationReport" not in shown["Metadata"]["QualityCheck"]


def test_a_report_that_cannot_be_read_fails_the_step(local: Any, sagemaker: Any) -> None:
    script = ANALYZE + f"echo nonsense > {OUT}/constraint_violations.json"
    execution = run(local, sagemaker, check(local.bucket, script, **supplied(local)))
    reason = listed(sagemaker, execution)["Check"]["FailureReason"]
    assert reason.startswith("ClientError: the report of the check cannot be read")


def test_a_job_that_fails_fails_its_check(local: Any, sagemaker: Any) -> None:
    execution = run(local, sagemaker, check(local.bucket, "exit 3", **FIRST))
    step = listed(sagemaker, execution)["Check"]
    assert step["StepStatus"] == "Failed"
    assert step["FailureReason"].startswith("AlgorithmError")


def test_the_job_finds_the_previous_baseline_where_its_environment_says(
    local: Any, sagemaker: Any
) -> None:
    compare = 'test -f "$baseline_constraints" && test -f "$baseline_statistics" && '
    step = check(local.bucket, compare + ANALYZE, **supplied(local))
    assert status(sagemaker, run(local, sagemaker, step))[0] == "Succeeded"


@pytest.mark.parametrize("switches", [{}, {"SkipCheck": True}, {"RegisterNewBaseline": True}])
def test_without_a_previous_baseline_only_a_first_run_goes(
    local: Any, sagemaker: Any, switches: dict[str, bool]
) -> None:
    step = check(local.bucket, ModelPackageGroupName="churn", **switches)
    reason = listed(sagemaker, run(local, sagemaker, step))["Check"]["FailureReason"]
    assert "there is no previous baseline for the DATA_QUALITY check" in reason
    assert "group 'churn' has none" in reason
    assert "SkipCheck and RegisterNewBaseline to true" in reason


def test_the_latest_approved_version_has_the_previous_baseline(local: Any, sagemaker: Any) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName="churn")
    for number, approval in ((1, "Approved"), (2, "Approved"), (3, "Rejected")):
        uri = local.put(f"v{number}/constraints.json", "{}")
        register(sagemaker, approval, ModelDataQuality={"Constraints": source(uri)})
    step = check(local.bucket, ModelPackageGroupName="churn")
    execution = run(local, sagemaker, step)
    shown = listed(sagemaker, execution)["Check"]["Metadata"]["QualityCheck"]
    used = shown["BaselineUsedForDriftCheckConstraints"]
    assert used == f"s3://{local.bucket}/v2/constraints.json"
    assert shown["ModelPackageGroupName"] == "churn"


def test_a_supplied_baseline_comes_before_the_registry_s(local: Any, sagemaker: Any) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName="churn")
    uri = local.put("v1/constraints.json", "{}")
    register(sagemaker, ModelDataQuality={"Constraints": source(uri)})
    step = check(local.bucket, ModelPackageGroupName="churn", **supplied(local))
    used = told(local, sagemaker, step, "BaselineUsedForDriftCheckConstraints")
    assert list(used.values()) == [f"s3://{local.bucket}/old/constraints.json"]


@pytest.mark.parametrize(
    ("kind", "baselines"),
    [
        ("DATA_BIAS", {"Bias": "PreTrainingConstraints"}),
        ("MODEL_BIAS", {"Bias": "PostTrainingConstraints"}),
        ("MODEL_EXPLAINABILITY", {"Explainability": "Constraints"}),
    ],
)
def test_each_clarify_check_has_its_own_baseline(
    local: Any, sagemaker: Any, kind: str, baselines: dict[str, str]
) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName="churn")
    uri = local.put("v1/analysis.json", "{}")
    register(sagemaker, **{part: {member: source(uri)} for part, member in baselines.items()})
    script = f"""test -f "$baseline_constraints" && echo '{{}}' > {OUT}/analysis.json"""
    more = {"Type": "ClarifyCheck", "CheckType": kind, "ModelPackageGroupName": "churn"}
    execution = run(local, sagemaker, check(local.bucket, script, **more))
    shown = listed(sagemaker, execution)["Check"]["Metadata"]["ClarifyCheck"]
    assert shown["BaselineUsedForDriftCheckConstraints"] == uri
    new = f"s3://{local.bucket}/check/analysis.json"
    assert shown["CalculatedBaselineConstraints"] == new
    assert "CalculatedBaselineStatistics" not in shown


def configured(local: Any, text: str) -> dict[str, Any]:
    """A check of a model, with this analysis configuration."""
    place = {
        "S3Uri": local.put("config/analysis_config.json", text),
        "LocalPath": "/opt/ml/processing/input/config",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
    }
    show = "cat /opt/ml/processing/input/config/analysis_config.json"
    inputs = {"ProcessingInputs": [{"InputName": "analysis_config", "S3Input": place}]}
    more = {"Type": "ClarifyCheck", "CheckType": "MODEL_BIAS", "ModelName": "churn-7", **FIRST}
    return check(local.bucket, f"{show} > {OUT}/analysis.json", arguments=inputs, **more)


def test_the_analysis_is_told_the_model_of_the_step(local: Any, sagemaker: Any) -> None:
    step = configured(local, json.dumps({"predictor": {"label": 0}}))
    execution = run(local, sagemaker, step)
    assert listed(sagemaker, execution)["Check"]["StepStatus"] == "Succeeded"
    told_of = json.loads(local.read("check/analysis.json"))
    assert told_of == {"predictor": {"label": 0, "model_name": "churn-7"}}
    unchanged = json.loads(local.read("config/analysis_config.json"))
    assert unchanged == {"predictor": {"label": 0}}


@pytest.mark.parametrize("text", ["nonsense", "[]"])
def test_an_analysis_configuration_that_cannot_be_read_fails_the_check(
    local: Any, sagemaker: Any, text: str
) -> None:
    execution = run(local, sagemaker, configured(local, text))
    reason = listed(sagemaker, execution)["Check"]["FailureReason"]
    assert f"s3://{local.bucket}/config/analysis_config.json cannot be used" in reason


def test_a_model_without_an_analysis_configuration_fails_the_check(
    local: Any, sagemaker: Any
) -> None:
    more = {"Type": "ClarifyCheck", "CheckType": "MODEL_BIAS", "ModelName": "churn-7", **FIRST}
    execution = run(local, sagemaker, check(local.bucket, **more))
    reason = listed(sagemaker, execution)["Check"]["FailureReason"]
    assert "needs one ProcessingInput at /opt/ml/processing/input/config" in reason


def test_a_violated_clarify_check_fails(local: Any, sagemaker: Any) -> None:
    more = {"Type": "ClarifyCheck", "CheckType": "DATA_BIAS"}
    baseline = {"SuppliedBaselineConstraints": local.put("old/analysis.json", "{}")}
    execution = run(local, sagemaker, check(local.bucket, VIOLATE, **more, **baseline))
    reason = listed(sagemaker, execution)["Check"]["FailureReason"]
    assert reason.startswith("ClientError: DATA_BIAS check found 1 violation(s)")


def test_the_switches_may_be_parameters(local: Any, sagemaker: Any) -> None:
    parameters = [{"Name": "First", "Type": "Boolean", "DefaultValue": False}]
    first = {"Get": "Parameters.First"}
    step = check(local.bucket, SkipCheck=first, RegisterNewBaseline=first)
    create(sagemaker, step, Parameters=parameters)
    given = [{"Name": "First", "Value": "True"}]
    good = begin(sagemaker, PipelineParameters=given)
    local.until(EXECUTION, good, "Succeeded")
    bad = begin(sagemaker)
    local.until(EXECUTION, bad, "Failed")


def test_a_check_is_reused_until_its_previous_baseline_changes(local: Any, sagemaker: Any) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName="churn")

    def approve(version: str) -> None:
        uri = local.put(f"{version}/constraints.json", version)
        register(sagemaker, ModelDataQuality={"Constraints": source(uri)})

    def hit() -> bool:
        execution = begin(sagemaker)
        local.until(EXECUTION, execution, "Succeeded")
        return "CacheHitResult" in listed(sagemaker, execution)["Check"]

    approve("v1")
    create(sagemaker, check(local.bucket, ModelPackageGroupName="churn", **CACHE))
    assert not hit()
    assert hit()
    approve("v2")
    assert not hit()


def test_stopping_the_execution_stops_the_job(local: Any, sagemaker: Any) -> None:
    create(sagemaker, check(local.bucket, "sleep 60", **FIRST))
    execution = begin(sagemaker)
    local.until_true(lambda: "Metadata" in listed(sagemaker, execution).get("Check", {}))
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution)
    local.until(EXECUTION, execution, "Stopped")
    assert listed(sagemaker, execution)["Check"]["StepStatus"] == "Stopped"


def test_the_analyzer_image_itself_is_refused(local: Any, sagemaker: Any) -> None:
    registry = "156813124566.dkr.ecr.us-east-1.amazonaws.com"
    image = {"AppSpecification": {"ImageUri": f"{registry}/sagemaker-model-monitor-analyzer"}}
    execution = run(local, sagemaker, check(local.bucket, arguments=image, **FIRST))
    reason = listed(sagemaker, execution)["Check"]["FailureReason"]
    assert "Model Monitor's analyzer is not supported yet" in reason


def test_a_check_needs_one_output(local: Any, sagemaker: Any) -> None:
    step = check(local.bucket, arguments={"ProcessingOutputConfig": {"Outputs": []}}, **FIRST)
    reason = listed(sagemaker, run(local, sagemaker, step))["Check"]["FailureReason"]
    assert "needs exactly one output in ProcessingOutputConfig, not 0" in reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"CheckType": "DATA_BIAS"}, "allowed is DATA_QUALITY, MODEL_QUALITY"),
        ({"SkipCheck": "perhaps"}, "SkipCheck must be true or false, not 'perhaps'"),
        ({"SuppliedBaselineConstraints": 3}, "SuppliedBaselineConstraints must be a text"),
        ({"ModelName": "m"}, "ModelName is not supported on a step of type QualityCheck"),
        (
            {"Type": "ClarifyCheck", "CheckType": "DATA_BIAS", "ModelName": "m"},
            "ModelName is for CheckType MODEL_BIAS or MODEL_EXPLAINABILITY",
        ),
    ],
)
def test_a_check_that_cannot_run_is_refused(
    sagemaker: Any, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match="step 'Check'") as refused:
        create(sagemaker, check("b", **change))
    assert message in refused.value.response["Error"]["Message"]


def test_only_the_baselines_of_a_check_may_be_referred_to(sagemaker: Any) -> None:
    wanted = {"Get": "Steps.Check.ProcessingJobName"}
    say = {"Name": "Say", "Type": "Fail", "Arguments": {"ErrorMessage": wanted}}
    with pytest.raises(ClientError, match="exposes only CalculatedBaselineConstraints, "):
        create(sagemaker, check("b"), say)
