"""Pipeline parameters: declaration, types, defaults, enums."""

from typing import Any

import pytest

from local_sagemaker.engine.parameters import Parameter, ParameterError, declare, resolve


def values(declared: list[dict[str, Any]], **given: str) -> dict[str, Any]:
    texts = [{"Name": name, "Value": text} for name, text in given.items()]
    return resolve(tuple(map(declare, declared)), texts)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("String", "5", "5"),
        ("Integer", "5", 5),
        ("Float", "5", 5.0),
        ("Float", "1e-3", 0.001),
        ("Boolean", "True", True),
        ("Boolean", "false", False),
    ],
)
def test_texts_become_the_declared_type(kind: str, text: str, value: Any) -> None:
    found = values([{"Name": "P", "Type": kind}], P=text)["P"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("Integer", "5.5"), ("Integer", "x"), ("Float", "nan"), ("Float", ""), ("Boolean", "yes")],
)
def test_a_text_of_another_type_is_refused(kind: str, text: str) -> None:
    with pytest.raises(ParameterError, match=f"parameter 'P' is {kind}, which cannot be '{text}'"):
        values([{"Name": "P", "Type": kind}], P=text)


def test_defaults_fill_what_is_not_given() -> None:
    declared = [{"Name": "A", "Type": "Integer", "DefaultValue": 3}, {"Name": "B", "Type": "Float"}]
    assert values(declared, B="2") == {"A": 3, "B": 2.0}


def test_false_and_zero_are_defaults_too() -> None:
    declared = [
        {"Name": "A", "Type": "Integer", "DefaultValue": 0},
        {"Name": "B", "Type": "Boolean", "DefaultValue": False},
        {"Name": "C", "Type": "String", "DefaultValue": ""},
    ]
    assert values(declared) == {"A": 0, "B": False, "C": ""}


def test_all_missing_parameters_are_named() -> None:
    with pytest.raises(ParameterError, match="must be given: A, B"):
        values([{"Name": "B", "Type": "String"}, {"Name": "A", "Type": "String"}])


def test_an_undeclared_parameter_gets_a_hint() -> None:
    with pytest.raises(ParameterError, match=r"'Rowss' is not declared.*did you mean 'Rows'"):
        values([{"Name": "Rows", "Type": "Integer", "DefaultValue": 1}], Rowss="2")


def test_a_parameter_given_twice_is_refused() -> None:
    twice = [{"Name": "P", "Value": "1"}, {"Name": "P", "Value": "2"}]
    with pytest.raises(ParameterError, match="given twice"):
        resolve((Parameter("P", "String"),), twice)


def test_an_enum_limits_values_and_default() -> None:
    entry = {"Name": "P", "Type": "String", "EnumValues": ["a", "b"]}
    assert values([entry], P="a") == {"P": "a"}
    with pytest.raises(ParameterError, match="allowed is a, b"):
        values([entry], P="c")
    with pytest.raises(ParameterError, match="allowed is a, b"):
        declare({**entry, "DefaultValue": "c"})


@pytest.mark.parametrize("entry", [{}, {"Name": "P"}, {"Name": "P", "Type": "List"}, "P"])
def test_a_bad_declaration_is_refused(entry: Any) -> None:
    with pytest.raises(ParameterError):
        declare(entry)
