"""ForEach steps through boto3: items, children, outputs, failure, retry, stop, cache, selection."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_sagemaker import boot
from tests.local_sagemaker.pipelining import (
    CACHED,
    EXECUTION,
    condition,
    fail,
    for_each,
    listed,
    processing,
    reads,
    rerun,
    run,
    status,
    upsert,
    writes,
)
from tests.local_sagemaker.test_lambda_steps import aws_lambda, function, invoke  # noqa: F401

ITEM = {"Get": "ForEach.CurrentItem"}
COMPILED = json.loads(Path(__file__).with_name("foreach.json").read_text())
OUT = "/opt/ml/processing/out"


def work(script: str = "true", item: Any = ITEM, name: str = "Work", **more: Any) -> dict[str, Any]:
    """A body step whose script finds the item in $ITEM."""
    environment = {"Environment": {"ITEM": {"Std:Join": {"On": "", "Values": [item]}}}}
    arguments = {**environment, **more.pop("arguments", {})}
    return processing(name, script, arguments=arguments, **more)


def say(*values: Any, **more: Any) -> dict[str, Any]:
    """A step that only tells what references stood for."""
    return fail("Say", {"Std:Join": {"On": " ", "Values": list(values)}}, **more)  # type: ignore[arg-type]


def each(path: str, name: str = "Each") -> dict[str, str]:
    return {"Get": f"Steps.{name}.{path}"}


def told(sagemaker: Any, arn: str, name: str = "Each") -> dict[str, Any]:
    return dict(listed(sagemaker, arn)[name]["Metadata"]["ForEach"])


def statuses(sagemaker: Any, arn: str) -> dict[str, str]:
    return {name: step["StepStatus"] for name, step in listed(sagemaker, arn).items()}


def compiled(local: Any, sagemaker: Any, name: str, **names: str) -> None:
    """Create pipeline `p` as the SDK has compiled it."""
    text = json.dumps(COMPILED[name])
    for placeholder, value in {"BUCKET": local.bucket, **names}.items():
        text = text.replace(placeholder, value)
    sagemaker.create_pipeline(
        PipelineName="p",
        RoleArn="arn:aws:iam::000000000000:role/local",
        PipelineDefinition=text,
    )


def given(name: str, value: str) -> dict[str, Any]:
    return {"PipelineParameters": [{"Name": name, "Value": value}]}


def test_what_the_sdk_compiles_runs_a_body_of_two_steps_for_every_item(
    local: Any, sagemaker: Any
) -> None:
    cities = [
        {"name": name, "place": {"country": "d"}, "code": code}
        for name, code in (("Ulm", 1), ("Essen", 2))
    ]
    compiled(local, sagemaker, "by-parameter")
    arn = rerun(local, sagemaker, **given("Cities", json.dumps(cities)))
    assert status(sagemaker, arn) == ("Succeeded", None)
    steps = listed(sagemaker, arn)
    assert set(steps) == {"Each", "Measure-0", "Tell-0", "Measure-1", "Tell-1", "After"}
    folder = arn.rpartition("/")[2]
    assert local.read(f"{folder}/Tell/Ulm/told.txt") == b"3 d-1 -\n"
    assert local.read(f"{folder}/Tell/Essen/told.txt") == b"5 d-2 -\n"
    uri = f"s3://{local.bucket}/{folder}/Tell/Ulm"
    assert local.read(f"{folder}/After/told.txt").decode() == f"4 of 4 Succeeded {uri}\n"
    assert steps["Tell-1"]["IterationContext"] == {
        "ParentStepName": "Each",
        "Index": 1,
        "Item": json.dumps(cities[1]),
    }
    assert "IterationContext" not in steps["After"]
    assert "-tell-1-" in steps["Tell-1"]["Metadata"]["ProcessingJob"]["Arn"]
    assert steps["Each"]["Metadata"]["ForEach"] == {
        "Status": "Succeeded",
        "InputItemCount": 2,
        "TotalStepCount": 4,
        "SucceededStepCount": 4,
        "FailedStepCount": 0,
        "StoppedStepCount": 0,
    }
    assert steps["Each"]["StepStatus"] == "Succeeded"
    assert steps["Each"]["EndTime"] >= steps["Tell-1"]["EndTime"]


def test_what_the_sdk_compiles_selects_the_best_iteration_in_a_branch(
    local: Any,
    sagemaker: Any,
    function: Any,  # noqa: F811
) -> None:
    arn = function("return {'Score': event['score'] * 2, 'Name': event['name'].upper()}")
    compiled(local, sagemaker, "by-literals", FUNCTION=arn)
    execution = rerun(local, sagemaker)
    assert status(sagemaker, execution) == ("Succeeded", None)
    folder = execution.rpartition("/")[2]
    assert local.read(f"{folder}/After/told.txt") == b"14 C A\n"
    steps = listed(sagemaker, execution)
    assert steps["Scores"]["Metadata"]["ForEach"]["Selector"] == {"StepName": "Score", "Index": 1}
    assert steps["Scores"]["StepDisplayName"] == "scores"
    assert [step["Name"] for step in steps["Score-1"]["Metadata"]["Lambda"]["OutputParameters"]]
    untaken = rerun(local, sagemaker, **given("Mode", "none"))
    assert list(listed(sagemaker, untaken)) == ["Gate"]


@pytest.mark.parametrize(
    ("items", "item", "seen"),
    [
        ('["a b", 2, true]', ITEM, ["a b", "2", "true"]),
        (" [1.5] ", ITEM, ["1.5"]),
        ('[{"a": {"b": [7, 8]}}]', {"Get": "ForEach.CurrentItem.a.b[1]"}, ["8"]),
        ('[{"a": 1}]', ITEM, ['{"a": 1}']),
        ('["{\\"a\\": 1}"]', {"Get": "ForEach.CurrentItem['a']"}, ["1"]),
    ],
)
def test_the_items_of_a_json_list_are_what_they_are(
    local: Any, sagemaker: Any, items: str, item: Any, seen: list[str]
) -> None:
    body = work('printf %s "$ITEM" > ' + f"{OUT}/$INDEX", item, arguments=writes(local.bucket))
    body["Arguments"]["Environment"]["INDEX"] = {"Get": "Execution.ProcessingJobName"}
    parameters = [{"Name": "Items", "Type": "String", "DefaultValue": items}]
    arn = run(local, sagemaker, for_each({"Get": "Parameters.Items"}, body), Parameters=parameters)
    assert status(sagemaker, arn) == ("Succeeded", None)
    written = [local.read(key).decode() for key in local.keys(arn.rpartition("/")[2])]
    assert sorted(written) == sorted(seen)


def test_an_object_is_given_as_its_json_text(local: Any, sagemaker: Any) -> None:
    body = processing("Work", """[ "$ITEM" = '{"a": [1]}' ]""")
    body["Arguments"]["Environment"] = {"ITEM": ITEM}
    parameters = [{"Name": "Items", "Type": "String", "DefaultValue": '[{"a": [1]}]'}]
    arn = run(local, sagemaker, for_each({"Get": "Parameters.Items"}, body), Parameters=parameters)
    assert status(sagemaker, arn) == ("Succeeded", None)


def test_items_may_be_read_from_a_property_file(local: Any, sagemaker: Any) -> None:
    report = {"PropertyFileName": "R", "OutputName": "out", "FilePath": "r.json"}
    script = f"""echo '{{"list": ["x", {{"k": 1}}], "text": "[3]"}}' > {OUT}/r.json"""
    plan = processing("Plan", script, arguments=writes(local.bucket), PropertyFiles=[report])

    def planned(path: str) -> dict[str, Any]:
        file = {"Get": "Steps.Plan.PropertyFiles.R"}
        return {"Std:JsonGet": {"PropertyFile": file, "Path": path}}

    loops = (
        for_each(planned("list"), work(name="A"), name="Lists"),
        for_each(planned("text"), work(name="B"), name="Texts"),
    )
    arn = run(local, sagemaker, *loops, plan)
    assert status(sagemaker, arn) == ("Succeeded", None)
    steps = listed(sagemaker, arn)
    found = {name: step["IterationContext"]["Item"] for name, step in steps.items() if "-" in name}
    assert found == {"A-0": "x", "A-1": '{"k": 1}', "B-0": "3"}


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ("nope", "IterableItems came to 'nope', which is not a JSON list"),
        ('{"a": 1}', "which is not a JSON list"),
        ("7", "IterableItems came to '7', which is not a JSON list"),
        ("[NaN]", "NaN is no JSON"),
        ("[]", "came to 0 items ('[]'); there must be 1 to 100"),
        (json.dumps([1] * 101), "came to 101 items"),
        ("[1, [2]]", "IterableItems[1] came to [2]; an item must be a text, a number"),
        ("[null]", "IterableItems[0] came to None"),
    ],
)
def test_items_that_cannot_be_iterated_over_fail_the_step(
    local: Any, sagemaker: Any, items: str, says: str
) -> None:
    parameters = [{"Name": "Items", "Type": "String", "DefaultValue": items}]
    loop = for_each({"Get": "Parameters.Items"}, work())
    arn = run(local, sagemaker, loop, Parameters=parameters)
    assert status(sagemaker, arn)[0] == "Failed"
    (step,) = listed(sagemaker, arn).values()
    assert step["StepStatus"] == "Failed"
    assert step["FailureReason"].startswith("ClientError: ")
    assert says in step["FailureReason"]


def test_an_item_without_the_member_fails_its_own_child(local: Any, sagemaker: Any) -> None:
    body = work(item={"Get": "ForEach.CurrentItem.a"})
    arn = run(local, sagemaker, for_each(['{"a": 1}', '{"b": 1}', "c"], body, most=3))
    steps = listed(sagemaker, arn)
    assert steps["Work-0"]["StepStatus"] == "Succeeded"
    assert "is no 'a'; there is b" in steps["Work-1"]["FailureReason"]
    assert status(sagemaker, arn)[0] == "Failed"


def test_a_failing_child_lets_running_ones_finish_and_begins_no_other(
    local: Any, sagemaker: Any
) -> None:
    flag = local.plane.config.home / "go"
    wait = f'while [ ! -e {flag} ]; do sleep 0.02; done; [ "$ITEM" != bad ] || exit 3'
    items = ["good", "bad", "never", "never"]
    upsert(
        sagemaker,
        for_each(items, work(wait), work(name="Next", DependsOn=["Work"])),
        processing("After", DependsOn=["Each"]),
    )
    arn = sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    local.until_true(lambda: list(statuses(sagemaker, arn).values()) == ["Executing"] * 3)
    flag.touch()
    local.until(EXECUTION, arn, "Failed")
    found = statuses(sagemaker, arn)
    assert (found["Work-0"], found["Work-1"], found["Each"]) == ("Succeeded", "Failed", "Failed")
    assert not {"Work-2", "Work-3", "Next-1", "After"} & set(found)
    counts = told(sagemaker, arn)
    assert (counts["Status"], counts["TotalStepCount"], counts["FailedStepCount"]) == (
        "Failed",
        8,
        1,
    )
    reason = listed(sagemaker, arn)["Each"]["FailureReason"]
    assert reason.startswith(
        "Step failure: 1 of 8 steps of the iterations are Failed; the first, 'Work-1': Algorithm"
    )


def test_the_failure_of_a_for_each_can_be_answered(local: Any, sagemaker: Any) -> None:
    handler = {"Step": "Each", "Trigger": "Failed"}
    said = [each("FailedStepCount"), "of", each("TotalStepCount"), each("Status")]
    join = {"Std:Join": {"On": " ", "Values": said}}
    answer = processing(
        "Answer", "[ \"$SAID\" = '1 of 1 Failed' ]", arguments={"Environment": {"SAID": join}}
    )
    arn = run(local, sagemaker, for_each(["x"], work("exit 1")), {**answer, "DependsOn": [handler]})
    assert status(sagemaker, arn)[0] == "CompletedWithFailures"


def test_a_body_may_answer_its_own_failures(local: Any, sagemaker: Any) -> None:
    mend = work(name="Mend", DependsOn=[{"Step": "Work", "Trigger": "Failed"}])
    body = (work('[ "$ITEM" != bad ]'), mend, work(name="Next", DependsOn=["Work"]))
    arn = run(local, sagemaker, for_each(["bad", "good"], *body, most=1))
    assert status(sagemaker, arn) == ("CompletedWithFailures", None)
    found = statuses(sagemaker, arn)
    assert {name for name, how in found.items() if how == "Succeeded"} == {
        "Each",
        "Mend-0",
        "Work-1",
        "Next-1",
    }
    counts = told(sagemaker, arn)
    assert (counts["Status"], counts["FailedStepCount"]) == ("Succeeded", 1)


def test_a_failure_elsewhere_lets_the_iterations_finish(local: Any, sagemaker: Any) -> None:
    flag = local.plane.config.home / "go"
    wait = f"while [ ! -e {flag} ]; do sleep 0.02; done"
    upsert(
        sagemaker,
        for_each(["a", "b"], work(wait), most=1),
        processing("Bad", "exit 1"),
        processing("After", DependsOn=["Each"]),
    )
    arn = sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    local.until_true(lambda: statuses(sagemaker, arn).get("Bad") == "Failed")
    flag.touch()
    local.until(EXECUTION, arn, "Failed")
    assert statuses(sagemaker, arn) == {
        "Each": "Succeeded",
        "Bad": "Failed",
        "Work-0": "Succeeded",
        "Work-1": "Succeeded",
    }


def test_a_retry_runs_what_failed_again_and_nothing_else(local: Any, sagemaker: Any) -> None:
    flag = local.plane.config.home / "mended"
    body = work(f'[ "$ITEM" != b ] || [ -e {flag} ]', name="Work")
    arn = run(
        local, sagemaker, for_each(["a", "b", "c"], body, most=1), say("after", each("Status"))
    )
    assert statuses(sagemaker, arn) == {
        "Each": "Failed",
        "Work-0": "Succeeded",
        "Work-1": "Failed",
    }
    flag.touch()
    sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)
    local.until(EXECUTION, arn, "Failed")
    assert status(sagemaker, arn)[1] == "after Succeeded"
    assert told(sagemaker, arn)["SucceededStepCount"] == 3
    jobs = sagemaker.list_processing_jobs(MaxResults=100)["ProcessingJobSummaries"]
    names = [job["ProcessingJobName"] for job in jobs]
    counts = [sum(f"-Work-{index}-" in name for name in names) for index in range(3)]
    assert counts == [1, 2, 1]


def test_stopping_stops_the_children_and_a_retry_goes_on(local: Any, sagemaker: Any) -> None:
    flag = local.plane.config.home / "go"
    wait = f'[ "$ITEM" = quick ] || while [ ! -e {flag} ]; do sleep 0.02; done'
    upsert(sagemaker, for_each(["quick", "slow", "never"], work(wait), most=1))
    arn = sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    local.until_true(lambda: statuses(sagemaker, arn).get("Work-1") == "Executing")
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    local.until(EXECUTION, arn, "Stopped")
    assert statuses(sagemaker, arn) == {
        "Each": "Stopped",
        "Work-0": "Succeeded",
        "Work-1": "Stopped",
    }
    counts = told(sagemaker, arn)
    assert (counts["Status"], counts["SucceededStepCount"], counts["StoppedStepCount"]) == (
        "Stopped",
        1,
        1,
    )
    flag.touch()
    sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)
    local.until(EXECUTION, arn, "Succeeded")
    assert told(sagemaker, arn)["SucceededStepCount"] == 3


def test_a_body_step_is_reused_item_by_item(local: Any, sagemaker: Any) -> None:
    body = work(arguments=writes(local.bucket), **CACHED)
    first = run(local, sagemaker, for_each(["a", "b"], body))
    second = run(local, sagemaker, for_each(["new", "b", "a"], body))
    assert status(sagemaker, second) == ("Succeeded", None)
    steps = listed(sagemaker, second)
    assert "CacheHitResult" not in steps["Work-0"]
    for name in ("Work-1", "Work-2"):
        assert steps[name]["CacheHitResult"] == {"SourcePipelineExecutionArn": first}
    assert steps["Work-1"]["Metadata"] == listed(sagemaker, first)["Work-1"]["Metadata"]
    assert steps["Work-2"]["IterationContext"]["Item"] == "a"
    assert told(sagemaker, second)["SucceededStepCount"] == 3


def test_a_limit_of_one_step_at_once_holds_for_children_too(local: Any, sagemaker: Any) -> None:
    upsert(sagemaker, for_each(list("abc"), work(), most=3), processing("Other"))
    config = {"ParallelismConfiguration": {"MaxParallelExecutionSteps": 1}}
    arn = rerun(local, sagemaker, **config)
    steps = listed(sagemaker, arn)
    assert status(sagemaker, arn) == ("Succeeded", None)
    alone = sorted(
        (step["StartTime"], step["EndTime"]) for name, step in steps.items() if name != "Each"
    )
    assert len(alone) == 4
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(alone))


def test_a_for_each_waits_for_all_that_its_body_needs(local: Any, sagemaker: Any) -> None:
    place = {"Get": "Steps.Prep.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"}
    prep = processing("Prep", f"echo made > {OUT}/x", arguments=writes(local.bucket))
    body = work("grep made /opt/ml/processing/data/x", arguments=reads(place))
    arn = run(local, sagemaker, for_each(["a"], body), prep)
    assert status(sagemaker, arn) == ("Succeeded", None)
    assert list(listed(sagemaker, arn)) == ["Prep", "Each", "Work-0"]


def test_a_cleanup_in_a_body_cleans_up_after_its_own_iteration(local: Any, sagemaker: Any) -> None:
    place = {"Get": "Steps.Work.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"}
    uri = {"Std:Join": {"On": "/", "Values": [place, {"Std:Join": {"On": "", "Values": [ITEM]}}]}}
    resources = {"Resources": {"S3": [{"StepName": "Work", "S3Uris": [uri]}]}}
    clean = {"Name": "Clean", "Type": "Cleanup", "Arguments": resources, "DependsOn": ["Work"]}
    script = f"echo 1 > {OUT}/$ITEM; echo 1 > {OUT}/kept-$ITEM"
    arn = run(
        local, sagemaker, for_each(["a", "b"], work(script, arguments=writes(local.bucket)), clean)
    )
    assert status(sagemaker, arn) == ("Succeeded", None)
    kept = {key.rpartition("/")[2] for key in local.keys(arn.rpartition("/")[2])}
    assert kept == {"kept-a", "kept-b"}
    cleaned = listed(sagemaker, arn)["Clean-1"]["Metadata"]["Cleanup"]
    assert cleaned["CleanedSteps"] == ["Work-1"]


def test_every_child_and_every_other_step_registers_a_version_of_its_own(
    local: Any, sagemaker: Any
) -> None:
    def register(name: str, **more: Any) -> dict[str, Any]:
        arguments = {"ModelPackageGroupName": "group"}
        return {"Name": name, "Type": "RegisterModel", "Arguments": arguments, **more}

    flag = local.plane.config.home / "go"
    upsert(
        sagemaker,
        for_each(["a", "b", "c"], register("Child"), DependsOn=["Slow"]),
        processing("Slow", f"while [ ! -e {flag} ]; do sleep 0.02; done"),
        processing("Quick"),
        processing("Next", DependsOn=["Quick"]),
        register("Early", DependsOn=["Next"]),
        register("Last", DependsOn=["Each"]),
    )
    arn = sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    local.until_true(lambda: statuses(sagemaker, arn).get("Early") == "Succeeded")
    flag.touch()
    local.until(EXECUTION, arn, "Succeeded")
    arns = [
        step["Metadata"]["RegisterModel"]["Arn"]
        for step in listed(sagemaker, arn).values()
        if "RegisterModel" in step["Metadata"]
    ]
    assert len(set(arns)) == len(arns) == 5


def select(source: str | None, *names: str) -> dict[str, Any]:
    config = {"SelectedSteps": [{"StepName": name} for name in names]}
    origin = {"SourcePipelineExecutionArn": source} if source else {}
    return {"SelectiveExecutionConfig": {**config, **origin}}


def test_selective_execution_takes_a_for_each_as_a_whole(local: Any, sagemaker: Any) -> None:
    steps = (
        processing("Prep"),
        for_each(["a", "b"], work(), DependsOn=["Prep"]),
        say(each("SucceededStepCount"), each("IterationOutputs[1].Work.ProcessingJobName")),
    )
    first = run(local, sagemaker, *steps)
    assert status(sagemaker, first)[1].startswith("2 pipelines-")  # type: ignore[union-attr]
    whole = rerun(local, sagemaker, **select(first, "Each"))
    assert statuses(sagemaker, whole) == dict.fromkeys(
        ["Prep", "Each", "Work-0", "Work-1"], "Succeeded"
    )
    again = listed(sagemaker, whole)
    assert "SelectiveExecutionResult" in again["Prep"]
    assert "SelectiveExecutionResult" not in again["Work-1"]
    below = rerun(local, sagemaker, **select(first, "Say"))
    brought = listed(sagemaker, below)["Work-1"]
    assert brought["SelectiveExecutionResult"] == {"SourcePipelineExecutionArn": first}
    assert brought["IterationContext"]["Item"] == "b"
    assert status(sagemaker, below)[1] == status(sagemaker, first)[1]
    with pytest.raises(ClientError, match="stands in the ForEachBody of 'Each'; select 'Each'"):
        rerun(local, sagemaker, **select(first, "Work"))
    with pytest.raises(ClientError, match="the pipeline has no step 'Work-0'"):
        rerun(local, sagemaker, **select(first, "Work-0"))


@pytest.mark.parametrize("policy", [True, False])
def test_a_restart_in_the_middle_of_an_iteration_goes_on(
    start: Callable[..., Any], tmp_path: Path, policy: bool
) -> None:
    local = start(tmp_path / "home", slots=2)
    sagemaker = local.client()
    flag = tmp_path / "go"
    wait = f'[ "$ITEM" = quick ] || while [ ! -e {flag} ]; do sleep 0.02; done'
    retry = [{"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "MaxAttempts": 2}]
    more = {"RetryPolicies": retry} if policy else {}
    upsert(sagemaker, for_each(["quick", "slow", "later"], work(wait, **more), most=1))
    arn = sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    local.until_true(lambda: statuses(sagemaker, arn).get("Work-1") == "Executing")
    boot.shut_down(local.plane)
    flag.touch()
    local = start(tmp_path / "home", slots=2)
    sagemaker = local.client()
    local.until(EXECUTION, arn, "Succeeded" if policy else "Failed")
    steps = listed(sagemaker, arn)
    assert steps["Work-0"]["AttemptCount"] == 1
    if policy:
        assert steps["Work-1"]["AttemptCount"] == 2
        assert told(sagemaker, arn)["SucceededStepCount"] == 3
    else:
        assert statuses(sagemaker, arn)["Work-1"] == "Failed"
        assert "InternalServerError: the local SageMaker was" in steps["Each"]["FailureReason"]


SELECTOR = {"Pick": "MaxBy", "Field": {"Get": "IterationOutput.Work.ExitMessage"}}


@pytest.mark.parametrize(
    ("field", "pick", "says"),
    [
        ("ProcessingJobName", "MaxBy", "ProcessingJobName of step 'Work-0' is 'pipelines-"),
        ("Nothing", "MinBy", "step 'Work-0': 'Nothing' leads nowhere"),
        ("Environment.ITEM", "MinBy", "2 of 3"),
        ("Environment.ITEM", "MaxBy", "10 of 3"),
    ],
)
def test_a_selector_compares_numbers(
    local: Any, sagemaker: Any, field: str, pick: str, says: str
) -> None:
    selector = {"Pick": pick, "Field": {"Get": f"IterationOutput.Work.{field}"}}
    loop = for_each(["10", 2, "10"], work(), Selector=selector)
    values = [each("Selected.Environment.ITEM"), "of", each("InputItemCount")]
    arn = run(local, sagemaker, loop, say(*values))
    steps = listed(sagemaker, arn)
    reason = status(sagemaker, arn)[1] if "Say" in steps else steps["Each"]["FailureReason"]
    assert says in str(reason)
    if says == "10 of 3":
        assert told(sagemaker, arn)["Selector"] == {"StepName": "Work", "Index": 0}


def test_an_iteration_that_there_was_not_fails_the_step_that_asks(
    local: Any, sagemaker: Any
) -> None:
    asking = say(each("IterationOutputs[1].Work.ProcessingJobName"))
    arn = run(local, sagemaker, for_each(["a"], work()), asking)
    reason = listed(sagemaker, arn)["Say"]["FailureReason"]
    assert "are 1 entries, so there is no [1]" in reason


LITERAL = for_each(["a"], work())
OTHER = for_each(["b"], work(name="B"), name="Other")
NESTED = for_each(["b"], for_each(["a"], work()), name="Outer")
GATE = condition("Gate", 1, 1, yes=[work()])


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([for_each([], work())], "IterableItems has 0 items; there must be 1 to 100"),
        ([for_each([1] * 101, work())], "IterableItems has 101 items"),
        ([for_each(["a", None], work())], r"IterableItems[1] must be a text"),
        ([for_each([{"a": 1}], work())], "write an object as its JSON text"),
        ([for_each('["a"]', work())], "must be a reference to a JSON list, or a list of"),
        ([for_each({"Get": "Parameters.No"}, work())], "parameter 'No' is not declared"),
        ([for_each([ITEM], work())], "exists only in the steps of a ForEachBody"),
        ([for_each(["a"], work(), most=0)], "MaxConcurrency must be a whole number from 1 to 50"),
        ([for_each(["a"], work(), most=51)], "not 51"),
        ([for_each(["a"], work(), most=True)], "not True"),
        ([for_each(["a"])], "ForEachBody must be a list with at least one step, not []"),
        ([NESTED], "a ForEachBody cannot hold the ForEach step 'Each'"),
        ([for_each(["a"], GATE)], "a ForEachBody cannot hold the Condition step 'Gate'"),
        ([for_each(["a"], fail("F"))], "a ForEachBody cannot hold the Fail step 'F'"),
        ([for_each(["a"], work()), work()], "step name 'Work' is used twice"),
        ([LITERAL, for_each(["b"], work(), name="X")], "step name 'Work' is used twice"),
        ([LITERAL, processing("Work-7")], "'Work-7' is what an iteration of 'Work'"),
        ([for_each(["a"], work(name="x" * 62))], "61 characters may be"),
        ([work()], "step 'Work': ForEach.CurrentItem exists only in the steps of"),
        ([LITERAL, processing("P", DependsOn=["Work"])], "in the ForEachBody of 'Each'; depend on"),
        ([LITERAL, say({"Get": "Steps.Work.ExitMessage"})], "Steps.Each.IterationOutputs[0].Work"),
        ([LITERAL, say({"Get": "Steps.Work-0.ExitMessage"})], "names an unknown step"),
        ([LITERAL, for_each(["b"], work(name="B", DependsOn=["Work"]), name="O")], "in the ForEa"),
        ([for_each(["a"], work(DependsOn=["Each"]))], "names the ForEach in whose body it stands"),
        ([for_each(["a"], work(item=each("Status")))], "names the ForEach in whose body it stands"),
        (
            [
                processing("P"),
                for_each(["a"], work(DependsOn=[{"Step": "P", "Trigger": "Failed"}])),
            ],
            "the Trigger Failed on 'P' must be given to the ForEach 'Each'",
        ),
        (
            [for_each(["a"], work(DependsOn=["P"])), processing("P", DependsOn=["Each"])],
            "wait for each other in a cycle",
        ),
        ([LITERAL, say(each("Selected.ExitMessage"))], "has no Selector, so no Selected"),
        ([LITERAL, say(each("Outputs"))], "exposes only IterationOutputs[<index>].<body step>"),
        ([LITERAL, say(each("IterationOutputs.Work.X"))], "exposes only IterationOutputs"),
        ([LITERAL, say(each("IterationOutputs[0].Work"))], "exposes only IterationOutputs"),
        ([LITERAL, say(each("IterationOutputs[0].Wrk.X"))], "did you mean 'Work'?"),
        ([LITERAL, OTHER, say(each("IterationOutputs[0].B.X"))], "'B' is no step of the ForEach"),
        ([LITERAL, say({"Get": "ForEach.Item"})], "there is only ForEach.CurrentItem"),
        ([for_each(["a"], work(), Selector={"Pick": "MaxBy"})], 'Selector takes {"Pick": ...'),
        ([for_each(["a"], work(), Selector={**SELECTOR, "Pick": "Median"})], "is not one of MaxBy"),
        (
            [for_each(["a"], work(), Selector={**SELECTOR, "Field": {"Get": "Parameters.X"}})],
            'Field must be {"Get": "IterationOutput.<body step>.<member>"}',
        ),
        (
            [for_each(["a"], work(), Selector={**SELECTOR, "Field": {"Get": "IterationOutput.W"}})],
            'Field must be {"Get": "IterationOutput.<body step>.<member>"}',
        ),
        (
            [for_each(["a"], work(name="W"), Selector=SELECTOR)],
            "Selector: Field names 'Work', which is no step of its ForEachBody",
        ),
        (
            [for_each(["a"], invoke("Work", "arn:f", ("N", "Integer")), Selector=SELECTOR)],
            "the Lambda step 'Work' exposes only OutputParameters.N",
        ),
        ([{**LITERAL, "RetryPolicies": []}], "RetryPolicies is not supported on a step of type"),
        ([{**LITERAL, "Arguments": {**LITERAL["Arguments"], "X": 1}}], "Arguments: X is unknown"),
    ],
)
def test_a_for_each_that_cannot_run_is_refused(
    sagemaker: Any, steps: list[Any], message: str
) -> None:
    with pytest.raises(ClientError) as refused:
        upsert(sagemaker, *steps)
    error = refused.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert message in error["Message"]
    assert "step '" in error["Message"] or "step name" in error["Message"] or "cycle" in message


def test_an_experiment_has_no_current_item(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match=r"PipelineExperimentConfig: ForEach\.CurrentItem exists"):
        upsert(sagemaker, LITERAL, PipelineExperimentConfig={"ExperimentName": ITEM})
