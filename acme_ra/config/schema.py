"""Questions to the settings models: which keys are there, and what kind of value does one take?"""

import difflib
import types
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

Kinds = tuple[Any, ...]


def kinds_at(kinds: Kinds, path: Sequence[str | int]) -> Kinds:
    """The types that a value at `path` may have. Steps that name no key (a union's tag) are passed over."""
    for key in path:
        inner = tuple(kind for outer in kinds for kind in _inside(outer, key))
        kinds = inner or kinds
    return _flat(kinds)


def has_key(kinds: Kinds, key: str) -> bool:
    """Whether one of the types takes this key."""
    return any(_inside(kind, key) for kind in _flat(kinds))


def keys_of(kinds: Kinds) -> list[str]:
    """The keys that models among `kinds` have; mappings with free keys add none."""
    names: list[str] = []
    for kind in _flat(kinds):
        if _is_model(kind):
            names.extend(name for name in kind.model_fields if name not in names)
    return names


def is_list(kinds: Kinds) -> bool:
    return any(_origin(kind) in (list, tuple, set, frozenset) for kind in _flat(kinds))


def is_text(kinds: Kinds) -> bool:
    """Whether a value is text and nothing else, so that `123` stays text."""
    return all(kind in (str, Path, type(None)) for kind in _flat(kinds))


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that a mistyped one probably meant."""
    matches = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def _origin(kind: Any) -> Any:
    return get_origin(kind)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _flat(kinds: Kinds) -> Kinds:
    """Unions and annotations taken apart."""
    flat: list[Any] = []
    for kind in kinds:
        origin = _origin(kind)
        if origin is Annotated:
            flat.extend(_flat((get_args(kind)[0],)))
        elif origin in (Union, types.UnionType):
            flat.extend(_flat(get_args(kind)))
        else:
            flat.append(kind)
    return tuple(flat)


def _inside(kind: Any, key: str | int) -> Kinds:
    inside: list[Any] = []
    for one in _flat((kind,)):
        origin = _origin(one)
        if _is_model(one):
            field = one.model_fields.get(key)
            if field is not None:
                inside.append(field.annotation)
        elif origin is dict and isinstance(key, str):
            inside.append(get_args(one)[1])
        elif origin in (list, tuple) and isinstance(key, int):
            inside.append(get_args(one)[0])
    return _flat(tuple(inside))


def choices(kinds: Kinds) -> list[str]:
    """The words that a literal setting accepts."""
    return [str(word) for kind in _flat(kinds) if _origin(kind) is Literal for word in get_args(kind)]
