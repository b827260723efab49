"""The executor of one pipeline execution: what is recorded, started, stopped, retried and settled.

`advance` looks at the execution's row and at the resources of its running steps, and does what
follows. Every decision is in the row before the next thing is done, so that a new executor can go
on where a killed one stopped. Which steps may start is graph.ready's, what a step starts and how it
is followed is steps.py's, what its expressions mean is scope.py's.
"""

import logging
import threading
from typing import Any

from local_sagemaker.engine import (
    cache,
    cached_results,
    conditions,
    foreach,
    graph,
    iterations,
    pipeline_rows,
    retries,
    steps,
    verdict,
)
from local_sagemaker.engine.conditions import ConditionError
from local_sagemaker.engine.definition import Step
from local_sagemaker.engine.execution import Execution
from local_sagemaker.engine.expressions import ExpressionError, as_text, evaluate
from local_sagemaker.errors import ApiError
from local_sagemaker.events import Change
from local_sagemaker.lifecycle import transition
from local_sagemaker.plane import Plane
from local_sagemaker.storage import StorageError

log = logging.getLogger(__name__)

# Nothing relies on it: it only bounds the harm of an event that never comes.
SAFETY_SECONDS = 60.0


class Executor(Execution):
    """One execution in progress."""

    def __init__(self, plane: Plane, arn: str) -> None:
        super().__init__(plane, arn)
        self._wake = threading.Event()
        self._closing = False
        self._watched: set[tuple[str, str]] = {(pipeline_rows.EXECUTION, arn)}
        for step in self._active():
            if "Resource" in self._result(step):
                self._watch(step, self._result(step)["Resource"])
        self._to_keep: list[Step] = []
        self._asked_to_stop: set[str] = set()

    def close(self) -> None:
        """From any thread: let `run` end soon; recovery goes on from there."""
        self._closing = True
        self._wake.set()

    def run(self) -> None:
        """Until the execution has settled, or the server closes."""
        unsubscribe = self._plane.bus.subscribe(self._hear)
        try:
            while not self._closing and not self.advance():
                self._plane.clock.wait(self._wake, self._pause())
                self._wake.clear()
        finally:
            unsubscribe()

    def advance(self) -> bool:
        """Do all that can be done now; True when the execution has settled."""
        self._refresh()
        for step in self._active():
            if self._result(step)["StepStatus"] == "Starting":
                self._adopt(step)
        if self._stopping:
            self._stop_running()
        for step in self._active():
            if self._result(step)["StepStatus"] != "Starting" and not iterations.is_loop(step):
                self._observe(step)
        self._begin_due()
        while self._end_loops() or self._begin_ready():
            pass
        self._keep_results()
        return self._settle()

    # Waiting

    def _watch(self, step: Step, name: str) -> None:
        self._watched.add((steps.resource_of(step).kind, name))

    def _hear(self, change: Change) -> None:
        if (change.kind, change.name) in self._watched:
            self._wake.set()

    def _pause(self) -> float:
        now = self._plane.clock.now()
        results = [self._result(step) for step in self._active()]
        waits: list[float] = [result["RetryAt"] - now for result in results if "RetryAt" in result]
        return max(0.0, min([SAFETY_SECONDS, *waits]))

    # Starting

    def _begin_ready(self) -> bool:
        """Start what may start; True when something was started, so more may have become ready."""
        begun = False
        for name in iterations.in_turn(self._definition, self._ready(), self._statuses):
            if sum(not iterations.is_loop(step) for step in self._active()) >= self._limit():
                break
            self._begin(self._definition.steps[name])
            begun = True
            if self._result(self._definition.steps[name])["StepStatus"] in graph.UNSUCCESSFUL:
                break  # fewer may start now
        return begun

    def _begin_due(self) -> None:
        now = self._plane.clock.now()
        for step in self._active():
            if self._result(step).get("RetryAt", float("inf")) <= now:
                self._begin(step)

    def _begin(self, step: Step) -> None:
        result = self._result(step)
        self._record(
            step,
            StepName=step.name,
            StepDisplayName=step.display_name,
            StepDescription=step.description,
            StepType=step.type.name,
            StepStatus="Starting",
            StartTime=result.get("StartTime", self._plane.clock.now()),
            AttemptCount=result.get("AttemptCount", 0) + 1,
            IterationContext=iterations.context(step),
            RetryAt=None,
            Resource=None,
        )
        self._attempt(step)

    def _attempt(self, step: Step) -> None:
        try:
            match step.type.name:
                case "Condition":
                    self._decide(step)
                case "Fail":
                    self._fail_on_purpose(step)
                case foreach.TYPE:
                    self._begin_loop(step)
                case _:
                    self._launch(step)
        except (ExpressionError, ConditionError, StorageError) as error:
            self._end(step, "Failed", f"ClientError: {error}")
        except ApiError as error:
            self._refused(step, error)
        except Exception as error:  # one step's surprise must not leave the others alone
            log.exception("step cannot start step=%s", step.name)
            reason = f"InternalServerError: {type(error).__name__}: {error}"
            self._end(step, "Failed", f"{reason} (the local SageMaker's log tells where)")

    def _decide(self, step: Step) -> None:
        scope = self._values.scope(self._row, step)
        held = conditions.hold(step.arguments["Conditions"], lambda part: evaluate(part, scope))
        self._record(step, Outcome=str(held), Metadata={"Condition": {"Outcome": str(held)}})
        self._end(step, "Succeeded")

    def _fail_on_purpose(self, step: Step) -> None:
        message = as_text(
            evaluate(step.arguments["ErrorMessage"], self._values.scope(self._row, step))
        )
        self._record(step, Metadata={"Fail": {"ErrorMessage": message}})
        self._end(step, "Failed", message)

    def _begin_loop(self, step: Step) -> None:
        scope = self._values.scope(self._row, step)
        items = foreach.items(evaluate(step.arguments["IterableItems"], scope))
        self._record(step, **iterations.begun(self._definition, step, items))
        self._plan()

    def _launch(self, step: Step) -> None:
        resource = steps.resource_of(step)
        given = step.arguments.get(resource.name_member)
        given = evaluate(given, self._values.scope(self._row, step)) if given is not None else None
        name = steps.name_for(step, given, pipeline_rows.execution_id(self._row))
        arguments = evaluate(step.arguments, self._values.scope(self._row, step, name))
        if step.expire_after is not None and self._reuse(step, arguments):
            return
        if name is not None:
            arguments[resource.name_member] = name
            self._record(step, Resource=name)
            self._watch(step, name)
        token = f"{pipeline_rows.execution_id(self._row)}-{self._result(step)['AttemptCount']}"
        token += f"-{cache.digest(step.name)[:12]}"
        name, arn = steps.launch(self._plane, step, arguments, self._row, token)
        self._executing(step, name, arn)

    def _executing(self, step: Step, name: str, arn: str) -> None:
        self._watch(step, name)
        metadata = steps.metadata(self._plane, step, name, arn)
        self._record(step, StepStatus="Executing", Resource=name, Metadata=metadata)
        self._observe(step)

    def _reuse(self, step: Step, arguments: dict[str, Any]) -> bool:
        """Take a kept result instead of running the step, if there is one."""
        try:
            parts = cached_results.key_parts(self._plane, step, arguments)
            hit, why_not = cached_results.find(self._plane, self._row["PipelineArn"], step, parts)
        except StorageError as error:
            log.warning("step runs uncached step=%s reason=%s", step.name, error)
            self._record(step, CacheKey=None, CacheMiss={"Reason": f"S3 cannot tell: {error}"})
            return False
        if hit is None or why_not:
            source = hit["PipelineExecutionArn"] if hit else None
            miss = {"Reason": why_not, "PipelineExecutionArn": source} if hit else None
            self._record(step, CacheKey=parts, CacheMiss=miss)
            log.info("step runs step=%s kept_result=%s %s", step.name, source, why_not)
            return False
        self._record(
            step,
            StepStatus="Succeeded",
            EndTime=self._plane.clock.now(),
            CacheKey=parts,
            CacheMiss=None,
            Resource=hit["Resource"],
            Metadata=hit["Metadata"],
            CacheHitResult={"SourcePipelineExecutionArn": hit["PipelineExecutionArn"]},
        )
        log.info("step reused step=%s source=%s", step.name, hit["PipelineExecutionArn"])
        return True

    # Following

    def _observe(self, step: Step) -> None:
        """Look at the step's resource and record what has become of it, if it is done."""
        result = self._result(step)
        outcome, reason = steps.status(self._plane, step, result["Resource"])
        if outcome is not None:
            metadata = steps.final_metadata(self._plane, step, result["Resource"])
            if metadata is not None:
                self._record(step, Metadata=metadata)
        if outcome == "Failed":
            self._attempt_failed(step, reason, retries.job_exception(reason))
        elif outcome is not None:
            self._end(step, outcome, reason)

    def _end(self, step: Step, status: str, reason: str = "") -> None:
        self._record(
            step,
            StepStatus=status,
            EndTime=self._plane.clock.now(),
            FailureReason=reason[: steps.MAX_REASON] or None,
        )
        log.info("step ended step=%s status=%s reason=%s", step.name, status, reason)
        if status == "Succeeded" and "CacheKey" in self._result(step):
            self._to_keep.append(step)

    def _keep_results(self) -> None:
        """For reuse; what waits for these steps has been started first, it needs longer."""
        while self._to_keep:
            step = self._to_keep.pop()
            try:
                cached_results.keep(self._plane, self._row, step, self._result(step))
            except StorageError as error:
                log.warning("result not kept for reuse step=%s reason=%s", step.name, error)

    def _refused(self, step: Step, error: ApiError) -> None:
        exception = retries.CALL_FAILURES.get(error.code)
        if exception is None and error.status >= 500:
            exception = "Step.SERVICE_FAULT"
        origin = "InternalServerError" if exception == "Step.SERVICE_FAULT" else "ClientError"
        self._attempt_failed(step, f"{origin}: {error.code}: {error.message}", exception)

    def _attempt_failed(self, step: Step, reason: str, exception: str | None) -> None:
        """Plan another attempt if a retry policy says so; else the step has failed."""
        result = self._result(step)
        may_retry = bool(step.type.retry) and not self._stopping
        policy = retries.policy_for(step.retries, exception) if may_retry else None
        if policy is None:
            self._end(step, "Failed", reason)
            return
        spent = dict(result.get("Retries", {}))
        used = ",".join(policy.exception_types)
        now = self._plane.clock.now()
        due = retries.retry_at(policy, spent.get(used, 0), result["StartTime"], now)
        if due is None:
            self._end(step, "Failed", reason)
            return
        spent[used] = spent.get(used, 0) + 1
        self._record(step, StepStatus="Starting", RetryAt=due, Retries=spent, LastFailure=reason)
        log.warning("step failed, trying again step=%s at=%s reason=%s", step.name, due, reason)

    def _adopt(self, step: Step) -> None:
        """Take over a step that a former life of the server was about to start, or had started."""
        result = self._result(step)
        if "RetryAt" in result:
            return
        name = result.get("Resource")
        arn = steps.arn_if_launched(self._plane, step, name, result["StartTime"]) if name else None
        if arn is not None:
            self._executing(step, str(name), arn)
        elif not self._stopping:
            self._attempt(step)

    # Ending

    def _stop_running(self) -> None:
        for step in self._active():
            result = self._result(step)
            if result["StepStatus"] == "Starting":
                self._end(step, "Stopped", result.get("LastFailure", ""))
            elif step.name not in self._asked_to_stop:
                self._ask_to_stop(step, result)

    def _ask_to_stop(self, step: Step, result: dict[str, Any]) -> None:
        """Once in each life of the server: the last one may have been killed before it asked."""
        self._asked_to_stop.add(step.name)
        self._record(step, StepStatus="Stopping")
        if iterations.is_loop(step):
            return  # its children are stopped as any step
        try:
            steps.stop(self._plane, step, result["Resource"])
        except ApiError as error:
            # It has just ended by itself; _observe finds out how. Or it was asked before.
            log.info("step not stopped step=%s reason=%s", step.name, error.message)

    def _end_loops(self) -> bool:
        """End every ForEach whose iterations are over; True when there was one."""
        loops = [
            step
            for step in self._active()
            if iterations.is_loop(step) and "Items" in self._result(step)
        ]
        ready = self._ready() if loops else []
        ended = [
            each
            for each in loops
            if iterations.over(self._definition, each.name, self._statuses, ready)
        ]
        for step in ended:
            scope = self._values.scope(self._row, step)
            metadata, status, reason = iterations.ending(
                self._definition, step, self._row["Steps"], self._stopping, scope.step
            )
            self._record(step, Metadata=metadata)
            self._end(step, status, reason)
        return bool(ended)

    def _settle(self) -> bool:
        if self._active():
            return False
        results = self._row["Steps"]
        status, reason = verdict.of(self._definition, results, self._stopping)
        transition(self._plane, pipeline_rows.EXECUTION, self._arn, status, FailureReason=reason)
        log.info("execution ended arn=%s status=%s reason=%s", self._arn, status, reason)
        return True
