"""The main job, as `make run` does it: 100,000 customers, five models, one endpoint."""

import json
from typing import Any

import pytest

from steps.generate import best_reachable
from steps.problem import load
from tests.journeys.conftest import ROOT, Plane

pytestmark = pytest.mark.journey
PROBLEM = load(ROOT / "config/engagement.yaml")


@pytest.fixture(scope="module")
def first_run(plane: Plane) -> dict[str, Any]:
    done = plane.run("pipelines.run", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    return dict(json.loads(done.stdout))


def test_it_ends_with_a_registered_version_and_an_endpoint_that_answers(
    first_run: dict[str, Any],
) -> None:
    assert first_run["status"] == "Succeeded"
    assert first_run["model_package"]["approval"] == "Approved"
    assert first_run["endpoint"]["status"] == "InService"
    assert set(first_run["prediction"]["answer"]) == {model.name for model in PROBLEM.models}
    assert [model["passed"] for model in first_run["models"]] == [True] * len(PROBLEM.models)


def test_every_model_reaches_95_percent_of_what_the_data_allows(first_run: dict[str, Any]) -> None:
    generate = PROBLEM.data.generate
    assert generate is not None
    best = best_reachable(generate.rows, generate.seed)
    shares = {
        model["name"]: model["value"] / best[model["name"]][model["metric"]]
        for model in first_run["models"]
    }
    assert {name: share for name, share in shares.items() if share < 0.95} == {}


def test_the_second_run_reuses_every_job_and_says_so(
    plane: Plane, first_run: dict[str, Any]
) -> None:
    done = plane.run("pipelines.run")
    assert done.returncode == 0, done.stderr
    jobs = [step["name"] for step in first_run["steps"] if step["job"]]
    assert len(jobs) == 4 + len(PROBLEM.models)
    for name in jobs:
        assert name in done.stdout.rpartition("reused")[2] or f"{name} " in done.stdout
    again = json.loads(plane.run("pipelines.run", "--json").stdout)
    assert sorted(again["reused"]) == sorted(jobs)


def test_a_gate_that_fails_stops_with_the_numbers_and_registers_nothing(
    plane: Plane, first_run: dict[str, Any]
) -> None:
    def versions() -> int:
        return len(json.loads(plane.run("deploy.registry", "list", "--json").stdout)["versions"])

    before = versions()
    done = plane.run("pipelines.run", "--param", "GateChurn=0.99")
    assert done.returncode == 1
    value = next(m["value"] for m in first_run["models"] if m["name"] == "churn")
    assert f"{value:.4f}"[:5] in done.stdout + done.stderr
    assert "0.99" in done.stdout + done.stderr
    assert versions() == before


def test_a_version_waits_for_approval_then_is_deployed_answers_and_is_deleted(
    plane: Plane, first_run: dict[str, Any]
) -> None:
    waiting = json.loads(
        plane.run(
            "pipelines.run", "--json", "--param", "ModelApprovalStatus=PendingManualApproval"
        ).stdout
    )
    assert waiting["status"] == "Succeeded"
    assert waiting["endpoint"] is None
    version = str(waiting["model_package"]["version"])
    refused = plane.run("deploy.endpoint", "deploy", "--version", version)
    assert refused.returncode == 1
    assert "approve" in refused.stderr
    approved = plane.run("deploy.registry", "approve", "--version", version, "--reason", "reviewed")
    assert approved.returncode == 0, approved.stderr
    deployed = plane.run("deploy.endpoint", "deploy", "--version", version)
    assert deployed.returncode == 0, deployed.stderr
    row = first_run["prediction"]["features"]
    answer = plane.run("deploy.endpoint", "invoke", "--body", json.dumps(row))
    assert answer.returncode == 0, answer.stderr
    assert '"churn"' in answer.stdout
    again = plane.run("deploy.endpoint", "deploy", "--version", version)
    assert again.returncode == 0
    assert "already" in again.stdout
    assert plane.run("deploy.endpoint", "delete").returncode == 0
    assert plane.run("deploy.endpoint", "status").returncode == 1
