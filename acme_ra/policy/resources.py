"""Policies that are resources in a cluster: read as files are, but one that cannot be read does not stop the others.

A grant that cannot be read gives nothing. A guard that cannot be read refuses whatever it may have been about: what it
selects if that much is clear, else all of its namespace, or of its cluster. So the outcome depends on what is there
now, not on what some process saw before, and no mistake opens a door.
"""

from typing import Any, NamedTuple

import structlog
from pydantic import BaseModel, ValidationError

from acme_ra.core.encoding import canonical_json
from acme_ra.policy.compiled import Policy, compile_selector, name_in
from acme_ra.policy.documents import parse_document
from acme_ra.policy.errors import PolicyErrors, PolicyMistake
from acme_ra.policy.references import References, unresolved
from acme_ra.policy.rules.contract import Rule
from acme_ra.policy.rules.unreadable import Unreadable
from acme_ra.policy.schema import GuardSelector, Selector

log = structlog.get_logger(__name__)

_REASON = 300


class ResourceName(NamedTuple):
    """Which resource."""

    cluster: str
    kind: str
    namespace: str  # "" for a ClusterIssuancePolicy
    name: str

    @property
    def place(self) -> str:
        return f"{self.kind} {self.path}"

    @property
    def path(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Reading(NamedTuple):
    """What became of a resource. Without mistakes `policy` is what it says; with mistakes it refuses, or is absent."""

    policy: Policy | None
    mistakes: tuple[PolicyMistake, ...]
    unresolved: bool = False

    @property
    def accepted(self) -> bool:
        return not self.mistakes


def read_resource(resource: ResourceName, content: dict[str, Any], known: References) -> Reading:
    """`content` is the object without apiVersion, kind, metadata and status. Never raises."""
    metadata = {"name": resource.name} | ({"namespace": resource.namespace} if resource.namespace else {})
    value = {**content, "kind": resource.kind, "metadata": metadata}
    try:
        policy = parse_document(resource.place, value, cluster=resource.cluster)
    except PolicyErrors as error:
        return Reading(refusing(resource, content, error.mistakes), tuple(error.mistakes))
    except Exception:
        # Whatever it is, it is this resource's: the others are in force, and this one refuses.
        log.exception("policy resource unreadable", cluster=resource.cluster, policy=resource.place)
        mistakes = [PolicyMistake(resource.place, 0, "spec", "cannot be read", "ask the operator to look at the log")]
        return Reading(refusing(resource, content, mistakes), tuple(mistakes))
    wrong = [PolicyMistake(resource.place, 0, *one) for one in unresolved(policy, known)]
    if wrong:
        return Reading(refusing(resource, content, wrong), tuple(wrong), unresolved=True)
    return Reading(policy, ())


def refusing(resource: ResourceName, content: dict[str, Any], mistakes: list[PolicyMistake]) -> Policy | None:
    """What stands in for a guard that has mistakes; None for what gives nothing when it is absent.

    A shadow guard counts for nothing, whatever it says.
    """
    spec = content.get("spec")
    told: dict[str, Any] = spec if isinstance(spec, dict) else {}
    if told.get("mode") == "shadow" or (not resource.namespace and told.get("effect") == "grant"):
        return None
    selector = _selector_of(resource, told.get("selector"))
    reason = f"{mistakes[0].key or 'the policy'}: {mistakes[0].message}"
    if len(reason) > _REASON:
        reason = reason[:_REASON] + "…"
    rule: Rule = Unreadable(f"this policy refuses everything until its author has corrected it: {reason}")
    identity = {"cluster": resource.cluster, "kind": resource.kind, "name": resource.path}
    written = None if selector is None else selector.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return Policy(
        name=name_in(resource.cluster, resource.path),
        effect="guard",
        mode="enforce",
        selector=compile_selector(selector, namespace=resource.namespace, cluster=resource.cluster),
        rules=(rule,),
        early=(rule,),
        checked=(rule.name,),
        checked_early=(rule.name,),
        maximum=None,
        waives_proof=False,
        challenges=None,
        profile="",
        profiles=None,
        authority="",
        routed=False,
        approval=None,
        kind=resource.kind,
        content=canonical_json({**identity, "refuses": reason, "selector": written}),
        document=None,
    )


def _selector_of(resource: ResourceName, told: object) -> GuardSelector | None:
    """What was to be selected, if that part is in order; None selects all that the resource can speak about."""
    model: type[GuardSelector] = GuardSelector if resource.namespace else Selector
    if told is None:
        return None
    try:
        selector = model.model_validate(told)
    except ValidationError:
        return None
    return None if _has_empty(selector) else selector


def _has_empty(part: BaseModel) -> bool:
    """Whether anything in it would match no request, which would leave the door open."""
    for _, value in part:
        if value in ([], {}) or (isinstance(value, BaseModel) and (_has_empty(value) or _is_bare(value))):
            return True
    return False


def _is_bare(part: BaseModel) -> bool:
    return all(value is None for _, value in part)
