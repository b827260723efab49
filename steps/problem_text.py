"""The text side of the problem spec: YAML in, sentences out.

read_yaml gives the raw mapping that steps/problem.py checks; sentences turns what pydantic found
into lines that name the key, the value and what is allowed. What a spec may say is not decided
here.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml


class ProblemError(Exception):
    """The spec cannot be used; the message is the whole story."""


_PLAIN = {
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text (in quotes if it looks like a number)",
}


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in the file, columns and models as lists that carry their names."""
    try:
        raw = yaml.load(path.read_text("utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        advice = "write one with `python -m pipelines.new`"
        raise ProblemError(f"{path}: no such file; {advice}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ProblemError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ProblemError(f"{path}: {_yaml_trouble(error)}") from error
    if not isinstance(raw, dict):
        raise ProblemError(f"{path}: holds {shown(raw)}; allowed: keys like name, columns, models")
    return _with_names(raw, path)


class _Loader(yaml.SafeLoader):
    """Keys are taken as written (`true:` is a word), doubled keys are errors, 1e-3 is a number,
    and only true/false are booleans (`values: [Yes, No]` holds two words)."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way of naming them
        first: [pair for pair in pairs if pair[0].rpartition(":")[2] in ("int", "null", "merge")]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a word", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands here twice", key.start_mark
                )
            seen.add(key.value)
        self.flatten_mapping(node)
        return {key.value: self.construct_object(value, deep=True) for key, value in node.value}


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?$"),
    list("-+.0123456789"),
)


def _with_names(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """The mappings of columns and models become lists whose members carry their name."""
    named = dict(raw)
    for key in ("columns", "models"):
        members = named.get(key, {})
        if not isinstance(members, dict):
            raise ProblemError(f"{path}: {key} is {shown(members)}; allowed: a mapping by name")
        for name, body in members.items():
            if not isinstance(body, dict) or "name" in body:
                raise ProblemError(
                    f"{path}: {key}.{name} is {shown(body)}; allowed: a mapping like "
                    f"{{kind: ...}}, its name is the key"
                )
        if key in named:
            named[key] = [{"name": name, **body} for name, body in members.items()]
    return named


def sentences(details: Sequence[Any], raw: Any) -> list[str]:
    """One line per mistake; `details` are pydantic's, `raw` is what it was given."""
    return [_sentence(detail, raw) for detail in details]


def _sentence(detail: Any, raw: Any) -> str:
    where = _key_path(detail["loc"], raw)
    if detail["type"] == "missing":
        return f"{where} is missing"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return f"{where}: {message}" if where else message
    rule = _PLAIN.get(detail["type"], message.replace("Input should", "should"))
    return f"{where} is {shown(detail['input'])}; allowed: {rule.removeprefix('should be ')}"


def _key_path(loc: tuple[int | str, ...], raw: Any) -> str:
    """models.churn.rounds rather than models.0.rounds."""
    keys: list[str] = []
    for step in loc:
        raw = _inside(raw, step)
        name = raw.get("name") if isinstance(raw, dict) and len(keys) == 1 else None
        keys.append(str(step if name is None else name))
    return ".".join(keys)


def _inside(raw: Any, step: int | str) -> Any:
    try:
        return raw[step]
    except (KeyError, IndexError, TypeError):
        return None


def unknown(what: str, given: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(given, names, n=1)
    hint = f" did you mean {near[0]!r}?" if near else ""
    return f"{given!r} is not a known {what};{hint} {allowed(names)}"


def allowed(names: Iterable[str]) -> str:
    return f"allowed: {', '.join(names) or 'none'}"


def shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _yaml_trouble(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{where}not YAML: {getattr(error, 'problem', None) or error}"
