"""The iterations of a ForEach, driven without threads: concurrency, kills, broken definitions."""

from __future__ import annotations

import copy
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_sagemaker.engine import pipelines
from local_sagemaker.errors import ApiError
from local_sagemaker.store import Store
from tests.local_sagemaker.pipelining import for_each
from tests.local_sagemaker.test_executor import Aws, Run, aws, processing  # noqa: F401
from tests.local_sagemaker.test_executor import training as _training

RUNNING = ("Starting", "Executing")
ITEM = {"Get": "ForEach.CurrentItem"}


def training(name: str, *after: str, **more: Any) -> dict[str, Any]:
    return _training(name, *after, arguments={"HyperParameters": {"item": ITEM}}, **more)


def children(run: Run) -> dict[str, str]:
    return {name: status for name, status in run.statuses.items() if "-" in name}


@pytest.fixture
def anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """A new, empty world for every example."""
    monkeypatch.setattr(pipelines, "start_execution", lambda plane, arn: None)
    count = iter(range(10_000))

    @contextmanager
    def world() -> Iterator[Aws]:
        home = tmp_path / str(next(count))
        home.mkdir()
        made = Aws(home)
        try:
            yield made
        finally:
            made.plane.store.close()

    return world


def settings_for(examples: int) -> Any:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


ITEMS = st.lists(
    st.text(max_size=5) | st.integers(-5, 5) | st.booleans() | st.just({"a": 1}),
    min_size=1,
    max_size=7,
)


def test_never_more_than_max_concurrency_and_every_child_exactly_once(
    anew: Callable[[], Any],
) -> None:
    @settings_for(40)
    @given(items=ITEMS, most=st.integers(1, 4), limit=st.integers(1, 6), data=st.data())
    def one(items: list[Any], most: int, limit: int, data: st.DataObject) -> None:
        with anew() as world:
            body = (training("A"), training("B", "A"), training("C"))
            loop = for_each({"Get": "Parameters.Items"}, *body, most=most)
            given_items = {"Name": "Items", "Type": "String", "DefaultValue": json.dumps(items)}
            world.create_pipeline(loop, Parameters=[given_items])
            run = world.start(ParallelismConfiguration={"MaxParallelExecutionSteps": limit})
            while run.status == "Executing":
                running = [name for name, how in children(run).items() if how in RUNNING]
                assert 0 < len(running) <= min(most, limit)
                begun = {name.rpartition("-")[2] for name in children(run)}
                done = [n for n, how in children(run).items() if how == "Succeeded"]
                whole = [i for i in begun if sum(n.endswith(f"-{i}") for n in done) == len(body)]
                assert len(begun) - len(whole) <= most
                run.finish(data.draw(st.sampled_from(running)))
            assert run.status == "Succeeded"
            names = [f"{each['Name']}-{i}" for i in range(len(items)) for each in body]
            assert children(run) == dict.fromkeys(names, "Succeeded")
            requests = [r for name, r in world.requests if name == "CreateTrainingJob"]
            seen = Counter(json.dumps(r["HyperParameters"]["item"]) for r in requests)
            texts = [json.dumps(json.dumps(i) if isinstance(i, dict) else i) for i in items]
            assert seen == Counter(texts * len(body))
            counts = run.steps["Each"]["Metadata"]["ForEach"]
            assert counts["SucceededStepCount"] == counts["TotalStepCount"] == len(names)

    one()


class Killed(BaseException):
    """The server was killed here."""


def kill_after(monkeypatch: pytest.MonkeyPatch, store: Store, writes: int) -> None:
    """Let this many writes of the store happen; the next one finds the server dead."""
    left = iter(range(writes))

    def counted(write: Callable[..., Any]) -> Callable[..., Any]:
        def go(*arguments: Any, **more: Any) -> Any:
            if next(left, None) is None:
                raise Killed
            return write(*arguments, **more)

        return go

    for name in ("edit", "edit_part", "insert"):
        monkeypatch.setattr(store, name, counted(getattr(store, name)))


def drive(run: Run) -> None:
    while run.status == "Executing":
        running = [name for name, how in children(run).items() if how == "Executing"]
        run.finish(running[0] if running else "After")


def test_killed_after_any_write_it_goes_on_and_runs_every_child_once(
    anew: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    selector = {"Pick": "MinBy", "Field": {"Get": "IterationOutput.B.HyperParameters.item"}}
    loop = for_each([3, 1, 2], training("A"), training("B", "A"), Selector=selector)
    picked = {"Get": "Steps.Each.Selected.HyperParameters.item"}
    after = _training("After", arguments={"HyperParameters": {"picked": picked}})
    names = [f"{body}-{index}" for index in range(3) for body in "AB"]

    def survives(world: Aws, writes: int) -> bool:
        """Whether the server was killed before the end."""
        world.create_pipeline(loop, after)
        arn = world.call("StartPipelineExecution", {"PipelineName": "p"})["PipelineExecutionArn"]
        with monkeypatch.context() as patch:
            kill_after(patch, world.plane.store, writes)
            try:
                run = Run(world, arn)
                drive(run)
            except Killed:
                killed = True
            else:
                killed = False
        if killed:
            run = Run(world, arn)
            drive(run)
        assert run.status == "Succeeded"
        assert set(run.statuses) == {"Each", "After", *names}
        assert len(world.plane.store.rows("training-job")) == len(names) + 1
        last = next(r for n, r in reversed(world.requests) if n == "CreateTrainingJob")
        assert last["HyperParameters"] == {"picked": 1}
        return killed

    for writes in itertools.count():
        with anew() as world:
            if not survives(world, writes):
                break
    assert writes > 3 * len(names)


def test_a_kill_loses_no_child_of_a_stop(aws: Aws) -> None:  # noqa: F811
    aws.create_pipeline(for_each(["a", "b", "c"], training("A"), most=2))
    run = aws.start()
    run.finish("A-0")
    aws.call("StopPipelineExecution", {"PipelineExecutionArn": run.arn})
    assert run.revive() == "Stopping"
    assert children(run) == {"A-0": "Succeeded", "A-1": "Stopping", "A-2": "Stopping"}
    run.revive()
    run.finish("A-1", "Stopped")
    assert run.finish("A-2", "Stopped") == "Stopped"
    counts = run.steps["Each"]["Metadata"]["ForEach"]
    assert (counts["Status"], counts["StoppedStepCount"]) == ("Stopped", 2)


def test_a_child_is_tried_again_by_its_own_policy(aws: Aws) -> None:  # noqa: F811
    retry = [{"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "MaxAttempts": 1}]
    aws.create_pipeline(for_each(["a", "b"], training("A", RetryPolicies=retry)))
    run = aws.start()
    run.finish("A-0", "Failed", "InternalServerError: lost")
    assert children(run) == {"A-0": "Starting", "A-1": "Executing"}
    aws.clock.advance(1)
    run.advance()
    run.finish("A-0")
    assert run.finish("A-1") == "Succeeded"
    assert [run.steps[name]["AttemptCount"] for name in ("A-0", "A-1")] == [2, 1]


def test_a_child_that_somebody_stops_leaves_its_for_each_stopped(aws: Aws) -> None:  # noqa: F811
    aws.create_pipeline(for_each(["a", "b"], training("A"), most=1))
    run = aws.start()
    assert run.finish("A-0", "Stopped") == "Failed"
    assert run.statuses == {"Each": "Stopped", "A-0": "Stopped"}
    assert "1 of 2 steps of the iterations are Stopped" in run.steps["Each"]["FailureReason"]


def test_a_retry_goes_on_with_the_items_there_were(aws: Aws) -> None:  # noqa: F811
    report = {"PropertyFileName": "R", "OutputName": "o", "FilePath": "r.json"}
    outputs = {"Outputs": [{"OutputName": "o", "S3Output": {"S3Uri": "s3://b/p"}}]}
    plan = processing("Plan", arguments={"ProcessingOutputConfig": outputs}, PropertyFiles=[report])
    file = {"Get": "Steps.Plan.PropertyFiles.R"}
    items = {"Std:JsonGet": {"PropertyFile": file, "Path": "$"}}
    aws.create_pipeline(plan, for_each(items, training("A"), most=1))
    run = aws.start()
    aws.bucket.objects["s3://b/p/r.json"] = '["a", "b"]'
    run.finish("Plan")
    run.finish("A-0")
    assert run.finish("A-1", "Failed", "x") == "Failed"
    aws.bucket.objects["s3://b/p/r.json"] = '["other"]'
    aws.call("RetryPipelineExecution", {"PipelineExecutionArn": run.arn})
    assert run.revive() == "Executing"
    assert run.steps["Each"]["Metadata"]["ForEach"] == {"InputItemCount": 2, "TotalStepCount": 2}
    assert run.finish("A-1") == "Succeeded"
    assert run.steps["A-1"]["IterationContext"]["Item"] == "b"


def test_a_stop_that_finds_the_last_child_ending_leaves_its_for_each_stopped(
    aws: Aws,  # noqa: F811
) -> None:
    aws.create_pipeline(for_each(["a", "b"], training("A"), most=1))
    run = aws.start()
    aws.call("StopPipelineExecution", {"PipelineExecutionArn": run.arn})
    assert run.finish("A-0") == "Stopped"
    assert run.statuses == {"Each": "Stopped", "A-0": "Succeeded"}
    assert run.steps["Each"]["Metadata"]["ForEach"]["Status"] == "Stopped"


def test_a_retry_leaves_a_for_each_that_has_succeeded_as_it_is(aws: Aws) -> None:  # noqa: F811
    mend = training("Mend", DependsOn=[{"Step": "A", "Trigger": "Failed"}])
    aws.create_pipeline(for_each(["a"], training("A"), mend), processing("Bad", "Each"))
    run = aws.start()
    run.finish("A-0", "Failed", "x")
    run.finish("Mend-0")
    before = run.statuses
    assert before == {
        "Each": "Succeeded",
        "A-0": "Failed",
        "Mend-0": "Succeeded",
        "Bad": "Executing",
    }
    assert run.finish("Bad", "Failed", "x") == "Failed"
    aws.call("RetryPipelineExecution", {"PipelineExecutionArn": run.arn})
    assert run.revive() == "Executing"
    assert run.statuses == before
    assert run.finish("Bad") == "CompletedWithFailures"


STRANGE: tuple[Any, ...] = (
    None,
    True,
    -1,
    1.5,
    "",
    "\x00",
    "Each",
    "A",
    [],
    [[]],
    [None],
    {},
    {"": 1},
    {"Get": 1},
    {"Get": "ForEach.CurrentItem"},
    {"Get": "Steps.Each.Status"},
    {"Get": "IterationOutput.A.B"},
    {"Std:Join": 1},
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place inside a JSON value."""
    if not isinstance(value, dict | list):
        return
    for key in value if isinstance(value, dict) else range(len(value)):
        yield (*path, key)
        yield from places(value[key], (*path, key))


def created(world: Aws, *steps: Any, **top: Any) -> str | None:
    """The code of the error, if the definition is refused."""
    try:
        world.create_pipeline(*steps, **top)
    except ApiError as error:
        return error.code
    return None


def test_a_mutilated_definition_is_refused_or_runs_but_never_breaks(
    anew: Callable[[], Any],
) -> None:
    selector = {"Pick": "MaxBy", "Field": {"Get": "IterationOutput.A.HyperParameters.item"}}
    picked = {"Get": "Steps.Each.Selected.HyperParameters.item"}
    whole = [
        for_each(["a", {"Get": "Parameters.X"}], training("A"), processing("B", "A"), name="Each")
        | {"DependsOn": ["First"], "DisplayName": "d"},
        processing("First"),
        _training("After", arguments={"HyperParameters": {"item": picked}}),
    ]
    whole[0]["Arguments"]["Selector"] = selector

    @settings_for(300)
    @given(place=st.sampled_from(list(places(whole))), strange=st.sampled_from(STRANGE))
    def one(place: tuple[Any, ...], strange: Any) -> None:
        steps = copy.deepcopy(whole)
        spot: Any = steps
        for key in place[:-1]:
            spot = spot[key]
        spot[place[-1]] = strange
        parameter = {"Name": "X", "Type": "String", "DefaultValue": "x"}
        with anew() as world:
            code = created(world, *steps, Parameters=[parameter])
            assert code in (None, "ValidationException")
            if code is not None:
                return
            run = world.start()
            for _ in range(12):
                running = [n for n, how in run.statuses.items() if how in RUNNING and n != "Each"]
                if run.status != "Executing" or not running:
                    break
                run.finish(running[0])
            assert run.status in ("Succeeded", "Failed"), (place, strange, run.statuses)

    one()
