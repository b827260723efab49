"""The release half of the training pipeline: gates, registration, approval, endpoint.

    CheckGates -> (Package ->) Register | GatesFailed
    CheckApproval -> Model -> EndpointConfig -> Endpoint

The thresholds are pipeline parameters and the measured values come from evaluation.json, so one
definition serves every threshold. The jobs before the gates are in pipelines/training.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines import sdk
from pipelines.plan import API_RETRIES, Plan
from steps.problem import FAIRNESS_LIMITS

CONTENT_TYPES = ["text/csv", "application/json"]
# Batch transform knows fewer types than real-time inference does.
TRANSFORM_INSTANCE_TYPES = ["ml.c5.xlarge", "ml.m5.2xlarge", "ml.m5.large", "ml.m5.xlarge"]
REALTIME_INSTANCE_TYPES = ["ml.c5.large", "ml.t2.medium", *TRANSFORM_INSTANCE_TYPES]
VARIANT = "AllTraffic"
# Script mode of AWS's XGBoost image: the code is packed into model.tar.gz by the Package step.
SERVING_ENVIRONMENT = {
    "SAGEMAKER_PROGRAM": "inference.py",
    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
}
COMPARISONS = {
    "min": sdk.ConditionGreaterThanOrEqualTo,
    "max": sdk.ConditionLessThanOrEqualTo,
}


def check_gates(plan: Plan, evaluate: Any, evaluation: Any, if_passed: list[Any]) -> Any:
    """Every gate and fairness limit must hold; otherwise the execution fails with the numbers."""

    def measured(path: str) -> Any:
        return sdk.JsonGet(step_name=evaluate.name, property_file=evaluation, json_path=path)

    failed = sdk.FailStep(
        name="GatesFailed",
        error_message=sdk.Join(on="", values=["Gates failed: ", measured("gates.failed")]),
    )
    return sdk.ConditionStep(
        name="CheckGates",
        conditions=[
            COMPARISONS[direction](left=measured(path), right=threshold)
            for path, direction, threshold in _gates(plan)
        ],
        if_steps=if_passed,
        else_steps=[failed],
    )


def _gates(plan: Plan) -> Iterator[tuple[str, str, Any]]:
    """(path in evaluation.json, "min" or "max", parameter) of everything that must hold."""
    for model in plan.problem.models:
        path = f"models.{model.name}.metrics.{model.metric}.value"
        yield path, model.gate.direction, plan.parameters.gates[model.name]
    for measure, limit in plan.parameters.limits.items():
        for name in plan.problem.fairness_models:
            path = f"models.{name}.fairness_limits.{measure}.value"
            yield path, FAIRNESS_LIMITS[measure], limit


def register(plan: Plan, package: Any, evaluate: Any, evaluation: Any) -> Any:
    """A new version in the model package group, with what it was measured to be."""
    outputs = evaluate.properties.ProcessingOutputConfig.Outputs
    quality = _json_file(outputs["evaluation"].S3Output.S3Uri, "evaluation.json")
    explanation = _json_file(outputs["explanation"].S3Output.S3Uri, "explanation.json")
    bundle = package.properties.ProcessingOutputConfig.Outputs["bundle"].S3Output.S3Uri
    request = {
        "ModelPackageGroupName": plan.group,
        "ModelPackageDescription": plan.problem.description or plan.problem.name,
        "InferenceSpecification": {
            "Containers": [
                {
                    "Image": plan.xgboost_image,
                    "ModelDataUrl": sdk.Join(on="/", values=[bundle, "model.tar.gz"]),
                    "Environment": SERVING_ENVIRONMENT,
                }
            ],
            "SupportedContentTypes": CONTENT_TYPES,
            "SupportedResponseMIMETypes": CONTENT_TYPES,
            "SupportedRealtimeInferenceInstanceTypes": sorted(
                {*REALTIME_INSTANCE_TYPES, plan.problem.deploy.instance_type}
            ),
            "SupportedTransformInstanceTypes": TRANSFORM_INSTANCE_TYPES,
        },
        "ModelApprovalStatus": plan.parameters.approval,
        "ModelMetrics": {
            "ModelQuality": {"Statistics": quality},
            "Bias": {"Report": quality},
            "Explainability": {"Report": explanation},
        },
        # What later versions and live traffic are compared with.
        "DriftCheckBaselines": {
            "ModelQuality": {"Statistics": quality},
            "Explainability": {"Constraints": explanation},
        },
        "CustomerMetadataProperties": _metadata(plan, evaluate, evaluation),
    }
    return sdk.ModelStep(
        name="Register",
        step_args=sdk.captured(plan.session, "create_model_package_from_containers", request),
        retry_policies=API_RETRIES,
    )


def _json_file(folder: Any, name: str) -> dict[str, Any]:
    return {"ContentType": "application/json", "S3Uri": sdk.Join(on="/", values=[folder, name])}


def _metadata(plan: Plan, evaluate: Any, evaluation: Any) -> dict[str, Any]:
    """Where this version came from, and how good it is.

    AWS allows values of at most 256 letters, digits, blanks and _.:/=+-@.
    """
    metadata: dict[str, Any] = {
        "problem": plan.problem.name,
        "code-uri": plan.code_uri,
        "data-uri": plan.parameters.data_uri,
        "execution": sdk.ExecutionVariables.PIPELINE_EXECUTION_ARN,
    }
    if plan.project_arn:
        metadata["project"] = plan.project_arn
    for model in plan.problem.models:
        path = f"models.{model.name}.metrics.{model.metric}.value"
        value = sdk.JsonGet(step_name=evaluate.name, property_file=evaluation, json_path=path)
        gate = plan.parameters.gates[model.name]
        words = [model.metric, model.gate.direction, gate]
        metadata[f"{model.name}.{model.metric}"] = sdk.Join(on="", values=[value])
        metadata[f"{model.name}.gate"] = sdk.Join(on=" ", values=words)
    return metadata


def check_approval(plan: Plan, register: Any) -> Any:
    """An approved version is served; any other waits for `python -m deploy.registry approve`."""
    return sdk.ConditionStep(
        name="CheckApproval",
        conditions=[sdk.ConditionEquals(left=plan.parameters.approval, right="Approved")],
        if_steps=_serve(plan, register),
        else_steps=[],
        depends_on=[register],
    )


def _serve(plan: Plan, register: Any) -> list[Any]:
    model = sdk.ModelStep(
        name="Model",
        step_args=sdk.captured(
            plan.session,
            "create_model",
            {
                "ExecutionRoleArn": plan.role,
                "PrimaryContainer": {"ModelPackageName": register.properties.ModelPackageArn},
            },
        ),
        retry_policies=API_RETRIES,
    )
    config = _endpoint_config(plan, model)
    endpoint = sdk.EndpointStep(
        name="Endpoint",
        step_args=sdk.captured(
            plan.session,
            "create_endpoint",
            {
                "EndpointName": plan.problem.deploy.endpoint,
                "EndpointConfigName": config.properties.EndpointConfigName,
            },
        ),
    )
    return [model, config, endpoint]


def _endpoint_config(plan: Plan, model: Any) -> Any:
    execution = sdk.ExecutionVariables.PIPELINE_EXECUTION_ID
    return sdk.EndpointConfigStep(
        name="EndpointConfig",
        step_args=sdk.captured(
            plan.session,
            "create_endpoint_config",
            {
                "EndpointConfigName": sdk.Join(on="-", values=[plan.problem.name, execution]),
                "ProductionVariants": [
                    {
                        "VariantName": VARIANT,
                        "ModelName": model.properties.ModelName,
                        "InitialInstanceCount": 1,
                        "InstanceType": plan.parameters.endpoint_type,
                        "InitialVariantWeight": 1.0,
                    }
                ],
            },
        ),
        # No cache: its name holds the execution id, so it could never be found.
        retry_policies=API_RETRIES,
    )
