"""Which route a request is for: a fixed path by one look-up, any other by its first segment (RFC 8555 §7.1)."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, NamedTuple

from acme_ra.acme.http.answer import Answer
from acme_ra.acme.http.request import Request

#: What stood in the path where its template has {names}.
Parameters = Mapping[str, str]
HTTPHandler = Callable[[Request, Parameters], Awaitable[Answer]]

_NONE: Final[Parameters] = {}
_READING: Final = ("GET", "HEAD")
_PARAMETER: Final = re.compile(r"\\{(\w+)\\}")


class Endpoint(NamedTuple):
    """A path and one of its methods; GET brings HEAD along. `name` is what metrics and the log call it."""

    name: str
    method: str
    path: str
    handler: HTTPHandler

    @property
    def methods(self) -> tuple[str, ...]:
        return _READING if self.method == "GET" else (self.method,)


#: What one path answers to.
Methods = Mapping[str, Endpoint]


class Table:
    """Endpoints below one place. Their paths are relative to it; a `{name}` in them stands for one segment."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self.endpoints = tuple(endpoints)
        by_path: dict[str, dict[str, Endpoint]] = {}
        for endpoint in self.endpoints:
            by_path.setdefault(endpoint.path, {}).update(dict.fromkeys(endpoint.methods, endpoint))
        self._fixed: dict[str, Methods] = {}
        self._patterns: dict[str, list[tuple[re.Pattern[str], Methods]]] = {}
        for path, methods in by_path.items():
            if "{" in path:
                self._patterns.setdefault(path.partition("/")[0], []).append((_pattern(path), methods))
            else:
                self._fixed[path] = methods

    def find(self, path: str) -> tuple[Methods, Parameters] | None:
        """The endpoints at this path, by method."""
        methods = self._fixed.get(path)
        if methods is not None:
            return methods, _NONE
        for pattern, methods in self._patterns.get(path.partition("/")[0], ()):
            found = pattern.fullmatch(path)
            if found is not None:
                return methods, found.groupdict()
        return None


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(_PARAMETER.sub(r"(?P<\1>[^/]+)", re.escape(template)))
