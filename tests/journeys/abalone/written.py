"""Pipeline definitions as AWS's SDK v2 wrote them: no SDK is needed to run them here.

The shapes are those of AWS's public notebooks (a tuning step; preprocess, train, evaluate and batch
transform) and of the sample of the SageMaker controller for Kubernetes, made shorter. They name
buckets, scripts and images of years ago.
"""

from __future__ import annotations

from typing import Any

Step = dict[str, Any]
ROLE = "arn:aws:iam::000000000000:role/service-role/AmazonSageMaker-ExecutionRole"
REGISTRY = "257758044811.dkr.ecr.us-east-2.amazonaws.com"
XGBOOST = f"{REGISTRY}/sagemaker-xgboost:1.0-1-cpu-py3"
SKLEARN = f"{REGISTRY}/sagemaker-scikit-learn:0.23-1-cpu-py3"
BUCKET = "sagemaker-us-east-2-682101512330"
CODE = f"s3://{BUCKET}/code"
TABLE = f"s3://{BUCKET}/dataset/abalone-dataset.csv"
BATCH = f"s3://{BUCKET}/dataset/abalone-dataset-batch"
BASE = "/opt/ml/processing"
CACHE = {"CacheConfig": {"Enabled": True, "ExpireAfter": "30d"}}
SPLITS = ("train", "validation", "test")
REPORT = {
    "PropertyFileName": "Report",
    "OutputName": "evaluation",
    "FilePath": "evaluation.json",
}
EXPERIMENT = {
    "ExperimentName": {"Get": "Execution.PipelineName"},
    "TrialName": {"Get": "Execution.PipelineExecutionId"},
}


def get(path: str) -> dict[str, str]:
    return {"Get": path}


def join(on: str, *values: Any) -> dict[str, Any]:
    return {"Std:Join": {"On": on, "Values": list(values)}}


def parameter(name: str, kind: str, default: Any) -> dict[str, Any]:
    return {"Name": name, "Type": kind, "DefaultValue": default}


def definition(parameters: list[Any], *steps: Step) -> dict[str, Any]:
    return {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": parameters,
        "PipelineExperimentConfig": EXPERIMENT,
        "Steps": list(steps),
    }


def given(name: str, uri: Any, path: str) -> dict[str, Any]:
    place = {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    more = {"S3DataDistributionType": "FullyReplicated", "S3CompressionType": "None"}
    return {"InputName": name, "AppManaged": False, "S3Input": {**place, **more}}


def made(name: str, uri: Any) -> dict[str, Any]:
    place = {"S3Uri": uri, "LocalPath": f"{BASE}/{name}", "S3UploadMode": "EndOfJob"}
    return {"OutputName": name, "AppManaged": False, "S3Output": place}


def processing(
    name: str, image: str, script: str, inputs: list[Any], outputs: list[Any], **more: Any
) -> Step:
    application = {
        "ImageUri": image,
        "ContainerEntrypoint": ["python3", f"{BASE}/input/code/{script}"],
        **more.pop("application", {}),
    }
    cluster = {
        "InstanceType": "ml.m5.xlarge",
        "InstanceCount": get("Parameters.ProcessingInstanceCount"),
        "VolumeSizeInGB": 30,
    }
    arguments = {
        "ProcessingResources": {"ClusterConfig": cluster},
        "AppSpecification": application,
        "RoleArn": ROLE,
        "ProcessingInputs": [*inputs, given("code", f"{CODE}/{script}", f"{BASE}/input/code")],
        "ProcessingOutputConfig": {"Outputs": outputs},
    }
    return {"Name": name, "Type": "Processing", "Arguments": arguments, **more}


def channels(kind: str, **uris: Any) -> list[Any]:
    place = {"S3DataType": "S3Prefix", "S3DataDistributionType": "FullyReplicated"}
    return [
        {
            "DataSource": {"S3DataSource": {**place, "S3Uri": uri}},
            "ContentType": kind,
            "ChannelName": name,
        }
        for name, uri in uris.items()
    ]


def training(output: str, data: list[Any]) -> dict[str, Any]:
    """What a training job and a tuning job's definition have in common."""
    return {
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": output},
        "ResourceConfig": {
            "InstanceCount": 1,
            "InstanceType": "ml.m5.xlarge",
            "VolumeSizeInGB": 30,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
        "AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": XGBOOST},
        "InputDataConfig": data,
    }


def split(step: str, name: str) -> dict[str, str]:
    return get(f"Steps.{step}.ProcessingOutputConfig.Outputs['{name}'].S3Output.S3Uri")


def evaluation(name: str, process: str, model: Any, place: str) -> Step:
    inputs = [
        given("input-1", model, f"{BASE}/model"),
        given("input-2", split(process, "test"), f"{BASE}/test"),
    ]
    outputs = [made("evaluation", place)]
    return processing(
        name, XGBOOST, "evaluate.py", inputs, outputs, PropertyFiles=[REPORT], **CACHE
    )


def condition(name: str, step: str, limit: Any, yes: list[Step], no: list[Step]) -> Step:
    file = get(f"Steps.{step}.PropertyFiles.Report")
    value = {"Std:JsonGet": {"PropertyFile": file, "Path": "regression_metrics.mse.value"}}
    test = {"Type": "LessThanOrEqualTo", "LeftValue": value, "RightValue": limit}
    arguments = {"Conditions": [test], "IfSteps": yes, "ElseSteps": no}
    return {"Name": name, "Type": "Condition", "Arguments": arguments}


def container(artifact: Any) -> dict[str, Any]:
    return {"Image": XGBOOST, "Environment": {}, "ModelDataUrl": artifact}


def create_model(name: str, artifact: Any) -> Step:
    arguments = {"ExecutionRoleArn": ROLE, "PrimaryContainer": container(artifact)}
    return {"Name": name, "Type": "Model", "Arguments": arguments}


def register(name: str, group: str, artifact: Any, **more: Any) -> Step:
    specification = {
        "Containers": [container(artifact)],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
        "SupportedRealtimeInferenceInstanceTypes": ["ml.t2.medium", "ml.m5.xlarge"],
        "SupportedTransformInstanceTypes": ["ml.m5.xlarge"],
    }
    arguments = {
        "ModelPackageGroupName": group,
        "InferenceSpecification": specification,
        "ModelApprovalStatus": get("Parameters.ModelApprovalStatus"),
        **more,
    }
    return {"Name": name, "Type": "RegisterModel", "Arguments": arguments}


COMMON = [
    parameter("ProcessingInstanceCount", "Integer", 1),
    parameter("ModelApprovalStatus", "String", "PendingManualApproval"),
]
BOOSTING = {
    "num_round": "50",
    "max_depth": "5",
    "eta": "0.2",
    "gamma": "4",
    "min_child_weight": "6",
    "subsample": "0.7",
}


def tuning() -> dict[str, Any]:
    """Preprocess -> tune -> the two best as models -> evaluate the best -> register it."""
    place = join("/", "s3:/", BUCKET, "tuning", get("Execution.PipelineExecutionId"), "Preprocess")
    output = f"{BUCKET}/tuning/AbaloneTrain"

    def best(rank: int) -> dict[str, Any]:
        name = get(f"Steps.HPTuning.TrainingJobSummaries[{rank}].TrainingJobName")
        return join("/", "s3:/", output, name, "output/model.tar.gz")

    ends = {"MinValue": "0.01", "MaxValue": "10", "ScalingType": "Logarithmic"}
    config = {
        "Strategy": "Random",
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 3},
        "TrainingJobEarlyStoppingType": "Off",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "validation:rmse"},
        "ParameterRanges": {
            "ContinuousParameterRanges": [{"Name": each, **ends} for each in ("alpha", "lambda")],
            "CategoricalParameterRanges": [],
            "IntegerParameterRanges": [],
        },
    }
    old = {"eval_metric": "rmse", "objective": "reg:squarederror", "silent": "0"}
    data = {name: split("Preprocess", name) for name in ("train", "validation")}
    job = training(f"s3://{output}", channels("text/csv", **data))
    tune = {
        "Name": "HPTuning",
        "Type": "Tuning",
        "Arguments": {
            "HyperParameterTuningJobConfig": config,
            "TrainingJobDefinition": {"StaticHyperParameters": {**BOOSTING, **old}, **job},
        },
        **CACHE,
    }
    asked = {"ContainerArguments": ["--input-data", get("Parameters.InputDataUrl")]}
    made_of = [made(name, place) for name in SPLITS]
    return definition(
        [*COMMON, parameter("InputDataUrl", "String", TABLE)],
        processing("Preprocess", SKLEARN, "preprocess.py", [], made_of, application=asked),
        tune,
        create_model("CreateTopModel", best(0)),
        create_model("MyModelCreationStep-CreateModel", best(1)),
        evaluation("EvaluateTopModel", "Preprocess", best(0), f"s3://{BUCKET}/tuning/evaluation"),
        condition(
            "CheckMSE",
            "EvaluateTopModel",
            6.0,
            [register("RegisterBest-RegisterModel", "tuning-job-model-packages", best(0))],
            [],
        ),
    )


def batch() -> dict[str, Any]:
    """Preprocess -> train -> evaluate -> register, create the model and transform; or fail."""
    place = f"s3://{BUCKET}/batch"
    artifact = get("Steps.AbaloneTrain.ModelArtifacts.S3ModelArtifacts")
    data = {name: split("AbaloneProcess", name) for name in ("train", "validation")}
    rule = {
        "RuleConfigurationName": "ProfilerReport-1657728471",
        "RuleEvaluatorImage": f"{REGISTRY}/sagemaker-debugger-rules:latest",
        "RuleParameters": {"rule_to_invoke": "ProfilerReport"},
    }
    train = {
        **training(place, channels("text/csv", **data)),
        "HyperParameters": {**BOOSTING, "objective": "reg:linear"},
        "ProfilerRuleConfigurations": [rule],
        "ProfilerConfig": {"S3OutputPath": place},
    }
    statistics = {"ContentType": "application/json", "S3Uri": f"{place}/evaluation.json"}
    metrics = {"ModelQuality": {"Statistics": statistics}, "Bias": {}, "Explainability": {}}
    source = {"S3DataType": "S3Prefix", "S3Uri": get("Parameters.BatchData")}
    transform = {
        "ModelName": get("Steps.AbaloneCreateModel-CreateModel.ModelName"),
        "TransformInput": {"DataSource": {"S3DataSource": source}},
        "TransformOutput": {"S3OutputPath": f"{place}/AbaloneTransform"},
        "TransformResources": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge"},
    }
    said = join(" ", "Execution failed due to MSE >", get("Parameters.MseThreshold"))
    return definition(
        [
            *COMMON,
            parameter("InputData", "String", TABLE),
            parameter("BatchData", "String", BATCH),
            parameter("MseThreshold", "Float", 6.0),
        ],
        processing(
            "AbaloneProcess",
            SKLEARN,
            "preprocess.py",
            [given("input-1", get("Parameters.InputData"), f"{BASE}/input")],
            [made(name, f"{place}/{name}") for name in SPLITS],
        ),
        {"Name": "AbaloneTrain", "Type": "Training", "Arguments": train},
        evaluation("AbaloneEval", "AbaloneProcess", artifact, f"{place}/evaluation"),
        condition(
            "AbaloneMSECond",
            "AbaloneEval",
            get("Parameters.MseThreshold"),
            [
                register("Abalone-RegisterModel", "Abalone", artifact, ModelMetrics=metrics),
                create_model("AbaloneCreateModel-CreateModel", artifact),
                {"Name": "AbaloneTransform", "Type": "Transform", "Arguments": transform},
            ],
            [{"Name": "AbaloneMSEFail", "Type": "Fail", "Arguments": {"ErrorMessage": said}}],
        ),
    )


def sample() -> dict[str, Any]:
    """One training step in libsvm, with placeholders for its reader."""
    place = "s3://<YOUR_BUCKET_NAME>/sagemaker"
    data = {name: f"{place}/xgboost/{name}/" for name in ("train", "validation")}
    classes = {"objective": "multi:softmax", "num_class": "10", "num_round": "10"}
    train = {
        **training(f"{place}/", channels("text/libsvm", **data)),
        "RoleArn": "<YOUR_SAGEMAKER_ROLE_ARN>",
        "HyperParameters": {**BOOSTING, **classes},
    }
    step = {"Name": "AbaloneTrain", "Type": "Training", "Arguments": train}
    return {"Version": "2020-12-01", "Steps": [step]}
