"""What a Kubernetes API server checks of a whole policy: the validators of `schema.py` once more, in CEL and OpenAPI.

CEL tells the reason, so it says what it can. It does not see `require.challenges`, which is a list or a word; what
depends on that is said in OpenAPI.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from acme_ra.policy.values import cel

_GRANT: dict[str, Any] = {"properties": {"effect": {"enum": ["grant"]}}}
_PARTS = {"Allowed": "allowed", "Denied": "denied", "Constraints": "constraints", "Require": "require"}


def checks_of_guard(selector: type[BaseModel], parts: tuple[type[BaseModel], ...]) -> dict[str, Any]:
    """For an IssuancePolicy, which is always a guard."""
    return _guard(selector, parts, unless="", or_else=[])


def checks_of_cluster(selector: type[BaseModel], parts: tuple[type[BaseModel], ...]) -> dict[str, Any]:
    """For a ClusterIssuancePolicy: `effect` decides which checks there are."""
    checks = _guard(selector, parts, unless="self.effect == 'grant' || ", or_else=[_GRANT])
    rules: list[Any] = checks["x-kubernetes-validations"]
    names = "has(self.allowed) && (has(self.allowed.dnsNames) || has(self.allowed.ipAddresses))"
    among = "!has(self.profile) || !has(self.profiles) || self.profile in self.profiles"
    rules += [
        cel(
            f"self.effect != 'grant' || ({names})",
            "this grant allows no name and no address; add allowed.dnsNames or allowed.ipAddresses",
        ),
        cel(
            "self.effect != 'grant' || !has(self.denied)",
            "a grant cannot deny; write a policy with `effect: guard` for it",
            fieldPath=".denied",
        ),
        cel(
            f"self.effect != 'grant' || {among}",
            "the profile is not among profiles; add it to profiles, or choose another",
            fieldPath=".profile",
        ),
    ]
    for key in ("profile", "authority"):
        message = f"a guard cannot choose the {key}; remove it, a grant chooses"
        rules.append(cel(f"self.effect == 'grant' || !has(self.{key})", message, fieldPath=f".{key}"))
    return checks


def _guard(
    selector: type[BaseModel], parts: tuple[type[BaseModel], ...], *, unless: str, or_else: list[dict[str, Any]]
) -> dict[str, Any]:
    given = " || ".join(f"has(self.{_PARTS[part.__name__]})" for part in parts)
    rules = [
        cel(
            f"{unless}{given} || has(self.profiles)",
            "this guard checks nothing; add allowed, denied, constraints, require or profiles",
        )
    ]
    for path in _leaves(selector):
        steps = path.split(".")
        absent = " || ".join(f"!has(self.selector.{'.'.join(steps[:end])})" for end in range(1, len(steps) + 1))
        rules.append(
            cel(
                f"{unless}!has(self.selector) || {absent} || self.selector.{path}.size() > 0",
                "an empty selector matches no request, so this guard would hold for none; remove the key to hold for "
                "any, or name something",
                fieldPath=f".selector.{path}",
            )
        )
    if "namespaces" in selector.model_fields:
        rules.append(
            cel(
                f"{unless}!has(self.selector) || !has(self.selector.namespaces) || "
                "has(self.selector.namespaces.matchNames) || has(self.selector.namespaces.matchLabels)",
                "an empty selector matches no request, so this guard would hold for none; name namespaces or labels",
                fieldPath=".selector.namespaces",
            )
        )
    # Without any part it is CEL's to refuse: it gives the reason, and is asked only when OpenAPI has no objection.
    partless: dict[str, Any] = {"not": {"anyOf": [{"required": [_PARTS[part.__name__]]} for part in parts]}}
    waives_nothing = _within("require", {"properties": {"challenges": {"not": {"enum": ["none"]}}}})
    return {
        "x-kubernetes-validations": rules,
        "allOf": [
            {"anyOf": [*or_else, partless, {"required": ["profiles"]}, *(_said(part) for part in parts)]},
            {"anyOf": [*or_else, waives_nothing]},
        ],
    }


def _said(part: type[BaseModel]) -> dict[str, Any]:
    """The part is there, and one of its keys; `routed: false` says nothing."""
    choices: list[dict[str, Any]] = []
    for name, field in part.model_fields.items():
        key = field.alias or name
        choice: dict[str, Any] = {"required": [key]}
        if key == "routed":
            choice["properties"] = {key: {"enum": [True]}}
        choices.append(choice)
    key = _PARTS[part.__name__]
    return {"required": [key], **_within(key, {"anyOf": choices})}


def _within(key: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"properties": {key: schema}}


def _leaves(selector: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in selector.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        inner = [one for one in getattr(field.annotation, "__args__", ()) if _is_model(one)]
        if inner:
            yield from _leaves(inner[0], f"{key}.")
        else:
            yield key


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
