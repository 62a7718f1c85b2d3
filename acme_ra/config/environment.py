"""Overrides by environment variables: ACME_RA_SECTION__KEY, deeper keys by further `__`."""

from collections.abc import Mapping
from typing import Any

import yaml

from acme_ra.config.document import Document, Location, parse_scalar
from acme_ra.config.errors import Mistake
from acme_ra.config.schema import Kinds, closest, has_key, is_list, is_text, keys_of, kinds_at

PREFIX = "ACME_RA_"
SEPARATOR = "__"


def apply_environment(document: Document, model: Kinds, environment: Mapping[str, str]) -> list[Mistake]:
    """Write every override into the document. Returns the variables that name no setting.

    Variables without `__` are not ours to judge: Kubernetes sets some for a service called acme-ra.
    """
    mistakes: list[Mistake] = []
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or SEPARATOR not in variable:
            continue
        location, mistake = _locate(document, model, variable)
        if mistake is None:
            mistake = _apply(document, model, variable, location, environment[variable])
        if mistake is not None:
            mistakes.append(mistake)
    return mistakes


def _apply(document: Document, model: Kinds, variable: str, location: Location, text: str) -> Mistake | None:
    try:
        value = _parse(text, kinds_at(model, location))
    except (yaml.YAMLError, ValueError):
        return _mistake(variable, f"{text[:60]!r} is not a YAML value", "quote it as in the configuration file")
    document.override(location, value, variable=variable)
    return None


def _parse(text: str, kinds: Kinds) -> Any:
    if is_list(kinds):
        if text.lstrip().startswith("["):
            return parse_scalar(text)
        return [part.strip() for part in text.split(",") if part.strip()]
    return text if is_text(kinds) else parse_scalar(text)


def _locate(document: Document, model: Kinds, variable: str) -> tuple[Location, Mistake | None]:
    """Which setting a variable means. Names in mappings (directories, profiles) are matched as the file spells them."""
    location: Location = ()
    for word in variable.removeprefix(PREFIX).lower().split(SEPARATOR):
        kinds = kinds_at(model, location)
        key = _spelled(document, location, word)
        if not word or not has_key(kinds, key):
            known = keys_of(kinds)
            guess = closest(word, known)
            fix = f"did you mean {_variable((*location, guess))}?" if guess else _known(location, known)
            return location, _mistake(variable, "names no setting", fix)
        location = (*location, key)
    return location, None


def _spelled(document: Document, location: Location, word: str) -> str:
    holder: Any = document.values
    for part in location:
        holder = holder.get(part) if isinstance(holder, dict) else None
    if isinstance(holder, dict):
        for key in holder:
            if _folded(key) == _folded(word):
                return str(key)
    return word


def _folded(key: object) -> str:
    return str(key).lower().replace("-", "_")


def _variable(location: Location) -> str:
    return PREFIX + SEPARATOR.join(_folded(part).upper() for part in location)


def _known(location: Location, known: list[str]) -> str:
    place = _variable(location).removesuffix("_") if location else "ACME_RA_…"
    return f"under {place} there are: {', '.join(known)}" if known else f"{place} takes no keys of its own"


def _mistake(variable: str, what: str, fix: str) -> Mistake:
    return Mistake(f"environment variable {variable}", 0, "", what, fix)
