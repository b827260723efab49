"""ForEach pipelines as an SDK v3 user writes them. What the SDK makes of them is foreach.json:

PYTHONPATH=. python tests/local_sagemaker/sdk_foreach.py > tests/local_sagemaker/foreach.json

BUCKET and FUNCTION stand for what only a test knows. Compiling calls nobody.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pipelines import sdk

with sdk.quiet():
    from sagemaker.core.lambda_helper import Lambda
    from sagemaker.mlops.workflow.condition_step import ConditionStep
    from sagemaker.mlops.workflow.for_each_step import (
        CurrentItem,
        ForEachSelector,
        ForEachStep,
        IterationOutput,
    )
    from sagemaker.mlops.workflow.lambda_step import (
        LambdaOutput,
        LambdaOutputTypeEnum,
        LambdaStep,
    )

ROLE = "arn:aws:iam::000000000000:role/local"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
RUN = sdk.ExecutionVariables.PIPELINE_EXECUTION_ID
OUT = "/opt/ml/processing/out"
MEASURE = f'echo "{{\\"length\\": ${{#0}}, \\"zip\\": \\"$1\\"}}" > {OUT}/report.json'
TELL = f'echo "$0 $1 $2" > {OUT}/told.txt'


def process(session: Any, name: str, script: str, words: list[Any], **more: Any) -> Any:
    processor = sdk.Processor(
        role=ROLE,
        image_uri=IMAGE,
        instance_count=1,
        instance_type="ml.m5.large",
        entrypoint=["/bin/sh", "-c", script],
        sagemaker_session=session,
    )
    folder = sdk.Join(on="/", values=["s3://BUCKET", RUN, name, *more.pop("folder", [])])
    target = sdk.ProcessingS3Output(s3_uri=folder, local_path=OUT, s3_upload_mode="EndOfJob")
    outputs = [sdk.ProcessingOutput(output_name="out", s3_output=target)]
    arguments = processor.run(outputs=outputs, arguments=words, wait=False, logs=False)
    return sdk.ProcessingStep(name=name, step_args=arguments, **more)


def by_parameter(session: Any) -> Any:
    """A body of two steps, with a property file between them, over a list that a start gives."""
    cities = sdk.ParameterString(name="Cities")
    item = CurrentItem()
    report = sdk.PropertyFile(name="Report", output_name="out", path="report.json")
    words = [item.name, sdk.Join(on="-", values=[item.place.country, item["code"]])]
    measure = process(
        session, "Measure", MEASURE, words, property_files=[report], folder=[item.name]
    )

    def measured(path: str) -> Any:
        found = sdk.JsonGet(step_name="Measure", property_file=report, json_path=path)
        return sdk.Join(on="", values=[found])

    words = [measured("length"), measured("zip"), "-"]
    tell = process(session, "Tell", TELL, words, folder=[item.name])
    loop = ForEachStep(
        name="Each", iterable_items=cities, max_concurrency=2, for_each_body=[measure, tell]
    )
    found = loop.properties
    first = found.IterationOutputs[0].Tell.ProcessingOutputConfig.Outputs["out"].S3Output.S3Uri
    total = sdk.Join(on=" of ", values=[found.SucceededStepCount, found.TotalStepCount])
    after = process(session, "After", TELL, [total, found.Status, first])
    return sdk.Pipeline(
        name="by-parameter", parameters=[cities], steps=[after, loop], sagemaker_session=session
    )


def by_literals(session: Any) -> Any:
    """A selector over a Lambda body, in a branch of a condition."""
    mode = sdk.ParameterString(name="Mode", default_value="score")
    best = sdk.ParameterString(name="Best", default_value='{"name": "c", "score": 7}')
    item = CurrentItem()
    score = LambdaStep(
        name="Score",
        lambda_func=Lambda(function_arn="FUNCTION", session=session),
        inputs={"name": item.name, "score": item.score},
        outputs=[
            LambdaOutput(output_name="Score", output_type=LambdaOutputTypeEnum.Integer),
            LambdaOutput(output_name="Name", output_type=LambdaOutputTypeEnum.String),
        ],
    )
    loop = ForEachStep(
        name="Scores",
        iterable_items=['{"name": "a", "score": 3}', best, '{"name": "b", "score": 5}'],
        max_concurrency=1,
        for_each_body=[score],
        selector=ForEachSelector(
            pick="MaxBy", field=IterationOutput(score).OutputParameters["Score"]
        ),
        display_name="scores",
    )
    gate = ConditionStep(
        name="Gate",
        conditions=[sdk.ConditionEquals(left=mode, right="score")],
        if_steps=[loop],
        else_steps=[],
    )
    winner = loop.properties.Selected.OutputParameters
    first = loop.properties.IterationOutputs[0].Score.OutputParameters["Name"]
    words = [sdk.Join(on="", values=[winner["Score"]]), winner["Name"], first]
    after = process(session, "After", TELL, words)
    return sdk.Pipeline(
        name="by-literals", parameters=[mode, best], steps=[gate, after], sagemaker_session=session
    )


@sdk.quiet()
def compiled() -> dict[str, Any]:
    session = sdk.session("us-east-1", "BUCKET", compile_only=True)
    made = [by_parameter(session), by_literals(session)]
    return {pipeline.name: json.loads(pipeline.definition()) for pipeline in made}


if __name__ == "__main__":
    json.dump(compiled(), sys.stdout, indent=1)
    sys.stdout.write("\n")
