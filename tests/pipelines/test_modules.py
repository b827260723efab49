"""Pipeline modules of SageMaker's templates: found, called and tagged as the templates do."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pipelines import get_pipeline_definition, modules
from pipelines.modules import UsageError


@pytest.fixture
def abalone(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A template's module, as `pipelines.abalone.pipeline` would be."""
    module = ModuleType("a_template")

    def get_pipeline(region: str, role: str | None = None, flag: Any = None) -> Any:
        text = f'{{"Parameters": [], "Steps": [], "said": "{region} {role} {flag}"}}'
        return SimpleNamespace(name="abalone", definition=lambda: text)

    module.get_pipeline = get_pipeline  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_template", module)
    return module


def test_kwargs_win_over_what_we_offer_and_unknown_offers_are_withheld(abalone: ModuleType) -> None:
    offered = {"region": "offered", "role": "offered", "compile_only": True}
    pipeline = modules.get_pipeline(abalone, {"region": "given"}, offered)
    assert "given offered None" in pipeline.definition()


@pytest.mark.parametrize(
    "text",
    [
        "{'flag': True, 'region': None}",
        '{"flag": true, "region": null}',
    ],
)
def test_kwargs_are_python_or_json(text: str) -> None:
    assert modules.mapping(text, "--kwargs") == {"flag": True, "region": None}


@pytest.mark.parametrize("text", ["[1]", "region=x", "{"])
def test_other_kwargs_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="--kwargs is "):
        modules.mapping(text, "--kwargs")


def test_tags_are_key_value_pairs() -> None:
    assert modules.tags('[{"Key": "a", "Value": "b"}]', "--tags") == [{"Key": "a", "Value": "b"}]
    for wrong in ('{"a": "b"}', '[{"a": "b"}]', '["a"]'):
        with pytest.raises(UsageError, match="--tags is "):
            modules.tags(wrong, "--tags")


def test_a_module_that_does_not_exist_is_bad_usage() -> None:
    for name in ("no_such_module", "pipelines.no_such_module"):
        with pytest.raises(UsageError, match=f"--module-name {name}: there is no module {name}"):
            modules.load(name)


def test_a_module_that_makes_no_pipeline_is_bad_usage() -> None:
    with pytest.raises(UsageError, match="has no function get_pipeline"):
        modules.load("json")


def test_a_module_without_the_hook_keeps_the_tags(abalone: ModuleType) -> None:
    tags = [{"Key": "a", "Value": "b"}]
    assert modules.custom_tags(abalone, tags, {}) == tags


def test_the_hook_sees_region_and_project(abalone: ModuleType) -> None:
    abalone.get_pipeline_custom_tags = lambda tags, region, arn: [*tags, (region, arn)]  # type: ignore[attr-defined]
    kwargs = {"region": "eu-west-1", "sagemaker_project_arn": "arn"}
    assert modules.custom_tags(abalone, [], kwargs) == [("eu-west-1", "arn")]


def test_the_definition_is_printed_or_written(
    abalone: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    command = ["-n", "a_template", "-kwargs", "{'region': 'r'}"]
    assert get_pipeline_definition.main(command) == 0
    printed = capsys.readouterr().out
    assert '"said": "r None None"' in printed
    path = tmp_path / "definition.json"
    assert get_pipeline_definition.main([*command, "-f", str(path)]) == 0
    assert path.read_text() == printed.strip()


def test_a_definition_of_nothing_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert get_pipeline_definition.main([]) == 2
    assert "--module-name" in capsys.readouterr().out
    assert get_pipeline_definition.main(["-n", "no_such_module"]) == 2
