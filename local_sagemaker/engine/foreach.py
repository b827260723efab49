"""The arguments of a ForEach step: how they may be written, and the items that they come to.

Pure, and about one ForEach step alone. What becomes of its body once the items are known is
iterations.py's; what must hold between its body and other steps is loop_rules.py's.
"""

import json
from typing import Any

from local_sagemaker.engine import paths
from local_sagemaker.engine.expressions import ExpressionError, as_text, expression

TYPE = "ForEach"
KEYS = ("IterableItems", "MaxConcurrency", "Selector", "ForEachBody")
MOST_ITEMS = 100
MOST_CONCURRENT = 50
LONGEST_ITEM = 12_800  # IterationContext.Item
PICKS = ("MaxBy", "MinBy")
BARRED = ("Condition", "Fail", "ForEach")  # from a ForEachBody, as in AWS's SDK
_FIELD = "IterationOutput"
_SHOWN = 100


class ForEachError(ExpressionError):
    """A ForEach step that is written wrongly, or whose items cannot be iterated over."""


def check(arguments: dict[str, Any]) -> None:
    """Raises ForEachError unless these are arguments of a ForEach step."""
    unknown = [key for key, value in arguments.items() if value is not None and key not in KEYS]
    if unknown:
        raise ForEachError(f"Arguments: {unknown[0]} is unknown; there is {', '.join(KEYS)}")
    _check_items(arguments.get("IterableItems"))
    most = arguments.get("MaxConcurrency")
    if type(most) is not int or not 1 <= most <= MOST_CONCURRENT:
        raise ForEachError(
            f"MaxConcurrency must be a whole number from 1 to {MOST_CONCURRENT}, not {most!r}"
        )
    _check_body(arguments.get("ForEachBody"))
    if arguments.get("Selector") is not None:
        selected(arguments["Selector"])


def selected(selector: Any) -> tuple[str, str, paths.Path]:
    """(Pick, body step, path of the compared member) of a Selector. Raises ForEachError."""
    if not isinstance(selector, dict) or set(selector) != {"Pick", "Field"}:
        raise ForEachError(f'Selector takes {{"Pick": ..., "Field": ...}}, not {selector!r}')
    if selector["Pick"] not in PICKS:
        raise ForEachError(f"Selector: Pick {selector['Pick']!r} is not one of {', '.join(PICKS)}")
    found = expression(selector["Field"])
    if found is None or found[0] != "Get" or not isinstance(found[1], str):
        raise _bad_field(selector["Field"])
    try:
        root, body, *path = paths.parse(found[1])
    except ValueError:  # it cannot be read, or is too short
        raise _bad_field(selector["Field"]) from None
    if root != _FIELD or not isinstance(body, str) or not path:
        raise _bad_field(selector["Field"])
    return selector["Pick"], body, tuple(path)


def items(value: Any) -> list[Any]:
    """The items that IterableItems has come to: a list, or the text of one as JSON. Raises
    ForEachError naming what cannot be iterated over.
    """
    found = _from_json(value) if isinstance(value, str) else value
    if not isinstance(found, list):
        raise ForEachError(f"IterableItems came to {_shown(value)}, which is not a JSON list")
    if not 1 <= len(found) <= MOST_ITEMS:
        raise ForEachError(
            f"IterableItems came to {len(found)} items ({_shown(value)}); "
            f"there must be 1 to {MOST_ITEMS}"
        )
    for position, item in enumerate(found):
        _check_item(position, item)
    return found


def _check_items(value: Any) -> None:
    if expression(value) is not None:
        return
    if not isinstance(value, list):
        raise ForEachError(
            "IterableItems must be a reference to a JSON list, or a list of texts, numbers, "
            f"booleans and references, not {_shown(value)}"
        )
    if not 1 <= len(value) <= MOST_ITEMS:
        raise ForEachError(f"IterableItems has {len(value)} items; there must be 1 to {MOST_ITEMS}")
    for position, item in enumerate(value):
        if expression(item) is None and not isinstance(item, str | int | float):
            raise ForEachError(
                f"IterableItems[{position}] must be a text, a number, a boolean or a reference, "
                f"not {_shown(item)}; write an object as its JSON text"
            )


def _check_item(position: int, item: Any) -> None:
    if not isinstance(item, str | int | float | dict):
        raise ForEachError(
            f"IterableItems[{position}] came to {_shown(item)}; an item must be a text, a number, "
            "a boolean or an object"
        )
    if len(as_text(item)) > LONGEST_ITEM:
        raise ForEachError(
            f"IterableItems[{position}] has {len(as_text(item))} characters ({_shown(item)}); "
            f"{LONGEST_ITEM} may be"
        )


def _check_body(body: Any) -> None:
    if not isinstance(body, list) or not body:
        raise ForEachError(f"ForEachBody must be a list with at least one step, not {_shown(body)}")
    for entry in body:
        if isinstance(entry, dict) and entry.get("Type") in BARRED:
            raise ForEachError(
                f"a ForEachBody cannot hold the {entry['Type']} step {entry.get('Name')!r}; "
                f"no {', '.join(BARRED)} may stand in it"
            )


def _from_json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ForEachError(
            f"IterableItems came to {_shown(text)}, which is not a JSON list: {error}"
        ) from None


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _bad_field(field: Any) -> ForEachError:
    return ForEachError(
        f'Selector: Field must be {{"Get": "{_FIELD}.<body step>.<member>"}}, not {field!r}'
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
