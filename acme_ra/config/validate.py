"""From a document to typed settings; every mistake in plain words, at its line, with the fix."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from acme_ra.config.document import Document, Location
from acme_ra.config.errors import ConfigurationInvalid, Mistake
from acme_ra.config.schema import choices, closest, keys_of, kinds_at

M = TypeVar("M", bound=BaseModel)
_PLAIN = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text (quote it)",
    "list_type": "a list, such as [a, b]",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "path_type": "a path",
}
_SECRET_WORDS = ("password", "secret", "token", "pin")


def validate(model: type[M], document: Document, mistakes: list[Mistake]) -> M:
    """Raises ConfigurationInvalid with `mistakes` and all others that are found."""
    mistakes = [*document.mistakes, *mistakes]
    try:
        settings = model.model_validate(document.values)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            mistakes.append(_explain(model, document, details))
        # A union's members each object to the same value: once is enough.
        once = {(mistake.source, mistake.line, mistake.key, mistake.what): mistake for mistake in mistakes}
        raise ConfigurationInvalid(sorted(once.values(), key=lambda found: (found.source, found.line))) from error
    if mistakes:
        raise ConfigurationInvalid(mistakes)
    return settings


def anchored(settings: M, base: Path) -> M:
    """A copy in which every relative path stands under `base`, the folder of the configuration file."""
    changes = {name: _anchor(getattr(settings, name), base) for name in type(settings).model_fields}
    return settings.model_copy(update=changes)


def _anchor(value: Any, base: Path) -> Any:
    if isinstance(value, Path):
        return value if value.is_absolute() else base / value
    if isinstance(value, BaseModel):
        return anchored(value, base)
    if isinstance(value, dict):
        return {key: _anchor(inner, base) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_anchor(inner, base) for inner in value)
    return value


def _explain(model: type[BaseModel], document: Document, details: ErrorDetails) -> Mistake:
    location = _in_document(document, details["loc"])
    kind = details["type"]
    if kind == "extra_forbidden":
        return _unknown_key(model, document, location)
    if kind == "missing":
        return _missing_key(model, document, location)
    what, fix = _wrong_value(model, location, details)
    return document.mistake(location, what, fix)


def _in_document(document: Document, loc: tuple[str | int, ...]) -> Location:
    """pydantic puts union tags into its locations; leave out what the file does not have, but for the last key."""
    holder: Any = document.values
    location: Location = ()
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        if isinstance(holder, dict) and (part in holder or last):
            holder = holder.get(part)
            location = (*location, part)
        elif isinstance(holder, list) and isinstance(part, int) and part < len(holder):
            holder = holder[part]
            location = (*location, part)
    return location


def _unknown_key(model: type[BaseModel], document: Document, location: Location) -> Mistake:
    known = keys_of(kinds_at((model,), location[:-1]))
    guess = closest(str(location[-1]), known)
    fix = f"did you mean {guess!r}?" if guess else f"remove it; known here: {', '.join(known)}"
    return document.mistake(location, "unknown key", fix)


def _missing_key(model: type[BaseModel], document: Document, location: Location) -> Mistake:
    where = f"under `{location[-2]}`" if len(location) > 1 else "to the file"
    description = _description(model, location)
    about = f" ({description})" if description else ""
    return document.mistake(location, "is missing", f"add `{location[-1]}:`{about} {where}")


def _description(model: type[BaseModel], location: Location) -> str:
    for kind in kinds_at((model,), location[:-1]):
        fields = getattr(kind, "model_fields", {})
        field = fields.get(location[-1])
        if field is not None and field.description:
            return str(field.description)
    return ""


def _wrong_value(model: type[BaseModel], location: Location, details: ErrorDetails) -> tuple[str, str]:
    message = details["msg"]
    message = message.removeprefix("Value error, ").replace("Input should be", "should be")
    message = message[:1].lower() + message[1:]
    value = details.get("input")
    if value is None:
        return "has no value", "write one, or remove the key"
    words = choices(kinds_at((model,), location))
    if details["type"] == "literal_error" and words:
        guess = closest(str(value), words)
        fix = f"did you mean {guess!r}?" if guess else f"write one of: {', '.join(words)}"
        return f"{_shown(location, value)}is not one of {', '.join(words)}", fix
    if details["type"].startswith(("ip_v4_", "ip_v6_")):
        return f"{_shown(location, value)}is not a network", "write it like 10.0.0.0/8 or fd00::/8, without host bits"
    if details["type"] in _PLAIN:
        return f"{_shown(location, value)}is not {_PLAIN[details['type']]}", "correct the value"
    if details["type"] == "value_error":
        what, separator, fix = message.rpartition("; ")
        return (what, fix) if separator else (message, "correct the value")
    return f"{_shown(location, value)}{message}", "correct the value"


def _shown(location: Location, value: object) -> str:
    """The wrong value, where it is short and cannot be a secret."""
    secret = any(word in str(part).lower() for part in location for word in _SECRET_WORDS)
    if secret or not isinstance(value, str | int | float | bool):
        return ""
    return f"{str(value)[:60]!r} " if isinstance(value, str) else f"{value} "
