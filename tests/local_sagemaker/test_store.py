"""The store, paging and the lifecycle: pure, without a server."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_sagemaker import boot, lifecycle, paging
from local_sagemaker.clock import FakeClock
from local_sagemaker.errors import ApiError
from local_sagemaker.events import Bus, Change
from local_sagemaker.plane import Plane
from local_sagemaker.store import Duplicate, Missing, Store
from local_sagemaker.store_schema import OtherVersion
from tests.local_sagemaker.conftest import free_port

KEYS = {"CreationTime": "CreationTime", "Name": "TrainingJobName"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state.sqlite")
    yield made
    made.close()


@pytest.fixture
def plane(store: Store) -> Plane:
    return cast("Plane", SimpleNamespace(store=store, clock=FakeClock(100.0), bus=Bus()))


def job(name: str, status: str = "InProgress", created: float = 1.0) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:{name}",
        "TrainingJobStatus": status,
        "CreationTime": created,
    }


def test_what_was_inserted_is_there_after_reopening(tmp_path: Path) -> None:
    first = Store(tmp_path / "s")
    first.insert("training-job", "x", job("x"), tags=[{"Key": "a", "Value": "1"}])
    # Not closed: as after kill -9.
    second = Store(tmp_path / "s")
    assert second.get("training-job", "x") == job("x")
    assert second.find_arn("ARN:X") == ("training-job", "x", job("x"))
    assert second.tags("arn:x") == [{"Key": "a", "Value": "1"}]
    assert second.story("training-job", "x") == [(1.0, "InProgress", "")]
    first.close()
    second.close()


def test_names_and_arns_are_unique(store: Store) -> None:
    store.insert("training-job", "x", job("x"))
    with pytest.raises(Duplicate):
        store.insert("training-job", "x", job("x"))
    with pytest.raises(Duplicate):
        store.insert("training-job", "y", job("y") | {"TrainingJobArn": "ARN:X"})
    assert [row["TrainingJobName"] for row in store.rows("training-job")] == ["x"]


def test_an_edit_that_fails_changes_nothing(store: Store) -> None:
    store.insert("training-job", "x", job("x"))

    def fail(row: dict[str, Any]) -> dict[str, Any]:
        row["Half"] = True
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        store.edit("training-job", "x", fail)
    assert store.get("training-job", "x") == job("x")
    with pytest.raises(Missing, match="no training-job 'y'"):
        store.edit("training-job", "y", lambda row: row)


def test_edits_from_many_threads_lose_nothing(store: Store) -> None:
    store.insert("counter", "x", {"N": 0})

    def count() -> None:
        for _ in range(50):
            store.edit("counter", "x", lambda row: {"N": row["N"] + 1})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get("counter", "x") == {"N": 200}


def test_deleting_takes_tags_and_story_along(store: Store) -> None:
    store.insert("training-job", "x", job("x"), tags=[{"Key": "a", "Value": "1"}])
    store.delete("training-job", "x")
    store.insert("training-job", "x", job("x", created=5.0))
    assert store.tags("arn:x") == []
    assert store.story("training-job", "x") == [(5.0, "InProgress", "")]


def test_a_transition_is_stored_told_and_remembered(plane: Plane) -> None:
    plane.store.insert("training-job", "x", job("x"))
    told: list[Change] = []
    plane.bus.subscribe(told.append)
    row = lifecycle.transition(plane, "training-job", "x", "Failed", FailureReason="no luck")
    assert (row["TrainingJobStatus"], row["LastModifiedTime"]) == ("Failed", 100.0)
    assert plane.store.get("training-job", "x") == row
    assert told == [Change("training-job", "x", "InProgress", "Failed", row)]
    assert plane.store.story("training-job", "x")[-1] == (100.0, "Failed", "no luck")


def test_an_illegal_transition_tells_the_story_and_changes_nothing(plane: Plane) -> None:
    plane.store.insert("training-job", "x", job("x"))
    lifecycle.transition(plane, "training-job", "x", "Completed")
    with pytest.raises(lifecycle.IllegalTransition, match="so far: InProgress -> Completed"):
        lifecycle.transition(plane, "training-job", "x", "Failed")
    assert (plane.store.get("training-job", "x") or {})["TrainingJobStatus"] == "Completed"


def test_a_subscriber_that_fails_stops_nobody(
    plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    plane.store.insert("training-job", "x", job("x"))
    told: list[str] = []
    plane.bus.subscribe(lambda _: 1 / 0)
    unsubscribe = plane.bus.subscribe(lambda change: told.append(change.after_status))
    lifecycle.transition(plane, "training-job", "x", "Stopping")
    unsubscribe()
    lifecycle.transition(plane, "training-job", "x", "Stopped")
    assert told == ["Stopping"]
    assert "ZeroDivisionError" in caplog.text


def test_the_filters_of_list_operations(store: Store) -> None:
    for created, name in enumerate(("alpha", "Beta", "alphabet"), start=1):
        store.insert(
            "training-job", name, job(name, "Failed" if created == 3 else "InProgress", created)
        )
    questions: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["alpha", "Beta", "alphabet"]),
        ({"NameContains": "ALPHA"}, ["alpha", "alphabet"]),
        ({"StatusEquals": "Failed"}, ["alphabet"]),
        ({"CreationTimeAfter": 2}, ["Beta", "alphabet"]),
        ({"CreationTimeBefore": 2}, ["alpha", "Beta"]),
        ({"SortBy": "Name", "SortOrder": "Descending"}, ["alphabet", "alpha", "Beta"]),
    ]
    for question, expected in questions:
        rows, token = store.page("training-job", question, sort_keys=KEYS)
        assert ([row["TrainingJobName"] for row in rows], token) == (expected, None), question


def test_sorting_by_what_is_not_offered_names_what_is(store: Store) -> None:
    with pytest.raises(
        ApiError, match="'Size' is not supported; it may be one of: CreationTime, Name"
    ):
        store.page("training-job", {"SortBy": "Size"}, sort_keys=KEYS)


SPEC = paging.Spec("Name", None, {"Value": "Value"}, "Ascending", 10)
rows = st.lists(st.integers(0, 5) | st.none(), max_size=30).map(
    lambda values: [(n, {"Name": str(n), "Value": v}) for n, v in enumerate(values)]
)


@settings(max_examples=100, deadline=None)
@given(
    rows=rows,
    size=st.integers(1, 7),
    order=st.sampled_from(["Ascending", "Descending"]),
    data=st.data(),
)
def test_pages_give_every_row_once_in_order_while_others_vanish(
    rows: list[tuple[int, dict[str, Any]]], size: int, order: str, data: st.DataObject
) -> None:
    whole, token = paging.page(rows, {"SortOrder": order, "MaxResults": 1000}, SPEC)
    assert token is None
    given: list[dict[str, Any]] = []
    gone: set[str] = set()
    request: dict[str, Any] = {"SortOrder": order, "MaxResults": size}
    while True:
        left = [item for item in rows if item[1]["Name"] not in gone]
        page, token = paging.page(left, request, SPEC)
        assert len(page) <= size
        given += page
        if token is None:
            break
        request["NextToken"] = token
        gone.add(data.draw(st.sampled_from([item[1]["Name"] for item in rows])))
    names = [row["Name"] for row in given]
    assert len(names) == len(set(names))
    assert [row for row in whole if row in given] == given
    assert {row["Name"] for row in whole} - set(names) <= gone


@given(token=st.text(max_size=40))
def test_no_invented_token_is_taken(token: str) -> None:
    with pytest.raises(ApiError, match="NextToken"):
        paging.page([], {"NextToken": token}, SPEC)


def test_a_token_belongs_to_its_question() -> None:
    rows = [(n, {"Name": str(n), "Value": n}) for n in range(5)]
    _, token = paging.page(rows, {"MaxResults": 2}, SPEC)
    assert paging.page(rows, {"MaxResults": 4, "NextToken": token}, SPEC)[0][0]["Name"] == "2"
    with pytest.raises(ApiError, match="was not given for this request"):
        paging.page(rows, {"NameContains": "1", "NextToken": token}, SPEC)


def test_writes_together_are_one_transaction(store: Store) -> None:
    def both() -> None:
        with store.together():
            store.insert("model", "a", {"ModelName": "a"})
            with store.together():
                store.insert("model", "b", {"ModelName": "b"})
            raise KeyError("the server's end")

    with pytest.raises(KeyError):
        both()
    assert store.rows("model") == []
    with store.together():
        store.insert("model", "a", {"ModelName": "a"})
    assert [row["ModelName"] for row in store.rows("model")] == ["a"]


def execution(**steps: str) -> dict[str, Any]:
    return {
        "PipelineExecutionArn": "arn:e",
        "PipelineExecutionStatus": "Executing",
        "CreationTime": 1.0,
        "Steps": {name: {"StepStatus": status} for name, status in steps.items()},
    }


KIND = "pipeline-execution"


def test_a_step_is_written_alone_and_read_with_its_execution(store: Store) -> None:
    store.insert(KIND, "arn:e", execution(b="Executing"))
    head, part = store.edit_part(KIND, "arn:e", "a", lambda _: {"StepStatus": "Starting"})
    store.edit_part(KIND, "arn:e", "b", lambda was: {**was, "StepStatus": "Succeeded"})
    assert "Steps" not in head
    assert part == {"StepStatus": "Starting"}
    whole = execution(b="Succeeded", a="Starting")
    assert store.get(KIND, "arn:e") == whole
    assert store.find_arn("arn:e") == (KIND, "arn:e", whole)
    assert store.rows(KIND) == [whole]
    assert list(whole["Steps"]) == list(store.rows(KIND)[0]["Steps"]) == ["b", "a"]


def test_an_edit_of_an_execution_may_change_add_and_remove_steps(store: Store) -> None:
    store.insert(KIND, "arn:e", execution(a="Failed", b="Succeeded", c="Succeeded"))
    wanted = execution(b="Succeeded", c="Failed", d="Starting")
    assert store.edit(KIND, "arn:e", lambda _: wanted) == wanted
    assert store.get(KIND, "arn:e") == wanted


def test_the_steps_of_an_execution_go_with_it(store: Store) -> None:
    store.insert(KIND, "arn:e", execution(a="Failed"))
    store.delete(KIND, "arn:e")
    store.insert(KIND, "arn:e", execution())
    assert store.get(KIND, "arn:e") == execution()
    with pytest.raises(Missing):
        store.edit_part(KIND, "arn:other", "a", lambda was: was)


def test_a_state_without_a_version_is_brought_up_to_date(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "s")) as db, db:
        db.execute(
            "CREATE TABLE resources (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,"
            " name TEXT NOT NULL COLLATE NOCASE, arn TEXT COLLATE NOCASE, body TEXT NOT NULL,"
            " UNIQUE (kind, name))"
        )
        db.execute(
            "INSERT INTO resources (kind, name, arn, body) VALUES (?, 'arn:e', 'arn:e', ?)",
            (KIND, json.dumps(execution(b="Succeeded", a="Failed"))),
        )
    for _ in range(2):
        opened = Store(tmp_path / "s")
        assert opened.get(KIND, "arn:e") == execution(b="Succeeded", a="Failed")
        assert "Steps" not in (opened.head(KIND, "arn:e") or {"Steps": "?"})
        opened.close()


def test_a_state_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    Store(tmp_path / "s").close()
    with contextlib.closing(sqlite3.connect(tmp_path / "s")) as db, db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(OtherVersion, match=r"version 99.*local_sagemaker reset"):
        Store(tmp_path / "s")


def test_up_says_what_to_do_with_a_home_of_a_newer_version(tmp_path: Path) -> None:
    Store(tmp_path / boot.STATE).close()
    with contextlib.closing(sqlite3.connect(tmp_path / boot.STATE)) as db, db:
        db.execute("PRAGMA user_version = 99")
    command = [sys.executable, "-m", "local_sagemaker", "up", "--s3-endpoint", "http://127.0.0.1:9"]
    environment = {**os.environ, "LOCAL_SAGEMAKER_HOME": str(tmp_path)}
    done = subprocess.run(
        [*command, "--port", str(free_port())],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "written by a newer local SageMaker" in done.stderr
    assert "python -m local_sagemaker reset" in done.stderr
