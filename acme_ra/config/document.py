"""A YAML file as plain values, with the line of every key. YAML 1.2 core schema: `off` is text, not false."""

import re
from pathlib import Path
from typing import Any

import yaml

from acme_ra.config.errors import ConfigurationInvalid, Mistake

Location = tuple[str | int, ...]
MAX_DEPTH = 24
MAX_SIZE = 1024 * 1024


class _Loader(yaml.SafeLoader):
    """SafeLoader without YAML 1.1's surprises: `on` as true, `12:30` as a base-60 number, dates as objects."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"(?:true|false|True|False|TRUE|FALSE)\Z", "tTfF"),
    ("int", r"(?:[-+]?(?:0|[1-9][0-9]*))\Z", "-+0123456789"),
    ("float", r"(?:[-+]?[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?)\Z", "-+0123456789"),
    ("null", r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    ("merge", r"(?:<<)\Z", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


class Document:
    """The values of one file, and where each stands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values: dict[str, Any] = {}
        self.mistakes: list[Mistake] = []
        self._lines: dict[Location, int] = {(): 1}
        self._sources: dict[Location, str] = {}

    def line(self, location: Location) -> int:
        """The line of a key, or of the nearest key above it that the file has."""
        while location not in self._lines:
            location = location[:-1]
        return self._lines[location]

    def source(self, location: Location) -> str | None:
        """The environment variable that set the value at `location`, or None where the file did."""
        for length in range(len(location), 0, -1):
            variable = self._sources.get(location[:length])
            if variable is not None:
                return variable
        return None

    def override(self, location: Location, value: object, *, variable: str) -> None:
        """Set a value from an environment variable, making the sections above it."""
        holder: dict[Any, Any] = self.values
        for key in location[:-1]:
            inner = holder.get(key)
            if not isinstance(inner, dict):
                inner = holder[key] = {}
            holder = inner
        holder[location[-1]] = value
        self._sources[location] = variable

    def mistake(self, location: Location, what: str, fix: str) -> Mistake:
        """A mistake at `location`, naming the file and line or the environment variable."""
        key = dotted(location)
        variable = self.source(location)
        if variable is not None:
            return Mistake(f"environment variable {variable}", 0, key, what, fix)
        return Mistake(str(self.path), self.line(location), key, what, fix)

    def _convert(self, loader: _Loader, node: yaml.Node, location: Location) -> Any:
        if len(location) > MAX_DEPTH:
            self.mistakes.append(self.mistake(location[:3], "is nested too deeply", "remove the recursion"))
            return None
        if isinstance(node, yaml.MappingNode):
            loader.flatten_mapping(node)
            return self._convert_mapping(loader, node, location)
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                self._lines[(*location, index)] = item.start_mark.line + 1
                items.append(self._convert(loader, item, (*location, index)))
            return items
        return loader.construct_object(node)

    def _convert_mapping(self, loader: _Loader, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else ""
            here = (*location, key)
            if key in mapping:
                first = self._lines[here]
                self._lines[here] = key_node.start_mark.line + 1
                self.mistakes.append(self.mistake(here, f"stands twice, first in line {first}", "remove one of them"))
            self._lines[here] = key_node.start_mark.line + 1
            mapping[key] = self._convert(loader, value_node, here)
        return mapping


def read_document(path: Path) -> Document:
    """Read and parse. Raises ConfigurationInvalid when the file is missing, unreadable or no YAML mapping."""
    document = Document(path)
    text = _read_text(path)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            values = None if node is None else document._convert(loader, node, ())
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        what = f"is not valid YAML here: {error.problem}"
        raise ConfigurationInvalid(
            [Mistake(str(path), line, "", what, "correct the indentation or quoting")]
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationInvalid([Mistake(str(path), 1, "", "is not valid YAML", "save it as UTF-8 text")]) from error
    if values is None:
        values = {}
    if not isinstance(values, dict):
        fix = "start it with a section, such as `server:`"
        raise ConfigurationInvalid([Mistake(str(path), 1, "", "is not a mapping of sections", fix)])
    document.values = values
    return document


def parse_scalar(text: str) -> Any:
    """One value as YAML reads it, for environment variables. Raises yaml.YAMLError."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader


def dotted(location: Location) -> str:
    """`("validation", "resolvers", 0)` → `validation.resolvers[0]`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _read_text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        fix = "name the file with --config or ACME_RA_CONFIG, or make one with `acme-ra quickstart --data DIR`"
        raise ConfigurationInvalid([Mistake(str(path), 0, "", "there is no such file", fix)]) from error
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise ConfigurationInvalid([Mistake(str(path), 0, "", what, "check its path and permissions")]) from error
    if len(raw) > MAX_SIZE:
        what = f"has {len(raw)} bytes; at most {MAX_SIZE} are read"
        raise ConfigurationInvalid([Mistake(str(path), 0, "", what, "name the right file")])
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationInvalid([Mistake(str(path), 1, "", "is not UTF-8 text", "save it as UTF-8")]) from error
