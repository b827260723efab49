"""`python -m deploy.check`: faulty snippets of the kind that go round, each with its reason."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import check
from deploy.rules.rule import RULES

ROLE = "arn:aws:iam::111122223333:role/r"
GOOD = """
- {service: cloudwatch, operation: put_metric_alarm, parameters: {
    AlarmName: errors, Namespace: AWS/SageMaker, MetricName: Invocation5XXErrors,
    Statistic: Average, Period: 60, EvaluationPeriods: 2, Threshold: 0.05,
    ComparisonOperator: GreaterThanThreshold,
    Dimensions: [{Name: EndpointName, Value: e}, {Name: VariantName, Value: production}]}}
- {service: sagemaker, operation: create_endpoint_config, parameters: {
    EndpointConfigName: c, ProductionVariants: [
      {VariantName: production, ModelName: m, InstanceType: ml.m5.large, InitialInstanceCount: 4}],
    DataCaptureConfig: {EnableCapture: true, InitialSamplingPercentage: 100,
      DestinationS3Uri: s3://b/capture, CaptureOptions: [{CaptureMode: InputAndOutput}]}}}
- {service: sagemaker, operation: create_endpoint, parameters: {
    EndpointName: e, EndpointConfigName: c}}
- {service: sagemaker, operation: update_endpoint, parameters: {
    EndpointName: e, EndpointConfigName: c, DeploymentConfig: {
      BlueGreenUpdatePolicy: {
        TrafficRoutingConfiguration: {Type: CANARY, WaitIntervalInSeconds: 300,
          CanarySize: {Type: INSTANCE_COUNT, Value: 1}},
        TerminationWaitInSeconds: 120, MaximumExecutionTimeoutInSeconds: 3600},
      AutoRollbackConfiguration: {Alarms: [{AlarmName: errors}]}}}}
- {service: application-autoscaling, operation: register_scalable_target, parameters: {
    ServiceNamespace: sagemaker, ResourceId: endpoint/e/variant/production, MinCapacity: 1,
    MaxCapacity: 10, ScalableDimension: "sagemaker:variant:DesiredInstanceCount"}}
- {service: application-autoscaling, operation: put_scaling_policy, parameters: {
    PolicyName: p, ServiceNamespace: sagemaker, ResourceId: endpoint/e/variant/production,
    ScalableDimension: "sagemaker:variant:DesiredInstanceCount",
    PolicyType: TargetTrackingScaling, TargetTrackingScalingPolicyConfiguration: {
      TargetValue: 1000, ScaleInCooldown: 300, ScaleOutCooldown: 60,
      PredefinedMetricSpecification: {
        PredefinedMetricType: SageMakerVariantInvocationsPerInstance}}}}
"""
ENDPOINT = {"EndpointName": "e", "EndpointConfigName": "c"}
TITAN = "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v2:0"
VECTORS = {"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexName": "index"}}


def variant(name: str = "production", count: int = 2, **changes: Any) -> dict[str, Any]:
    instances = {"InstanceType": "ml.g4dn.xlarge", "InitialInstanceCount": count}
    return {"VariantName": name, "ModelName": "m", **instances, **changes}


def serverless(name: str = "production", memory: int = 4096, **more: Any) -> dict[str, Any]:
    sizes = {"MemorySizeInMB": memory, "MaxConcurrency": 50, **more}
    return {"VariantName": name, "ModelName": "m", "ServerlessConfig": sizes}


def config(*variants: Any, **more: Any) -> dict[str, Any]:
    parameters = {"EndpointConfigName": "c", "ProductionVariants": list(variants), **more}
    return request("create_endpoint_config", parameters)


def request(operation: str, parameters: Any, service: str = "sagemaker") -> dict[str, Any]:
    return {"service": service, "operation": operation, "parameters": parameters}


def update(operation: str = "update_endpoint", **deployment: Any) -> dict[str, Any]:
    return request(operation, {**ENDPOINT, "DeploymentConfig": deployment})


def blue_green(kind: str, wait: int = 300, limit: int = 3600, **sizes: Any) -> dict[str, Any]:
    routing = {"Type": kind, "WaitIntervalInSeconds": wait, **sizes}
    policy = {"TrafficRoutingConfiguration": routing, "MaximumExecutionTimeoutInSeconds": limit}
    return {"BlueGreenUpdatePolicy": policy}


def size(value: int, kind: str = "CAPACITY_PERCENT") -> dict[str, Any]:
    return {"Type": kind, "Value": value}


def alarm(metric: str, threshold: float, *dimensions: str, **more: Any) -> dict[str, Any]:
    named = dimensions or ("EndpointName", "VariantName")
    parameters = {
        "AlarmName": "model_error_rate",
        "Namespace": "AWS/SageMaker",
        "MetricName": metric,
        "Threshold": threshold,
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 2,
        "ComparisonOperator": "GreaterThanThreshold",
        "Dimensions": [{"Name": name, "Value": "x"} for name in named],
        **more,
    }
    return request("put_metric_alarm", parameters, "cloudwatch")


def scaling(operation: str = "register_scalable_target", **changes: Any) -> dict[str, Any]:
    parameters = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/e/variant/production",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        **changes,
    }
    return request(operation, parameters, "application-autoscaling")


def tracking(metric: str) -> dict[str, Any]:
    told = {"PredefinedMetricSpecification": {"PredefinedMetricType": metric}, "TargetValue": 1.0}
    return {"PolicyName": "p", "TargetTrackingScalingPolicyConfiguration": told}


def knowledge_base(dimensions: int = 1024, **storage: Any) -> dict[str, Any]:
    chosen = {"bedrockEmbeddingModelConfiguration": {"dimensions": dimensions}}
    vectors = {"embeddingModelArn": TITAN, "embeddingModelConfiguration": chosen}
    parameters = {
        "name": "engagement-kb",
        "roleArn": ROLE,
        "knowledgeBaseConfiguration": {
            "type": "VECTOR",
            "vectorKnowledgeBaseConfiguration": vectors,
        },
        "storageConfiguration": storage or VECTORS,
    }
    return request("create_knowledge_base", parameters, "bedrock-agent")


def method(**parameters: Any) -> dict[str, Any]:
    place = {"restApiId": "a", "resourceId": "b", "httpMethod": "POST"}
    operation = "put_method" if "authorizationType" in parameters else "put_integration"
    return request(operation, place | parameters, "apigateway")


CAPTURE = {"EnableCapture": True, "InitialSamplingPercentage": 10, "DestinationS3Uri": "s3://b/c"}
OPTIONS = {"CaptureOptions": [{"CaptureMode": "Input"}]}
SHADOW = {"ShadowProductionVariants": [variant("v3")]}
ASYNC = {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/o"}}}
FARGATE = {
    "jobDefinitionName": "j",
    "type": "container",
    "platformCapabilities": ["FARGATE"],
    "containerProperties": {"image": "pytorch-inference:2.0"},
}
LIFECYCLE = {
    "Status": "Enabled",
    "Filter": {"Prefix": "raw/"},
    "Expiration": {"Days": 30},
    "Transitions": [{"Days": 30, "StorageClass": "GLACIER_IR"}],
}
FAULTY = [
    ("serverless-or-instances", [config(variant() | serverless())]),
    ("serverless-or-instances", [config({"VariantName": "a", "ModelName": "m"})]),
    ("serverless-alone", [config(serverless(), serverless("b"))]),
    ("serverless-alone", [config(serverless(), DataCaptureConfig=CAPTURE | OPTIONS)]),
    ("serverless-sizes", [config(serverless(memory=1536))]),
    ("serverless-sizes", [config(serverless(ProvisionedConcurrency=60))]),
    ("one-shadow-of-one-variant", [config(variant(), variant("canary", 1), **SHADOW)]),
    ("async-alone", [config(variant(), variant("b"), **ASYNC)]),
    ("variant-names-differ", [config(variant(), variant())]),
    ("somebody-gets-traffic", [config(variant(InitialVariantWeight=0.0))]),
    (
        "a-variant-without-a-model-is-for-components",
        [config({"VariantName": "a", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1})],
    ),
    (
        "zero-instances-only-with-components",
        [config(variant(ManagedInstanceScaling={"MinInstanceCount": 0}))],
    ),
    (
        "a-pinned-variant-gets-all",
        [
            request(
                "invoke_endpoint",
                {"EndpointName": "e", "Body": "1", "TargetVariant": "ModelA"},
                "sagemaker-runtime",
            )
        ],
    ),
    (
        "sizes-fit-every-variant",
        [
            config(variant(), variant("canary", 1)),
            update(**blue_green("CANARY", CanarySize=size(1, "INSTANCE_COUNT"))),
        ],
    ),
    ("sizes-fit-every-variant", [update(**blue_green("LINEAR", LinearStepSize=size(5)))]),
    ("sizes-fit-every-variant", [update(**blue_green("CANARY"))]),
    (
        "sizes-fit-every-variant",
        [update(RollingUpdatePolicy={"MaximumBatchSize": size(60), "WaitIntervalInSeconds": 1})],
    ),
    (
        "rolling-has-one-variant",
        [
            config(variant(), variant("b")),
            update(
                RollingUpdatePolicy={
                    "MaximumBatchSize": size(1, "INSTANCE_COUNT"),
                    "WaitIntervalInSeconds": 1,
                }
            ),
        ],
    ),
    (
        "one-policy",
        [
            update(
                RollingUpdatePolicy={"MaximumBatchSize": size(50), "WaitIntervalInSeconds": 1},
                **blue_green("ALL_AT_ONCE"),
            )
        ],
    ),
    (
        "no-guardrails-without-instances",
        [config(serverless()), update(**blue_green("ALL_AT_ONCE"))],
    ),
    (
        "inf1-has-no-guardrails",
        [config(variant(InstanceType="ml.inf1.xlarge")), update(**blue_green("ALL_AT_ONCE"))],
    ),
    ("time-for-the-waits", [update(**blue_green("ALL_AT_ONCE", 3600, 600))]),
    (
        "alarms-are-defined",
        [
            alarm("Invocation5XXErrors", 0.05),
            update(AutoRollbackConfiguration={"Alarms": [{"AlarmName": "model_latency"}]}),
        ],
    ),
    (
        "guardrails-keep-the-variants",
        [
            config(variant()),
            request("create_endpoint", ENDPOINT),
            request(
                "create_endpoint_config",
                {"EndpointConfigName": "d", "ProductionVariants": [variant("other")]},
            ),
            request(
                "update_endpoint",
                {
                    "EndpointName": "e",
                    "EndpointConfigName": "d",
                    "DeploymentConfig": blue_green("ALL_AT_ONCE"),
                },
            ),
        ],
    ),
    ("a-metric-that-exists", [alarm("ModelError", 0.05)]),
    ("a-metric-that-exists", [alarm("ModelInvocation4XXErrors", 50, Statistic="Sum")]),
    ("endpoint-and-variant", [alarm("Invocation5XXErrors", 0.05, "EndpointName")]),
    ("a-rate-is-at-most-one", [alarm("Invocation5XXErrors", 5)]),
    ("latency-is-in-microseconds", [alarm("ModelLatency", 2000)]),
    ("the-unit-that-is-published", [alarm("ModelLatency", 2e6, Unit="Milliseconds")]),
    ("the-resource-of-its-dimension", [scaling(ResourceId="endpoint/e")]),
    ("least-is-not-above-most", [scaling(MinCapacity=3, MaxCapacity=2)]),
    (
        "a-variant-keeps-an-instance",
        [config(variant()), request("create_endpoint", ENDPOINT), scaling(MinCapacity=0)],
    ),
    (
        "a-metric-of-its-dimension",
        [
            scaling(
                "put_scaling_policy", **tracking("SageMakerInferenceComponentInvocationsPerCopy")
            )
        ],
    ),
    ("dimensions-of-titan", [knowledge_base(1536)]),
    ("one-storage-of-its-type", [knowledge_base(type="S3_VECTORS")]),
    ("an-authorization-that-exists", [method(authorizationType="API_KEY")]),
    (
        "a-cache-key-is-a-parameter",
        [method(type="AWS_PROXY", cacheKeyParameters=["method.request.body"])],
    ),
    ("fargate-needs-a-role-and-an-image", [request("register_job_definition", FARGATE, "batch")]),
    (
        "expiry-after-transition",
        [
            request(
                "put_bucket_lifecycle_configuration",
                {"Bucket": "b", "LifecycleConfiguration": {"Rules": [LIFECYCLE]}},
                "s3",
            )
        ],
    ),
    # What the services' models tell already.
    (check.SHAPE, [config(variant(InstanceType="ml.t3.medium"))]),
    (check.SHAPE, [config(variant(), DataCaptureConfig=CAPTURE)]),
    (check.SHAPE, [update(AutoRollbackConfiguration={"Alarms": [{"AlarmName": "a"}] * 11})]),
    (check.SHAPE, [knowledge_base(type="S3")]),
    (
        check.SHAPE,
        [
            request(
                "create_data_source",
                {
                    "knowledgeBaseId": "ABCDEFGHIJ",
                    "name": "model-metrics",
                    "dataSourceConfiguration": {
                        "type": "S3",
                        "s3Configuration": {
                            "bucketArn": "arn:aws:s3:::kb",
                            "inclusionPrefixes": ["model_metrics/", "feature_importance/"],
                        },
                    },
                },
                "bedrock-agent",
            )
        ],
    ),
    (
        check.SHAPE,
        [
            request(
                "create_agent_action_group",
                {"agentId": "ABCDEFGHIJ", "actionGroupName": "query_athena"},
                "bedrock-agent",
            )
        ],
    ),
    (
        check.SHAPE,
        [
            request(
                "create_work_group",
                {
                    "Name": "analytics",
                    "Configuration": {"ResultConfigurationUpdates": {"OutputLocation": "s3://b/"}},
                },
                "athena",
            )
        ],
    ),
    (check.SHAPE, [request("create_endpoints", {})]),
]


def told(
    path: Path, capsys: pytest.CaptureFixture[str], *words: str, expected: int
) -> dict[str, Any]:
    assert check.main([str(path), "--json", *words]) == expected
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


@pytest.mark.parametrize(
    ("rule", "requests"), FAULTY, ids=[f"{i}-{rule}" for i, (rule, _) in enumerate(FAULTY)]
)
def test_a_faulty_snippet_is_found_by_its_rule_alone(
    rule: str, requests: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "requests.json"
    path.write_text(json.dumps(requests))
    problems = told(path, capsys, expected=1)["problems"]
    assert {each["rule"] for each in problems} == {rule}
    assert all(each["problem"] for each in problems)
    assert told(path, capsys, "--allow", rule, expected=0)["problems"] == []


def test_every_rule_has_a_faulty_snippet() -> None:
    assert {each.name for each in RULES} | {check.SHAPE} == {rule for rule, _ in FAULTY}


def test_a_sound_plan_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(GOOD)
    assert told(path, capsys, expected=0) == {"requests": len(yaml.safe_load(GOOD)), "problems": []}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "neither JSON nor YAML"),
        ("a: 1", "no list of requests"),
        ("[{service: sagemaker}]", "request 1: needs service, operation and parameters"),
        ("[{service: sagemakr, operation: x, parameters: {}}]", "no AWS service 'sagemakr'"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    assert check.main([str(path)]) == 2
    assert says in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["nowhere.json"]) == 2
    assert "nowhere.json cannot be read" in capsys.readouterr().err
