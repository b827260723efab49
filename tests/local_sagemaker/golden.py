"""One pipeline with every step type, small, but real: models are trained and served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.local_sagemaker.hosting import XGBOOST, component, empty_variant
from tests.local_sagemaker.pipelining import ROLE, condition, fail, for_each, processing, reads

CLUSTER = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}
COMPILED_NOTEBOOK = Path(__file__).with_name("definitions") / "notebook_job.json"
OUT = "/opt/ml/processing/out"
PREPARE = (
    f'for i in $(seq 1 60); do echo "$((i % 7)),$((i % 5)),$i"; done > {OUT}/rows.csv; '
    f"cut -d, -f2- {OUT}/rows.csv > {OUT}/features.csv"
)
SCORES = "/opt/ml/processing/scores/features.csv.out"
EVALUATE = (
    f'test "$(wc -l < {SCORES})" = 60 && '
    f"""echo '{{"rmse": {{"value": 0.5}}}}' > {OUT}/report.json"""
)
ANALYZE = f"echo '{{}}' > {OUT}/constraints.json; echo '{{}}' > {OUT}/statistics.json"
BIAS = f"echo '{{}}' > {OUT}/analysis.json"


def get(path: str) -> dict[str, str]:
    return {"Get": path}


def join(*values: Any, on: str = "/") -> dict[str, Any]:
    return {"Std:Join": {"On": on, "Values": list(values)}}


def written_by(step: str) -> dict[str, str]:
    return get(f"Steps.{step}.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri")


def writes(bucket: str, step: str) -> dict[str, Any]:
    """One output named out, in a place of this execution and step."""
    uri = join(f"s3://{bucket}", get("Execution.PipelineExecutionId"), step)
    place = {"S3Uri": uri, "LocalPath": OUT, "S3UploadMode": "EndOfJob"}
    return {"ProcessingOutputConfig": {"Outputs": [{"OutputName": "out", "S3Output": place}]}}


def step(name: str, kind: str, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"Name": name, "Type": kind, "Arguments": arguments, **more}


def algorithm(bucket: str) -> dict[str, Any]:
    """What training and tuning have in common: XGBoost as AWS's algorithm, on Prepare's rows."""
    source = {"S3DataType": "S3Prefix", "S3Uri": join(written_by("Prepare"), "rows.csv")}
    data = {"DataSource": {"S3DataSource": source}, "ContentType": "text/csv"}
    return {
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": XGBOOST, "TrainingInputMode": "File"},
        "InputDataConfig": [{"ChannelName": name, **data} for name in ("train", "validation")],
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/models"},
        "ResourceConfig": CLUSTER,
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }


def tuning(bucket: str) -> dict[str, Any]:
    eta = {"Name": "eta", "MinValue": "0.1", "MaxValue": "0.5"}
    config = {
        "Strategy": "Random",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "validation:rmse"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": {"ContinuousParameterRanges": [eta]},
    }
    static = {"StaticHyperParameters": {"num_round": "3", "objective": "reg:squarederror"}}
    return {
        "HyperParameterTuningJobConfig": config,
        "TrainingJobDefinition": algorithm(bucket) | static,
    }


def transform(bucket: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": join(written_by("Prepare"), "features.csv")}
    return {
        "ModelName": get("Steps.Model.ModelName"),
        "TransformInput": {
            "ContentType": "text/csv",
            "SplitType": "Line",
            "DataSource": {"S3DataSource": source},
        },
        "TransformOutput": {"S3OutputPath": f"s3://{bucket}/scores", "AssembleWith": "Line"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }


def check(kind: str, check_type: str, script: str, bucket: str, **baselines: Any) -> dict[str, Any]:
    """A first run: it registers what it calculates and compares with nothing."""
    told = {
        "CheckType": check_type,
        "ModelPackageGroupName": "golden",
        "SkipCheck": True,
        "RegisterNewBaseline": True,
        **baselines,
    }
    base = processing(kind, script, arguments=writes(bucket, kind))
    return {**base, "Type": kind, "DependsOn": ["Score"], **told}


def container(**more: Any) -> dict[str, Any]:
    return {
        "Image": XGBOOST,
        "ModelDataUrl": get("Steps.Train.ModelArtifacts.S3ModelArtifacts"),
    } | more


def served(name: str, variant: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """An endpoint configuration and the endpoint of it."""
    base = {"VariantName": "AllTraffic", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    config = {
        "EndpointConfigName": f"{name}-config",
        "ProductionVariants": [base | variant],
        **more,
    }
    made = get(f"Steps.{name}Config.EndpointConfigName")
    return [
        step(f"{name}Config", "EndpointConfig", config),
        step(name, "Endpoint", {"EndpointName": name.lower(), "EndpointConfigName": made}),
    ]


def registered() -> dict[str, Any]:
    baseline = {"ContentType": "application/json"}
    constraints = get("Steps.QualityCheck.BaselineUsedForDriftCheckConstraints")
    return {
        "ModelPackageGroupName": "golden",
        "ModelApprovalStatus": "Approved",
        "InferenceSpecification": {
            "Containers": [container()],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
        "DriftCheckBaselines": {
            "ModelDataQuality": {"Constraints": baseline | {"S3Uri": constraints}}
        },
    }


def notebook(bucket: str) -> dict[str, Any]:
    """What the SDK's NotebookJobStep compiles to, on a notebook that prints its parameter."""
    text = COMPILED_NOTEBOOK.read_text().replace("the-bucket", bucket)
    made: dict[str, Any] = json.loads(text)["Steps"][0]
    return made


def lineage() -> dict[str, Any]:
    """The model of this run, as produced by the team's action."""
    action = {
        "ActionName": join("golden", get("Execution.PipelineExecutionId"), on="-"),
        "ActionType": "ModelTraining",
        "Source": {"SourceUri": get("Execution.PipelineExecutionArn")},
    }
    model = {
        "ArtifactName": "golden-model",
        "ArtifactType": "Model",
        "Source": {"SourceUri": get("Steps.Train.ModelArtifacts.S3ModelArtifacts")},
    }
    return {
        "Actions": [action],
        "Artifacts": [model],
        "Associations": [
            {
                "Source": {"Name": action["ActionName"], "Type": "Action"},
                "Destination": {"Name": "golden-model", "Type": "Artifact"},
                "AssociationType": "Produced",
            }
        ],
    }


def components() -> list[dict[str, Any]]:
    """An endpoint without a model, and the model on it as an inference component."""
    config, endpoint = served("Shared", empty_variant(), ExecutionRoleArn=ROLE)
    request = component(None, "golden-component", EndpointName=get("Steps.Shared.EndpointName"))
    request["Specification"]["ModelName"] = get("Steps.Model.ModelName")
    return [config, endpoint, step("Component", "InferenceComponent", request)]


def steps(bucket: str, function: str, queue: str) -> list[dict[str, Any]]:
    """In no order that matters: what each needs, its references say."""
    rmse = {
        "Std:JsonGet": {
            "PropertyFile": get("Steps.Evaluate.PropertyFiles.Report"),
            "Path": "rmse.value",
        }
    }
    report = {"PropertyFileName": "Report", "OutputName": "out", "FilePath": "report.json"}
    scores = reads(join(f"s3://{bucket}", "scores", "features.csv.out"), "scores")
    no_data_quality = {
        f"Supplied{name}": None for name in ("BaselineConstraints", "BaselineStatistics")
    }
    hyperparameters = {"num_round": "5", "objective": "reg:squarederror"}
    return [
        processing("Prepare", PREPARE, arguments=writes(bucket, "Prepare")),
        step("Train", "Training", algorithm(bucket) | {"HyperParameters": hyperparameters}),
        step("Tune", "Tuning", tuning(bucket)),
        step("Model", "Model", {"ExecutionRoleArn": ROLE, "PrimaryContainer": container()}),
        step("Score", "Transform", transform(bucket)),
        check("QualityCheck", "DATA_QUALITY", ANALYZE, bucket, **no_data_quality),
        check("ClarifyCheck", "DATA_BIAS", BIAS, bucket),
        for_each(
            ['{"name": "a"}', '{"name": "b"}'],
            processing(
                "Slice",
                f"test -n $SLICE && echo $SLICE > {OUT}/slice",
                arguments={"Environment": {"SLICE": get("ForEach.CurrentItem.name")}}
                | writes(bucket, "Slice"),
            ),
            name="Slices",
        ),
        notebook(bucket),
        step("Record", "Lineage", lineage()),
        *components(),
        processing(
            "Evaluate",
            EVALUATE,
            arguments=scores | writes(bucket, "Evaluate"),
            PropertyFiles=[report],
            DependsOn=["Score"],
        ),
        condition(
            "Gate",
            rmse,
            0.5,
            yes=[
                step("Register", "RegisterModel", registered()),
                *served("Golden", {"ModelName": get("Steps.Model.ModelName")}),
            ],
            no=[fail("Worse", "the model is worse than the one that is served")],
        ),
        step(
            "Tell",
            "Lambda",
            {"rmse": rmse},
            FunctionArn=function,
            OutputParameters=[{"OutputName": "said", "OutputType": "String"}],
        ),
        step(
            "Ask",
            "Callback",
            {"said": get("Steps.Tell.OutputParameters['said']")},
            SqsQueueUrl=queue,
            OutputParameters=[{"OutputName": "answer", "OutputType": "String"}],
        ),
        step(
            "Tidy",
            "Cleanup",
            {
                "Resources": {
                    "S3": [
                        {"StepName": "Prepare", "S3Uris": [join(written_by("Prepare"), "rows.csv")]}
                    ]
                }
            },
            DependsOn=["Tune", "Train", "Score", "Ask"],
        ),
    ]


def definition(bucket: str, function: str, queue: str) -> str:
    return json.dumps({"Version": "2020-12-01", "Steps": steps(bucket, function, queue)})
