"""The command line: what it refuses, and that the templates' flags mean what they meant."""

from typing import Any

import pytest

from pipelines import options
from pipelines.modules import UsageError

DECLARED: list[dict[str, Any]] = [
    {"Name": "InputDataUri", "Type": "String", "DefaultValue": "s3://b/x"},
    {"Name": "GateChurn", "Type": "Float", "DefaultValue": 0.8},
    {"Name": "Count", "Type": "Integer", "DefaultValue": 1},
    {
        "Name": "ModelApprovalStatus",
        "Type": "String",
        "DefaultValue": "Approved",
        "EnumValues": ["Approved", "Rejected"],
    },
]


def test_the_templates_spelling_is_understood() -> None:
    args = options.parse(
        ["-n", "m", "-kwargs", "{}", "-role-arn", "r", "-description", "d", "-tags", "[]"], "aws"
    )
    found = (args.module_name, args.kwargs, args.role_arn, args.description, args.tags)
    assert found == ("m", "{}", "r", "d", "[]")
    assert args.target == "aws"


def test_parameters_may_hold_equals_signs() -> None:
    chosen = options.start_parameters(DECLARED, ["InputDataUri=s3://b/a=1/", "GateChurn=0.5"])
    assert chosen == {"InputDataUri": "s3://b/a=1/", "GateChurn": "0.5"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("Gate=1", "--param Gate: allowed names: Count, GateChurn"),
        ("GateChurn", "write it as Name=Value"),
        ("GateChurn=high", r"allowed: a number \(Float\)"),
        ("Count=1.5", r"allowed: a number \(Integer\)"),
        ("ModelApprovalStatus=Yes", "allowed: Approved, Rejected"),
    ],
)
def test_a_wrong_parameter_is_refused_with_what_is_allowed(given: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        options.start_parameters(DECLARED, [given])


def test_a_parameter_without_default_must_be_given() -> None:
    declared = [{"Name": "InputDataUri", "Type": "String"}]
    with pytest.raises(UsageError, match="Give --param InputDataUri="):
        options.start_parameters(declared, [])
    assert options.start_parameters(declared, ["InputDataUri=s3://b/x"])


@pytest.mark.parametrize(
    "argv",
    [
        ["--rows", "0"],
        ["--parallel", "-1"],
        ["--target", "moon"],
        ["--ro", "5"],
        ["--budget", "0"],
        ["--budget", "nan"],
    ],
)
def test_bad_usage_exits_with_two(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        options.parse(argv, "local")
    assert caught.value.code == 2
    assert capsys.readouterr().err
