"""Every deploy command that takes --dry-run, run against an AWS that can only be read: it changes
nothing, ends with 0, and each request that it shows is one that AWS would take.

A new command is found here without being named. Where it needs arguments, or other facts than those
of tests/deploy/answers.py, it needs a row in COMMANDS; without, the test says which.
"""

import argparse
import importlib
import json
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import boto3
import pytest

import deploy
from deploy import check
from deploy.rules import Request
from tests.deploy.answers import ARN, INSTANCES, LIVE, NOW, ROLE, readable_aws


@dataclass(frozen=True)
class Row:
    """arguments: besides --dry-run, --target and --json. facts: see answers.py. files: text by
    name, in the working directory of the command.
    """

    arguments: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


TWO = {
    "describe_endpoint_config": {
        "ProductionVariants": [
            {"VariantName": name, "ModelName": f"engagement-{name}", **INSTANCES} for name in "AB"
        ]
    },
    "describe_endpoint": {
        "ProductionVariants": [{"VariantName": name, "DesiredWeight": 1.0, **LIVE} for name in "AB"]
    },
}
CAPTURED = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://bucket/captured",
    "CaptureOptions": [{"CaptureMode": "Output"}],
}
SCALED = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/engagement/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    "MinCapacity": 1,
    "MaxCapacity": 2,
    "RoleARN": ROLE,
    "CreationTime": NOW,
}
UNUSED = {
    "ModelName": "engagement-v1-abcdef",
    "ModelArn": ARN.format("model"),
    "CreationTime": NOW,
}
# Requests, errors and latency of A, then of B, which has no errors where A has many.
MINUTES = [NOW + timedelta(minutes=each) for each in range(5)]
SERIES = {"q0": 4000.0, "q1": 2000.0, "q2": 9000.0, "q3": 4000.0, "q4": 0.0, "q5": 9000.0}
SEEN = [{"Id": name, "Timestamps": MINUTES, "Values": [v] * 5} for name, v in SERIES.items()]

COMMANDS: dict[str, Row] = {
    "autoscaling remove": Row(
        facts={
            "describe_scalable_targets": {"ScalableTargets": [SCALED]},
            "describe_scaling_policies": {"ScalingPolicies": []},
            "describe_scheduled_actions": {"ScheduledActions": []},
        }
    ),
    "capture off": Row(facts={"describe_endpoint_config": {"DataCaptureConfig": CAPTURED}}),
    "endpoint garbage": Row(
        "--delete",
        {"list_endpoints": {"Endpoints": []}, "list_models": {"Models": [UNUSED]}},
    ),
    "experiment": Row(
        "--act --champion A --challenger B --since 2025-12-31T00:00:00",
        {**TWO, "get_metric_data": {"MetricDataResults": SEEN}},
    ),
    "ground_truth put": Row(
        "--labels labels.csv --to s3://bucket/truth",
        files={"labels.csv": "inference_id,engagement_score\na,0.5\n"},
    ),
    "rollback to": Row("v2"),
    "variants promote": Row("AllTraffic"),
    "variants split": Row("A=80 B=20"),
    "variants shadow": Row("on"),
    "variants shift": Row("--to B", TWO),
    "endpoint deploy": Row(
        "--instance-type ml.c5.xlarge",
        {
            "describe_scalable_targets": {"ScalableTargets": [SCALED]},
            "describe_scaling_policies": {"ScalingPolicies": []},
            "describe_scheduled_actions": {"ScheduledActions": []},
        },
    ),
    "endpoint delete": Row(),
    "registry approve": Row(facts={"ModelApprovalStatus": "PendingManualApproval"}),
    "registry reject": Row(),
}


class Found(NamedTuple):
    """One command: its name in COMMANDS, its module, its words, what it must be given."""

    name: str
    module: Any
    words: list[str]
    needed: list[str]


class _ParserError(Exception):
    """Carries the parser out of main()."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__(parser.prog)
        self.parser = parser


def commands() -> Iterator[Found]:
    """Everything in deploy/ that takes --dry-run."""
    for info in pkgutil.iter_modules(deploy.__path__):
        module = importlib.import_module(f"deploy.{info.name}")
        if hasattr(module, "main"):
            for words, leaf in leaves(parser_of(module)):
                if "--dry-run" in leaf._option_string_actions:
                    name = " ".join([info.name, *words])
                    yield Found(name, module, words, needed(leaf))


def parser_of(module: Any) -> argparse.ArgumentParser:
    def stop(self: argparse.ArgumentParser, *_: Any) -> None:
        raise _ParserError(self)

    with patch.object(argparse.ArgumentParser, "parse_args", stop):
        try:
            module.main([])
        except _ParserError as carried:
            return carried.parser
    raise AssertionError(f"{module.__name__}.main() parses no arguments")


def leaves(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[list[str], argparse.ArgumentParser]]:
    """The subcommands, at any depth; the parser itself where it has none."""
    subs = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    if not subs:
        yield list(words), parser
    for action in subs:
        for word, sub in action.choices.items():
            yield from leaves(sub, (*words, word))


def needed(leaf: argparse.ArgumentParser) -> list[str]:
    """What the command line must hold, as its usage spells it."""
    alone = [each for each in leaf._actions if each.required and each.dest != "help"]
    groups = [g for g in leaf._mutually_exclusive_groups if g.required]
    return [_spelled(each) for each in alone] + [
        "|".join(_spelled(each) for each in group._group_actions) for group in groups
    ]


def _spelled(action: argparse.Action) -> str:
    return (
        action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest)
    )


FOUND = {each.name: each for each in commands()}


def test_every_row_is_of_a_command_that_exists() -> None:
    assert COMMANDS.keys() <= FOUND.keys()


@pytest.mark.parametrize("name", sorted(FOUND))
def test_a_dry_run_shows_requests_that_aws_would_take_and_sends_none(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = FOUND[name]
    if name not in COMMANDS and found.needed:
        pytest.fail(f"deploy.{name} needs {', '.join(found.needed)}: add a row to COMMANDS")
    row = COMMANDS.get(name, Row())
    for path, text in row.files.items():
        (tmp_path / path).write_text(text)
    put_in_place(monkeypatch, tmp_path, row)
    words = [*found.words, *row.arguments.split(), "--target", "aws", "--dry-run", "--json"]
    exit_code = found.module.main(words)
    said = capsys.readouterr()
    assert exit_code == 0, f"{said.err}\n{said.out}"
    shown = [Request(**each) for each in json.loads(said.out).get("requests", [])]
    assert shown, f"deploy.{name} shows no request: give its row facts that call for a change"
    for index, request in enumerate(shown):
        wrong = [each.text for each in check.problems(request, shown[:index])]
        assert not wrong, f"{request.operation}: {wrong}"


def put_in_place(monkeypatch: pytest.MonkeyPatch, folder: Path, row: Row) -> None:
    """An AWS that can be read, credentials of nobody, and no other way out of this process."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(boto3, "client", readable_aws(row.facts))
    variables = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "SAGEMAKER_PIPELINE_ROLE_ARN": "arn:aws:iam::111122223333:role/mlops",
    }
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
