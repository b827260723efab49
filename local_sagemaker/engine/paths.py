"""Paths into JSON documents: `Steps.Prep.ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri`.

Lives here: reading such a path into segments, and following it. `Get` references and the JsonPath
of `Std:JsonGet` (with or without a leading `$`) share this grammar. What a path's first words mean
(`Parameters`, `Steps` ...) is expressions.py's business.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

Segment = str | int
Path = tuple[Segment, ...]

# The member by which AWS addresses an entry of a list by name, e.g. Outputs['train'] is the
# OutputName.
LIST_NAMES = (
    "OutputName",
    "InputName",
    "ChannelName",
    "MetricName",
    "VariantName",
    "ContainerHostname",
    "Name",
    "Key",
)

_TOKEN = re.compile(
    r"""\.?(?P<word>[^.\[\]'"\s]+)|\['(?P<single>[^']*)'\]|\["(?P<double>[^"]*)"\]|\[(?P<index>\d+)\]"""
)


class PathError(ValueError):
    """A path that cannot be read, or that leads nowhere."""


def parse(text: str) -> Path:
    """`a.b['c'][0]` -> ("a", "b", "c", 0). Raises PathError naming the bad place."""
    segments: list[Segment] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or (position and match["word"] and text[position] != "."):
            raise PathError(
                f"'{text}' cannot be read at character {position + 1} ('{text[position:]}'); "
                "write members as a.b, list entries as [0] and names as ['name']"
            )
        segments.append(_segment(match))
        position = match.end()
    if not segments or text.startswith("."):
        raise PathError(f"'{text}' is not a path; write for example a.b['c'][0]")
    return tuple(segments)


def parse_json_path(text: str) -> Path:
    """The `Path` of Std:JsonGet: plain members and indexes; `$` alone is all."""
    rest = text.removeprefix("$")
    return parse(rest.removeprefix(".")) if rest else ()


def write(path: Sequence[Segment]) -> str:
    """The text of a path: ("a", "b c", 0) -> `a['b c'][0]`."""
    text = ""
    for segment in path:
        if isinstance(segment, int):
            text += f"[{segment}]"
        elif re.fullmatch(r"[A-Za-z0-9_\-]+", segment):
            text += f".{segment}" if text else segment
        else:
            text += f'["{segment}"]' if "'" in segment else f"['{segment}']"
    return text


def follow(document: Any, path: Sequence[Segment]) -> Any:
    """The value at `path`. Raises PathError saying where the path ends and what is there."""
    here = document
    for depth, segment in enumerate(path):
        try:
            here = _member(here, segment)
        except PathError as error:
            place = f"at '{write(path[:depth])}'" if depth else "at the top"
            raise PathError(f"'{write(path)}' leads nowhere: {place} {error}") from None
    return here


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for a message about an unknown name: the closest known one, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"there is {', '.join(names)}" if names else "there is none"


def _segment(match: re.Match[str]) -> Segment:
    if match["index"] is not None:
        return int(match["index"])
    return next(
        part for part in (match["word"], match["single"], match["double"]) if part is not None
    )


def _member(here: Any, segment: Segment) -> Any:
    if isinstance(here, dict):
        if segment in here:
            return here[segment]
        raise PathError(f"is no '{segment}'; {did_you_mean(str(segment), map(str, here))}")
    if isinstance(here, list):
        return _entry(here, segment)
    raise PathError(f"is {here!r}, which has no members")


def _entry(entries: list[Any], segment: Segment) -> Any:
    if isinstance(segment, int):
        if segment < len(entries):
            return entries[segment]
        raise PathError(f"are {len(entries)} entries, so there is no [{segment}]")
    names = {_name_of(entry): entry for entry in entries}
    if segment in names:
        return names[segment]
    known = [name for name in names if name is not None]
    raise PathError(f"is no entry named '{segment}'; {did_you_mean(segment, known)}")


def _name_of(entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return None
    return next((str(entry[member]) for member in LIST_NAMES if member in entry), None)
