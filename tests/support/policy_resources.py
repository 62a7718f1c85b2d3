"""Policy resources for tests: what an API server would tell, read and merged as a worker does it."""

import json
from typing import Any

from acme_ra.policy.compiled import PolicySet
from acme_ra.policy.engine import PolicyEngine
from acme_ra.policy.references import References
from acme_ra.policy.resources import Reading, ResourceName
from acme_ra.policy_resources.merge import Reader, Seen, merge
from acme_ra.policy_resources.watch import SeenPolicy, seen
from tests.support.policies import APPROVAL_KEY, policy_set

KNOWN = References(("intermediate",), ("default", "short"), ("security",))
CLUSTER = "east"


def as_seen(document: dict[str, Any], *, cluster: str = CLUSTER, generation: int = 1, **more: Any) -> Seen:
    """A document as a watch of this cluster tells it."""
    obj = json.loads(json.dumps({"apiVersion": "policy.acme-ra.dev/v1alpha1", **document, **more}))
    obj["metadata"] |= {"generation": generation, "resourceVersion": "1", "uid": "u", "managedFields": [{"a": 1}]}
    one: SeenPolicy = seen(obj)
    return {ResourceName(cluster, document["kind"], *one.key): one}


def reading(document: dict[str, Any], *, cluster: str = CLUSTER) -> Reading:
    (found,) = Reader(KNOWN).read(as_seen(document, cluster=cluster)).values()
    return found


def combined(*files: dict[str, Any], resources: Seen | None = None, unknown: tuple[str, ...] = ()) -> PolicySet:
    readings = Reader(KNOWN).read(resources or {})
    return merge(policy_set(*files), readings, unknown=frozenset(unknown))


def engine_of(policies: PolicySet) -> PolicyEngine:
    return PolicyEngine(policies, approval_key=APPROVAL_KEY)
