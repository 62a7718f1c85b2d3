"""YAML into plain values with the line of each, under caps: no aliases, no tags, no duplicate keys, bounded size.

PyYAML's own constructors are not used: they expand aliases, guess types as YAML 1.1 does (`no` is false, `1:30` is
ninety) and keep no lines. Scalars are read as the YAML 1.2 core schema reads them.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

MAX_BYTES = 256 * 1024
MAX_NODES = 10_000
MAX_DOCUMENTS = 1_000
MAX_DEPTH = 16
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\Z")
_FLOAT = re.compile(
    r"[-+]?(?:[0-9]{1,18}\.[0-9]{0,18}|\.[0-9]{1,18}|[0-9]{1,18}(?:\.[0-9]{0,18})?[eE][-+]?[0-9]{1,3})\Z"
)
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path = tuple[str | int, ...]


class SourceError(Exception):
    """The text is not YAML that is accepted here."""

    def __init__(self, line: int, message: str, fix: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.fix = fix


class SourceDocument(NamedTuple):
    """One document of a file: its value, and the line (from 1) on which the value at each path begins."""

    value: object
    lines: dict[Path, int]

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest thing round it that has one."""
        for length in range(len(path), -1, -1):
            found = self.lines.get(path[:length])
            if found is not None:
                return found
        return 0


def read_documents(unverified: bytes) -> list[SourceDocument]:
    """Every document of a file that is not empty. Raises SourceError with the line."""
    if len(unverified) > MAX_BYTES:
        raise SourceError(0, f"the file has {len(unverified)} bytes; at most {MAX_BYTES} are read", "split it")
    try:
        text = unverified.decode("utf-8")
    except UnicodeDecodeError as error:
        line = unverified[: error.start].count(b"\n") + 1
        raise SourceError(line, "the file is not UTF-8", "save it as UTF-8") from error
    try:
        return _Builder(yaml.parse(text, Loader=_Parser)).documents()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = str(error.problem or error.context or "not YAML")[:200]
        raise SourceError(mark.line + 1 if mark else 0, f"not YAML: {problem}", "correct the syntax") from error
    except yaml.YAMLError as error:
        raise SourceError(0, "the file holds characters that YAML forbids", "remove them") from error


class _Builder:
    """Turns the parser's events into values. Stops at the first event that is over a cap."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._nodes = 0
        self._lines: dict[Path, int] = {}

    def documents(self) -> list[SourceDocument]:
        found: list[SourceDocument] = []
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if len(found) >= MAX_DOCUMENTS:
                    raise SourceError(_line(event), f"the file has more than {MAX_DOCUMENTS} documents", "split it")
                self._lines = {}
                value = self._value(next(self._events), (), 0)
                if value is not None:
                    found.append(SourceDocument(value, self._lines))
        return found

    def _value(self, event: yaml.Event, path: Path, depth: int) -> object:
        line = _line(event)
        self._lines.setdefault(path, line)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise SourceError(line, f"the file has more than {MAX_NODES} values", "split it")
        if depth > MAX_DEPTH:
            raise SourceError(line, f"values are nested more than {MAX_DEPTH} deep", "no policy needs that; flatten it")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise SourceError(
                line, "anchors and aliases (& and *) are not accepted", "write the value out, or quote it"
            )
        if getattr(event, "tag", None):
            raise SourceError(line, "tags (!) are not accepted", "remove the tag, or quote the value")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path, depth)
        return self._mapping(path, depth)

    def _sequence(self, path: Path, depth: int) -> list[object]:
        items: list[object] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._value(event, (*path, len(items)), depth + 1))
        return items

    def _mapping(self, path: Path, depth: int) -> dict[str, object]:
        items: dict[str, object] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            line = _line(event)
            if not isinstance(event, yaml.ScalarEvent) or event.anchor or event.tag:
                raise SourceError(line, "a key must be plain text", "write it like `name: value`")
            key = event.value
            if key in items:
                raise SourceError(line, f"key {key[:64]!r} occurs twice", "keep one of them")
            self._lines[(*path, key)] = line
            items[key] = self._value(next(self._events), (*path, key), depth + 1)
        return items


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def _scalar(event: yaml.ScalarEvent) -> object:
    text: str = event.value
    if event.style:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    return text
