"""The training pipeline of a problem: from a CSV in S3 to an endpoint that answers.

    Validate -> Prepare -+-> Train-<model> -+-> Evaluate -> CheckGates
                         +-> Train-<model> -+                   |
                         +-> ...            +        passed: Package -> Register
                                                     else:   GatesFailed
    Register -> CheckApproval   (top level: AWS forbids a Condition inside a Condition)
                      |
            Approved: Model -> EndpointConfig -> Endpoint

Every output path carries the execution id, and code and data are addressed by content: a job whose
inputs did not change finds its earlier result in the cache. What happens after the gates is in
pipelines/release.py; which command a job runs is in steps/run.py. Compiling calls nobody.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3

from pipelines import bundle, release, sdk, settings
from pipelines.plan import JOB_RETRIES, Parameters, Plan
from steps.problem import Model, Problem, load

DEFAULT_CONFIG = settings.PROJECT / "config" / "engagement.yaml"
XGBOOST_IMAGE = ("xgboost", "3.2-0")
SKLEARN_IMAGE = ("sklearn", "1.9-0")
CACHE = sdk.CacheConfig(enable_caching=True, expire_after="P30D")
VOLUME_GB = 30
MAX_RUNTIME_SECONDS = 4 * 3600
EVALUATION = sdk.PropertyFile(name="Evaluation", output_name="evaluation", path="evaluation.json")


@sdk.quiet()
def get_pipeline(
    region: str | None = None,
    sagemaker_project_arn: str | None = None,
    role: str | None = None,
    default_bucket: str | None = None,
    model_package_group_name: str | None = None,
    pipeline_name: str | None = None,
    base_job_prefix: str | None = None,
    processing_instance_type: str = "ml.m5.xlarge",
    training_instance_type: str = "ml.m5.xlarge",
    config: str | Path | None = None,
    data_uri: str | None = None,
    code_uri: str | None = None,
    image_uri: str | None = None,
    compile_only: bool = False,
) -> Any:
    """The pipeline as an SDK object; the first nine arguments are those of SageMaker's templates.

    config: the problem's YAML.
    data_uri: default of the parameter InputDataUri; without it every start must give one.
    code_uri: the code bundle in S3; default: where pipelines.run would put this checkout's.
    image_uri: one image of your own, for every job and for serving, in place of AWS's.
    compile_only: do without AWS credentials (the object cannot upsert or start then).
    Raises ProblemError for a bad YAML and SettingsError when role or bucket cannot be found.
    """
    problem = load(Path(config or DEFAULT_CONFIG))
    place = settings.resolve("aws", region=region, role_arn=role, bucket=default_bucket)
    prefix = base_job_prefix or problem.name
    plan = Plan(
        problem=problem,
        session=sdk.session(place.region, place.bucket, compile_only),
        role=place.role_arn,
        bucket=place.bucket,
        prefix=prefix,
        code_uri=code_uri or bundle.build(problem).uri(place.bucket, problem.name),
        group=model_package_group_name or problem.name,
        sklearn_image=image_uri or sdk.image_uri(*SKLEARN_IMAGE, place.region),
        xgboost_image=image_uri or sdk.image_uri(*XGBOOST_IMAGE, place.region),
        parameters=_parameters(problem, data_uri, processing_instance_type, training_instance_type),
        project_arn=sagemaker_project_arn,
    )
    return sdk.Pipeline(
        name=pipeline_name or problem.name,
        parameters=plan.parameters.all(),
        steps=_steps(plan),
        sagemaker_session=plan.session,
        pipeline_experiment_config=None,
    )


def get_pipeline_custom_tags(
    new_tags: list[dict[str, str]], region: str, sagemaker_project_arn: str | None = None
) -> list[dict[str, str]]:
    """new_tags and those of the SageMaker project, when there is one."""
    if not sagemaker_project_arn:
        return new_tags
    client = boto3.client("sagemaker", region_name=region)
    return new_tags + list(client.list_tags(ResourceArn=sagemaker_project_arn)["Tags"])


def _parameters(
    problem: Problem, data_uri: str | None, processing_type: str, training_type: str
) -> Parameters:
    approval = {"automatic": "Approved", "manual": "PendingManualApproval"}
    return Parameters(
        data_uri=sdk.ParameterString("InputDataUri", default_value=data_uri),
        processing_type=sdk.ParameterString(
            "ProcessingInstanceType", default_value=processing_type
        ),
        processing_count=sdk.ParameterInteger("ProcessingInstanceCount", default_value=1),
        training_type=sdk.ParameterString("TrainingInstanceType", default_value=training_type),
        endpoint_type=sdk.ParameterString(
            "EndpointInstanceType", default_value=problem.deploy.instance_type
        ),
        approval=sdk.ParameterString(
            "ModelApprovalStatus",
            default_value=approval[problem.deploy.approval],
            enum_values=["Approved", "PendingManualApproval", "Rejected"],
        ),
        gates={
            model.name: sdk.ParameterFloat(
                f"Gate{_camel(model.name)}", default_value=model.gate.threshold
            )
            for model in problem.models
        },
        limits={
            measure: sdk.ParameterFloat(f"Limit{_camel(measure)}", default_value=float(limit))
            for measure, limit in problem.fairness.limits.items()
        },
    )


def _steps(plan: Plan) -> list[Any]:
    data = {"data": plan.parameters.data_uri}
    validate = _processing(plan, "Validate", plan.sklearn_image, data, ["validation"])
    prepare = _processing(
        plan,
        "Prepare",
        plan.sklearn_image,
        data,
        ["train", "validation", "test", "transform"],
        depends_on=[validate],
    )
    train = {model.name: _train(plan, model, prepare) for model in plan.problem.models}
    models = {
        f"models/{name}": step.properties.ModelArtifacts.S3ModelArtifacts
        for name, step in train.items()
    }
    evaluate = _processing(
        plan,
        "Evaluate",
        plan.xgboost_image,
        {"test": output(prepare, "test"), "transform": output(prepare, "transform"), **models},
        ["evaluation", "explanation"],
        arguments=_thresholds(plan),
        property_files=[EVALUATION],
    )
    package = _processing(
        plan,
        "Package",
        plan.xgboost_image,
        {
            "transform": output(prepare, "transform"),
            "evaluation": output(evaluate, "evaluation"),
            **models,
        },
        ["bundle"],
    )
    register = release.register(plan, package, evaluate, EVALUATION)
    gates = release.check_gates(plan, evaluate, EVALUATION, if_passed=[package, register])
    approval = release.check_approval(plan, register)
    return [validate, prepare, *train.values(), evaluate, gates, approval]


def output(step: Any, name: str) -> Any:
    """The S3 URI of a Processing step's output."""
    return step.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri


def _thresholds(plan: Plan) -> list[Any]:
    arguments: list[Any] = []
    for option, values in (
        ("--threshold", plan.parameters.gates),
        ("--limit", plan.parameters.limits),
    ):
        for name, value in values.items():
            arguments += [option, sdk.Join(on="=", values=[name, value])]
    return arguments


def _processing(
    plan: Plan,
    name: str,
    image: str,
    inputs: dict[str, Any],
    outputs: list[str],
    arguments: list[Any] | None = None,
    depends_on: list[Any] | None = None,
    property_files: list[Any] | None = None,
) -> Any:
    """A step that runs `run.py <name>`; inputs and outputs are folders under /opt/ml/processing."""
    root = "/opt/ml/processing"
    processor = sdk.Processor(
        role=plan.role,
        image_uri=image,
        instance_count=plan.parameters.processing_count,
        instance_type=plan.parameters.processing_type,
        entrypoint=["python3", f"{root}/input/code/run.py"],
        volume_size_in_gb=VOLUME_GB,
        max_runtime_in_seconds=MAX_RUNTIME_SECONDS,
        sagemaker_session=plan.session,
    )
    return sdk.ProcessingStep(
        name=name,
        step_args=processor.run(
            inputs=[
                _input(folder, uri, f"{root}/input/{folder}")
                for folder, uri in {"code": plan.code_uri, **inputs}.items()
            ],
            outputs=[
                _output(folder, plan.output_uri(name, folder), f"{root}/output/{folder}")
                for folder in outputs
            ],
            arguments=[name.lower(), *(arguments or [])],
            logs=False,
        ),
        depends_on=depends_on,
        property_files=property_files,
        cache_config=CACHE,
        retry_policies=JOB_RETRIES,
    )


def _input(folder: str, uri: Any, path: str) -> Any:
    return sdk.ProcessingInput(
        input_name=folder.replace("/", "-"),
        s3_input=sdk.ProcessingS3Input(
            s3_uri=uri,
            local_path=path,
            s3_data_type="S3Prefix",
            s3_input_mode="File",
            s3_data_distribution_type="FullyReplicated",
        ),
    )


def _output(folder: str, uri: Any, path: str) -> Any:
    return sdk.ProcessingOutput(
        output_name=folder,
        s3_output=sdk.ProcessingS3Output(s3_uri=uri, local_path=path, s3_upload_mode="EndOfJob"),
    )


def _train(plan: Plan, model: Model, prepare: Any) -> Any:
    channels = {name: output(prepare, name) for name in ("train", "validation", "transform")}
    trainer = sdk.ModelTrainer(
        sagemaker_session=plan.session,
        role=plan.role,
        training_image=plan.xgboost_image,
        base_job_name=plan.prefix,
        compute=sdk.Compute(
            instance_type=plan.parameters.training_type,
            instance_count=1,
            volume_size_in_gb=VOLUME_GB,
        ),
        stopping_condition=sdk.StoppingCondition(max_runtime_in_seconds=MAX_RUNTIME_SECONDS),
        output_data_config=sdk.OutputDataConfig(
            s3_output_path=plan.output_uri("Train", model.name)
        ),
    )
    return sdk.CommandTrainingStep(
        name=f"Train-{model.name}",
        command=["python3", "/opt/ml/input/data/code/run.py"],
        arguments=["train", "--model", model.name],
        step_args=trainer.train(
            input_data_config=[
                sdk.InputData(channel_name=name, data_source=uri)
                for name, uri in {"code": plan.code_uri, **channels}.items()
            ]
        ),
        cache_config=CACHE,
        retry_policies=JOB_RETRIES,
    )


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
