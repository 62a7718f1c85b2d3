"""CustomResourceDefinitions of the policy kinds, made from the models that read the same documents from files.

Unknown keys are kept, not pruned: a key that an API server drops in silence (a slip of the pen in a guard, a condition
that an older definition does not know) would leave a policy that allows more than it says. acme-ra refuses the policy.
"""

from typing import Any

import yaml
from pydantic import BaseModel

from acme_ra.policy.schema import GROUP, VERSION, ClusterIssuancePolicy, ClusterSpec, GuardSpec, IssuancePolicy

_HEADER = "# Made by `acme-ra policy crds` from the models in acme_ra/policy/schema.py; do not edit.\n"
_KEEP = "x-kubernetes-preserve-unknown-fields"
_DROPPED = ("$defs", "propertyNames", "title", "description", "additionalProperties", "default", "properties", "items")

#: What `kubectl explain` tells; every key has a text.
DESCRIPTIONS = {
    "effect": "grant: gives names to those whom it selects. guard: must hold for every request that it selects.",
    "mode": "enforce, or shadow: evaluated and recorded, and never counted.",
    "selector": "Which requests this policy speaks about. All keys that are given must match.",
    "selector.clusters": "Globs over the workload's cluster. Only this cluster's requests are spoken about anyway.",
    "selector.namespaces": "Which namespaces; not empty.",
    "selector.namespaces.matchNames": "Globs over the workload's namespace.",
    "selector.namespaces.matchLabels": "Labels of the namespace: each must be there, and its value match the glob.",
    "selector.directories": "Globs over the name of the ACME directory.",
    "selector.credentials": "Globs over the kid or name of the account's external account credential.",
    "selector.profiles": "Globs over the certificate profile.",
    "allowed": "What a grant gives, and all that a guard lets through.",
    "allowed.dnsNames": "Name patterns: *, a leading **., {namespace}, {cluster}, {label:KEY}.",
    "allowed.wildcards": "Whether wildcard names may be had.",
    "allowed.ipAddresses": "Networks or single addresses.",
    "allowed.usages": "The extended key usages that a profile may give.",
    "denied": "What a guard lets nobody have.",
    "denied.dnsNames": "Name patterns without placeholders.",
    "denied.ipAddresses": "Networks or single addresses.",
    "constraints": "Limits on the certificate.",
    "constraints.maxDuration": "For how long it may be valid, like 90s, 10m, 720h, 47d or 1h30m.",
    "constraints.keys": "The key algorithms that it may be for.",
    "require": "What must be shown.",
    "require.challenges": "The challenges that prove control. Or none, in a grant: the namespace is the proof.",
    "require.rules": "Conditions in CEL over `request`; all must be true.",
    "require.rules.expression": "A condition, such as request.dnsNames.size() <= 10.",
    "require.rules.message": "What a refused person is told.",
    "require.routed": "Each name is carried by an Ingress, Gateway, HTTPRoute or TLSRoute of the namespace.",
    "require.approval": "The group of which somebody must approve each order.",
    "profiles": "The certificate profiles that may be asked for.",
    "profile": "The certificate profile that is used when none is asked for.",
    "authority": "The authority that signs.",
}


def definitions() -> list[dict[str, Any]]:
    """Both definitions."""
    return [
        _definition(
            ClusterIssuancePolicy, ClusterSpec, plural="clusterissuancepolicies", short="cipol", scope="Cluster"
        ),
        _definition(IssuancePolicy, GuardSpec, plural="issuancepolicies", short="ipol", scope="Namespaced"),
    ]


def file_name(definition: dict[str, Any]) -> str:
    """What its file under deploy/crds is called."""
    plural, _, group = str(definition["metadata"]["name"]).partition(".")
    return f"{group}_{plural}.yaml"


def render(definition: dict[str, Any]) -> str:
    """As YAML, the same each time."""
    return _HEADER + yaml.dump(definition, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Parts that are used twice are written twice: no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _definition(kind: type[BaseModel], spec: type[BaseModel], *, plural: str, short: str, scope: str) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "description": kind.__doc__,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _spec(spec),
            "status": _STATUS,
        },
        _KEEP: True,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}", "labels": {"app.kubernetes.io/name": "acme-ra"}},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {
                "kind": kind.__name__,
                "listKind": f"{kind.__name__}List",
                "plural": plural,
                "singular": kind.__name__.lower(),
                "shortNames": [short],
                "categories": ["acme-ra"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _columns(scope),
                }
            ],
        },
    }


def _columns(scope: str) -> list[dict[str, Any]]:
    accepted = '.status.conditions[?(@.type=="Accepted")]'
    columns: list[dict[str, Any]] = [
        {"name": "Effect", "type": "string", "jsonPath": ".spec.effect"},
        {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
        {"name": "Accepted", "type": "string", "jsonPath": f"{accepted}.status"},
        {"name": "Reason", "type": "string", "jsonPath": f"{accepted}.reason"},
        {"name": "Message", "type": "string", "jsonPath": f"{accepted}.message", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    return columns if scope == "Cluster" else columns[1:]


def _spec(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    return _Structural(schema.get("$defs", {})).convert(schema, "")


class _Structural:
    """Turns what pydantic writes into a structural schema: no references, no unions, a type everywhere."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions

    def convert(self, schema: dict[str, Any], path: str) -> dict[str, Any]:
        """`path` is the key's, dotted; items of a list have that of the list."""
        schema = self._resolved(schema)
        made = {key: value for key, value in schema.items() if key not in _DROPPED}
        if schema.get("default") is not None:
            made["default"] = schema["default"]
        if "items" in schema:
            made["items"] = self.convert(schema["items"], path)
        if "properties" in schema:
            made[_KEEP] = True
            made["properties"] = {
                key: self._described(value, f"{path}.{key}".removeprefix("."))
                for key, value in schema["properties"].items()
                if not _is_unsupported(value)
            }
        elif isinstance(schema.get("additionalProperties"), dict):
            made["additionalProperties"] = self.convert(schema["additionalProperties"], path)
        return made

    def _described(self, schema: dict[str, Any], path: str) -> dict[str, Any]:
        return {"description": DESCRIPTIONS[path], **self.convert(schema, path)}

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The definition behind a reference; of `X or null` the X, because the API server drops nulls."""
        if "$ref" in schema:
            named = self._definitions[schema["$ref"].rpartition("/")[2]]
            return self._resolved({**named, **{key: value for key, value in schema.items() if key != "$ref"}})
        choices = schema.get("anyOf")
        if choices and {"type": "null"} in choices:
            (choice,) = [one for one in choices if one != {"type": "null"}]
            return self._resolved({**choice, **{key: value for key, value in schema.items() if key != "anyOf"}})
        return schema


def _is_unsupported(schema: dict[str, Any]) -> bool:
    """A key that is known and refused; the API server keeps it, and acme-ra says so."""
    return not set(schema) - {"default", "title"}


_STATUS: dict[str, Any] = {
    "type": "object",
    "description": "What acme-ra made of this policy.",
    "properties": {
        "observedGeneration": {"type": "integer", "format": "int64", "description": "The generation that was read."},
        "digest": {
            "type": "string",
            "maxLength": 64,
            "description": "SHA-256 of the policy as it is in force; absent when it is not accepted.",
        },
        "conditions": {
            "type": "array",
            "maxItems": 8,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
            "items": {
                "type": "object",
                "required": ["type", "status", "lastTransitionTime", "reason", "message"],
                "properties": {
                    "type": {"type": "string", "maxLength": 316},
                    "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                    "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
                    "lastTransitionTime": {"type": "string", "format": "date-time"},
                    "reason": {"type": "string", "maxLength": 1024},
                    "message": {"type": "string", "maxLength": 32768},
                },
            },
        },
    },
}
