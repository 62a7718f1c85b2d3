"""Reading policy documents: a file or a folder of them, every mistake with its file, line, key and fix."""

import difflib
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from acme_ra.policy.compiled import ExpressionMistake, Policy, PolicySet, compile_policy
from acme_ra.policy.errors import PolicyErrors, PolicyMistake
from acme_ra.policy.schema import ClusterIssuancePolicy, IssuancePolicy, PolicyDocument
from acme_ra.policy.yaml_source import MAX_BYTES, SourceDocument, SourceError, read_documents

KINDS: dict[str, type[ClusterIssuancePolicy] | type[IssuancePolicy]] = {
    "ClusterIssuancePolicy": ClusterIssuancePolicy,
    "IssuancePolicy": IssuancePolicy,
}
MAX_FILES = 10_000
MAX_MISTAKES = 100
_PLAIN_MISTAKES = {
    "missing": ("is missing", "add it"),
    "string_type": ("must be text", "write text; put it in quotes if it looks like a number"),
    "string_too_short": ("is empty", "write at least one character"),
    "bool_type": ("must be true or false", "write true or false, without quotes"),
    "list_type": ("must be a list", "write it like [a, b]"),
    "dict_type": ("must be a mapping", "write it like {key: value}"),
    "model_type": ("must be a mapping", "write its keys below it, indented"),
    "model_attributes_type": ("must be a mapping", "write its keys below it, indented"),
    "string_pattern_mismatch": ("holds characters that are not accepted", "use printable text on one line"),
}


def load_policies(path: Path) -> PolicySet:
    """Read a file, or every *.yaml and *.yml of a folder (not below it). Raises PolicyErrors with all mistakes."""
    mistakes: list[PolicyMistake] = []
    return _parse(_read(path, mistakes), mistakes)


def read_sources(path: Path) -> list[tuple[str, bytes]]:
    """What load_policies would parse, as (name, content) pairs. Raises PolicyErrors."""
    mistakes: list[PolicyMistake] = []
    sources = _read(path, mistakes)
    if mistakes:
        raise PolicyErrors(mistakes)
    return sources


def _read(path: Path, mistakes: list[PolicyMistake]) -> list[tuple[str, bytes]]:
    sources: list[tuple[str, bytes]] = []
    for file in _files(path):
        try:
            with file.open("rb") as opened:
                sources.append((str(file), opened.read(MAX_BYTES + 1)))
        except OSError as error:
            mistakes.append(PolicyMistake(str(file), 0, "", f"cannot be read: {error.strerror}", "make it readable"))
    return sources


def parse_policies(sources: Iterable[tuple[str, bytes]]) -> PolicySet:
    """The same from (name, content) pairs that were read elsewhere. Raises PolicyErrors."""
    return _parse(sources, [])


def parse_document(place: str, value: object, *, cluster: str) -> Policy:
    """One document that came as plain values, from a cluster. Raises PolicyErrors, whose mistakes name `place`."""
    mistakes: list[PolicyMistake] = []
    policy = _policy(place, SourceDocument(value, {}), mistakes, cluster=cluster)
    if policy is None:
        raise PolicyErrors(mistakes[:MAX_MISTAKES])
    return policy


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = [one for one in path.iterdir() if one.suffix in (".yaml", ".yml") and not one.name.startswith(".")]
        if len(files) > MAX_FILES:
            message = f"the folder has {len(files)} policy files; at most {MAX_FILES} are read"
            raise PolicyErrors([PolicyMistake(str(path), 0, "", message, "put several policies into one file")])
        return sorted(file for file in files if file.is_file())
    if not path.is_file():
        fix = "create it, or correct policies.path"
        raise PolicyErrors([PolicyMistake(str(path), 0, "", "there is no such file or folder", fix)])
    return [path]


def _parse(sources: Iterable[tuple[str, bytes]], mistakes: list[PolicyMistake]) -> PolicySet:
    policies: list[Policy] = []
    places: dict[tuple[str, str], str] = {}
    for file, content in sources:
        try:
            documents = read_documents(content)
        except SourceError as error:
            mistakes.append(PolicyMistake(file, error.line, "", error.message, error.fix))
            continue
        for source in documents:
            policy = _policy(file, source, mistakes)
            if policy is None:
                continue
            key = (policy.kind, policy.name)
            line = source.line(("metadata", "name"))
            if key in places:
                message = f"{policy.kind} {policy.name} is already defined at {places[key]}"
                mistakes.append(PolicyMistake(file, line, "metadata.name", message, "rename or remove one of them"))
                continue
            places[key] = f"{file}:{line}"
            policies.append(policy)
    if len(mistakes) > MAX_MISTAKES:
        left = f"{len(mistakes) - MAX_MISTAKES} more mistakes were found"
        mistakes[MAX_MISTAKES:] = [PolicyMistake(mistakes[MAX_MISTAKES].file, 0, "", left, "correct the first ones")]
    if mistakes:
        raise PolicyErrors(mistakes)
    return PolicySet(policies)


def _policy(file: str, source: SourceDocument, mistakes: list[PolicyMistake], *, cluster: str = "") -> Policy | None:
    """One compiled policy, or None after its mistakes were noted."""
    value = source.value
    kind = value.get("kind") if isinstance(value, dict) else None
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        message = "is missing" if kind is None else f"{str(kind)[:64]!r} is not known"
        fix = f"write `kind: {'` or `kind: '.join(KINDS)}`"
        mistakes.append(PolicyMistake(file, source.line(("kind",)), "kind", message, fix))
        return None
    try:
        document: PolicyDocument = model.model_validate(value)
        return compile_policy(document, cluster=cluster)
    except ValidationError as error:
        for details in error.errors(include_url=False, include_input=False):
            mistakes.append(_mistake(file, source, model, details))
    except ExpressionMistake as error:
        path = ("spec", "require", "rules", error.index, "expression")
        key = f"spec.require.rules[{error.index}].expression"
        mistakes.append(PolicyMistake(file, source.line(path), key, error.message, "correct the CEL expression"))
    return None


def _mistake(file: str, source: SourceDocument, model: type[BaseModel], details: ErrorDetails) -> PolicyMistake:
    path = tuple(part for part in details["loc"] if part != "[key]")
    kind, context = details["type"], details.get("ctx", {})
    if kind == "policy":
        path += tuple(str(context["key"]).split(".")) if context["key"] else ()
        message, fix = str(context["message"]), str(context["fix"])
    elif kind == "extra_forbidden":
        message, fix = _unknown_key(model, path)
    elif kind == "literal_error":
        message, fix = "is not known", f"use {context['expected']}"
    elif kind in _PLAIN_MISTAKES:
        message, fix = _PLAIN_MISTAKES[kind]
    else:
        message, fix = details["msg"], "correct the value"
    return PolicyMistake(file, source.line(path), _dotted(path), message, fix)


def _dotted(path: tuple[str | int, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part[:64]}" for part in path)
    return text.removeprefix(".")


def _unknown_key(model: type[BaseModel], path: tuple[str | int, ...]) -> tuple[str, str]:
    """What may stand there instead; for a key that has its place elsewhere, a word on why not here."""
    known = _keys_at(model, path[:-1])
    key = str(path[-1])
    if model is IssuancePolicy and path == ("spec", "effect"):
        return "cannot be set: an IssuancePolicy is always a guard", "remove it"
    if model is IssuancePolicy and path == ("spec", "selector", "namespaces"):
        return "cannot be set: an IssuancePolicy holds for its own namespace", "remove it"
    if model is ClusterIssuancePolicy and path == ("metadata", "namespace"):
        return "a ClusterIssuancePolicy has no namespace", "remove it, or use `kind: IssuancePolicy`"
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return "is an unknown key", f"{hint}known here: {', '.join(known)}"


def _keys_at(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    here: Any = model
    for part in path:
        if isinstance(part, int):
            continue
        fields = {field.alias or name: field for name, field in here.model_fields.items()}
        here = _model_in(fields[part].annotation) if part in fields else None
        if here is None:
            return []
    return [field.alias or name for name, field in here.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside `Model | None`, `list[Model]` or the like."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
