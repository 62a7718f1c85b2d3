"""Patterns over names: globs for selectors, and name patterns for what is allowed or denied.

A name pattern is a DNS name in lower case where `*` stands for any characters within one label (alone: exactly one
whole label, never a dot), a leading `**.` for one or more labels, and {namespace}, {cluster}, {label:KEY} for facts of
the workload, taken literally. A fact that is unknown, or is no legal label, makes its pattern match nothing.

A wildcard identifier `*.x` stands for every name one label below x (RFC 9525 §6.3). It is *covered* only if the
pattern matches all of those names, and it is *touched* by a pattern that matches any of them.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from acme_ra.core.request import Workload

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ONE_LABEL = re.compile(rf"{_LABEL}\Z")
_LABELS = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_LABEL_KEY = re.compile(r"label:([A-Za-z0-9](?:[A-Za-z0-9._/-]{0,315}[A-Za-z0-9])?)\Z")
_PATTERN_LABEL = re.compile(r"(?:[a-z0-9*-]|\{\})+\Z")
MAX_PATTERN = 253
_SHOWN = 8


class Glob:
    """`*` stands for any characters, also none; everything else for itself. The empty text matches no glob."""

    __slots__ = ("_parts", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts = tuple(text.split("*"))

    def matches(self, value: str) -> bool:
        return bool(value) and _glob_matches(self._parts, value)


class NamePattern:
    """One parsed pattern, with its placeholders not yet filled in. Raises ValueError that says what is wrong."""

    __slots__ = ("deep", "labels", "placeholders", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.deep = text.startswith("**.")
        self.placeholders = tuple(_PLACEHOLDER.findall(text))
        body = text[3:] if self.deep else text
        if not body or len(text) > MAX_PATTERN:
            raise ValueError(f"a name pattern has 1 to {MAX_PATTERN} characters")
        for placeholder in self.placeholders:
            if placeholder not in ("namespace", "cluster") and not _LABEL_KEY.match(placeholder):
                raise ValueError(f"{{{placeholder}}} is unknown; use {{namespace}}, {{cluster}} or {{label:KEY}}")
        # A label key may hold dots, so the text is cut at dots only outside of braces.
        self.labels = tuple(_split_labels(body))
        for label in self.labels:
            _check_label(label)


class NamePatterns:
    """A compiled list of patterns. `bind` fills in a workload's facts; the result is kept for the next request."""

    __slots__ = ("_bind", "_keys", "_patterns", "_plain")

    def __init__(self, patterns: Iterable[NamePattern]) -> None:
        self._patterns = tuple(patterns)
        self._keys = tuple(sorted({key for pattern in self._patterns for key in pattern.placeholders}))
        self._bind: Callable[[tuple[str, ...]], BoundPatterns] = lru_cache(maxsize=1024)(self._fill)
        self._plain = self._fill(tuple("" for _ in self._keys))

    def bind(self, workload: Workload | None) -> "BoundPatterns":
        if not self._keys:
            return self._plain
        return self._bind(tuple([_fact(key, workload) for key in self._keys]))

    def _fill(self, values: tuple[str, ...]) -> "BoundPatterns":
        facts = dict(zip(self._keys, values, strict=True))
        bound = [labels for pattern in self._patterns if (labels := _substitute(pattern, facts)) is not None]
        return BoundPatterns(bound, tuple(pattern.text for pattern in self._patterns))


class BoundPatterns:
    """Patterns of one workload, sorted by shape so that the common ones cost one look-up in a set."""

    __slots__ = ("_general", "_literals", "_parents", "_singles", "_suffixes", "_texts")

    def __init__(self, patterns: list[tuple[bool, tuple[str, ...]]], texts: tuple[str, ...]) -> None:
        self._texts = tuple(dict.fromkeys(("**." if deep else "") + ".".join(labels) for deep, labels in patterns))
        self._texts = self._texts or texts
        literals, singles, suffixes, general = set(), set(), [], []
        for deep, labels in patterns:
            rest = ".".join(labels[1:])
            if deep and "*" not in "".join(labels):
                suffixes.append("." + ".".join(labels))
            elif deep or "*" in rest or ("*" in labels[0] and (labels[0] != "*" or not rest)):
                general.append(_General(deep, labels))
            elif labels[0] == "*":
                singles.add(rest)
            else:
                literals.add(".".join(labels))
        self._literals = frozenset(literals)
        self._parents = frozenset(name.partition(".")[2] for name in literals) - {""}
        self._singles = frozenset(singles)
        self._suffixes = tuple(suffixes)
        self._general = tuple(general)

    def matches(self, name: str) -> bool:
        """Whether a pattern matches this one name, which has no `*`."""
        return (
            name in self._literals
            or name.partition(".")[2] in self._singles
            or name.endswith(self._suffixes)
            or any(pattern.matches(name.split(".")) for pattern in self._general)
        )

    def covers(self, base: str) -> bool:
        """Whether one pattern matches every name that a certificate for `*.base` is good for."""
        return (
            base in self._singles
            or f".{base}".endswith(self._suffixes)
            or any(pattern.covers(base.split(".")) for pattern in self._general)
        )

    def touches(self, base: str) -> bool:
        """Whether a pattern matches any name that a certificate for `*.base` is good for."""
        return (
            base in self._parents
            or base in self._singles
            or f".{base}".endswith(self._suffixes)
            or any(pattern.touches(base.split(".")) for pattern in self._general)
        )

    def __str__(self) -> str:
        return shown_list(self._texts)


class _General:
    """A pattern with `*` in other places than the ones that BoundPatterns looks up."""

    __slots__ = ("_any_first", "_deep", "_labels")

    def __init__(self, deep: bool, labels: tuple[str, ...]) -> None:
        self._deep = deep
        self._labels = [tuple(label.split("*")) for label in labels]
        self._any_first = not labels[0].strip("*")

    def matches(self, name: list[str]) -> bool:
        return self._ends(name, at_least=1) if self._deep else _labels_match(self._labels, name)

    def covers(self, base: list[str]) -> bool:
        """`**.rest` matches any label before what already ends in rest; else the first label must be a bare `*`."""
        if self._deep:
            return self._ends(base, at_least=0)
        return self._any_first and _labels_match(self._labels[1:], base)

    def touches(self, base: list[str]) -> bool:
        if self._deep:
            return self._ends(base, at_least=0)
        return _labels_match(self._labels[1:], base)

    def _ends(self, name: list[str], *, at_least: int) -> bool:
        before = len(name) - len(self._labels)
        return before >= at_least and _labels_match(self._labels, name[before:])


def shown_list(texts: Iterable[str], *, limit: int = _SHOWN) -> str:
    """A list for a sentence: some of it, and how many more there are."""
    texts = tuple(texts)
    shown = ", ".join(texts[:limit]) or "none"
    return shown if len(texts) <= limit else f"{shown} and {len(texts) - limit} more"


def _labels_match(patterns: list[tuple[str, ...]], labels: list[str]) -> bool:
    return len(patterns) == len(labels) and all(map(_glob_matches, patterns, labels))


def _glob_matches(parts: tuple[str, ...], value: str) -> bool:
    """Whether `value` is the parts with anything between them. Linear: no backtracking, so nothing to exhaust."""
    if len(parts) == 1:
        return value == parts[0]
    first, *middle, last = parts
    if len(value) < len(first) + len(last) or not value.startswith(first) or not value.endswith(last):
        return False
    position, end = len(first), len(value) - len(last)
    for part in middle:
        position = value.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return True


def _split_labels(body: str) -> list[str]:
    labels, start, depth = [], 0, 0
    for index, character in enumerate(body):
        depth += (character == "{") - (character == "}")
        if character == "." and depth == 0:
            labels.append(body[start:index])
            start = index + 1
    return [*labels, body[start:]]


def _check_label(label: str) -> None:
    bare = _PLACEHOLDER.sub("{}", label)
    if not bare:
        raise ValueError("a label is empty; write the name without leading, doubled or trailing dots")
    if bare != bare.lower():
        raise ValueError("names are compared in lower case; write the pattern in lower case")
    if "**" in bare:
        raise ValueError("'**' may only be the whole first label, as in '**.example.com'")
    if not _PATTERN_LABEL.match(bare):
        raise ValueError(f"label {label[:64]!r} is not letters, digits, hyphens, '*' and placeholders")
    fixed = bare.replace("{}", "")
    if len(fixed) > 63 or bare.startswith("-") or bare.endswith("-"):
        raise ValueError(f"label {label[:64]!r} cannot be part of a DNS name (1 to 63, no hyphen at either end)")


def _fact(key: str, workload: Workload | None) -> str:
    if workload is None:
        return ""
    if key == "namespace":
        return workload.namespace
    if key == "cluster":
        return workload.cluster
    return workload.labels.get(key.removeprefix("label:"), "")


def _substitute(pattern: NamePattern, facts: dict[str, str]) -> tuple[bool, tuple[str, ...]] | None:
    """The pattern's labels with facts in place, or None when a fact is unknown or is not what may stand there."""
    labels: list[str] = []
    for label in pattern.labels:
        keys = _PLACEHOLDER.findall(label)
        for key in keys:
            # Only a cluster or a label that is a whole label of the pattern may itself have dots.
            alone = label == f"{{{key}}}" and key != "namespace"
            if not (_LABELS if alone else _ONE_LABEL).match(facts[key]):
                return None
        filled = _PLACEHOLDER.sub(lambda found: facts[found[1]], label)
        labels.extend(filled.split("."))
    return pattern.deep, tuple(labels)
