"""JSON Schema (draft 2020-12) of policy documents for editors, made from the models that read them.

An editor sees keys, types and choices. The rest (name patterns, CEL, durations) `policy check` tells.
"""

from typing import Any

from pydantic import TypeAdapter

from acme_ra.policy.crds import DESCRIPTIONS
from acme_ra.policy.schema import PolicyDocument

_PLACES = {
    "GuardSpec": "",
    "ClusterSpec": "",
    "GuardSelector": "selector.",
    "Selector": "selector.",
    "NamespaceSelector": "selector.namespaces.",
    "Allowed": "allowed.",
    "Denied": "denied.",
    "Constraints": "constraints.",
    "Require": "require.",
    "Expression": "require.rules.",
}
#: In a file a policy speaks about any cluster.
_IN_FILES = {"selector.clusters": "Globs over the workload's cluster."}


def editor_schema() -> dict[str, Any]:
    """One schema that holds for each document of a file."""
    made: dict[str, Any] = _without_kubernetes(TypeAdapter(PolicyDocument).json_schema(by_alias=True))
    for name, place in _PLACES.items():
        properties = made["$defs"][name]["properties"]
        properties.pop("quota", None)  # a key that is known and refused
        for key, value in properties.items():
            path = place + key
            value["description"] = _IN_FILES.get(path) or DESCRIPTIONS[path]
    # `challenges:` without a value is an absent key; an API server drops it before it looks at the choices.
    made["$defs"]["Require"]["properties"]["challenges"]["enum"].append(None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "acme-ra policy", **made}


def _without_kubernetes(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_kubernetes(one) for one in value]
    if isinstance(value, dict):
        return {key: _without_kubernetes(one) for key, one in value.items() if not key.startswith("x-kubernetes-")}
    return value
