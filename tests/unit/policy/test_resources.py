"""Policies that are resources: what they are bound to, and what stands in for one that cannot be read."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from acme_ra.core.decision import Outcome
from acme_ra.core.problems import ServiceUnavailable
from acme_ra.core.request import Workload
from acme_ra.policy_resources.status import desired_status, differs
from acme_ra.policy_resources.watch import MAX_BYTES
from tests.support.policies import facts, grant, guard, local, policy_set, request
from tests.support.policy_resources import as_seen, combined, engine_of, reading

PAGE = Path(__file__).parents[3] / "docs" / "policy-resources.md"
OPEN = grant("open", allowed={"dnsNames": ["**.svc"]})
RULE = {"expression": "request.(", "message": "m"}


def allowed(policies: Any, name: str, cluster: str, namespace: str, **labels: str) -> bool:
    asked = request(name, workload=Workload("kubernetes", cluster, namespace, labels=labels))
    return bool(engine_of(policies).decide(asked, facts()).outcome == Outcome.ALLOWED)


@pytest.mark.parametrize("clusters", [None, ["*"], ["west"], ["east", "west"]])
def test_a_cluster_speaks_for_its_own_workloads(clusters: list[str] | None) -> None:
    """The selector can narrow that, and cannot widen it."""
    selector = {} if clusters is None else {"clusters": clusters}
    policies = combined(resources=as_seen(grant("open", selector=selector, allowed={"dnsNames": ["**.svc"]})))

    assert allowed(policies, "a.svc", "east", "shop") is (clusters != ["west"])
    assert not allowed(policies, "a.svc", "west", "shop")
    assert not allowed(policies, "a.svc", "", "shop")


@pytest.mark.parametrize(
    ("document", "closed"),
    [
        (guard("g", require={"rules": [RULE]}), {"shop", "pay"}),
        (guard("g", selector={"namespaces": {"matchNames": ["shop"]}}, require={"rules": [RULE]}), {"shop"}),
        (guard("g", selector={"namespaces": {"matchLabels": {"of": "pay"}}}, require={"rules": [RULE]}), {"pay"}),
        (guard("g", selector={"namespaces": {}}, profiles=["a"]), {"shop", "pay"}),
        (guard("g", selector={"namespaces": {"matchNames": []}}, profiles=["a"]), {"shop", "pay"}),
        (guard("g", selector={"namespace": "shop"}, profiles=["a"]), {"shop", "pay"}),
        (guard("g", require={"approval": "nobody"}), {"shop", "pay"}),
        (guard("g", selector={"clusters": ["w*"]}, require={"rules": [RULE]}), set()),
        (guard("g", mode="shadow", require={"rules": [RULE]}), set()),
        (guard("g", mode="Shadow", profiles=["a"]), {"shop", "pay"}),
        ({**guard("g"), "spec": {"profiles": ["a"]}}, {"shop", "pay"}),
        ({**guard("g"), "spec": {"effect": "Grant", "allowed": {"dnsNames": ["a"]}}}, {"shop", "pay"}),
        ({**guard("g"), "spec": "text"}, {"shop", "pay"}),
        (grant("g", allowed={"dnsNames": ["a..b"]}), set()),
        (grant("g", authority="nobody"), set()),
        (local("shop", require={"rules": [RULE]}), {"shop"}),
        (local("shop", effect="grant", profiles=["a"]), {"shop"}),
        (local("shop", profiles=["a"], denied={"dnsNames": ["x" * MAX_BYTES]}), {"shop"}),
    ],
)
def test_what_cannot_be_read_closes_what_it_may_have_been_about(document: dict[str, Any], closed: set[str]) -> None:
    """A guard refuses what it selects, or all that it can speak about; a grant and a shadow are absent."""
    policies = combined(OPEN, resources=as_seen(document))

    assert not reading(document).accepted
    refused = {one for one in ("shop", "pay") if not allowed(policies, f"a.{one}.svc", "east", one, of=one)}
    assert refused == closed
    assert allowed(policies, "a.shop.svc", "west", "shop")


def test_a_resource_of_another_faults_nobody() -> None:
    """What is unknown about one cluster is 503 for its workloads only, and another set."""
    policies = combined(OPEN, unknown=("east",))

    with pytest.raises(ServiceUnavailable):
        allowed(policies, "a.svc", "east", "shop")
    assert allowed(policies, "a.svc", "west", "shop")
    assert policies.digest != combined(OPEN).digest


def test_the_digest_covers_what_counts() -> None:
    """Cluster, namespace, name and spec; not labels, annotations, versions or status."""
    one = local("shop", profiles=["default"])
    digest = combined(resources=as_seen(one)).digest

    same = {**one, "metadata": {**one["metadata"], "labels": {"a": "b"}, "annotations": {"c": "d"}}}
    assert combined(resources=as_seen(same, generation=7, status={"conditions": []})).digest == digest
    others = [
        as_seen(one, cluster="west"),
        as_seen(local("pay", profiles=["default"])),
        as_seen(local("shop", "other", profiles=["default"])),
        as_seen(local("shop", profiles=["short"])),
        as_seen(local("shop", profiles=["short"], nothing=1)),
    ]
    assert len({digest, policy_set(one).digest, *(combined(resources=other).digest for other in others)}) == 7


def test_a_status_is_written_once_and_keeps_the_time_of_its_transition() -> None:
    """What the API server has already is no reason to write; another generation is, and its time stays."""
    document = local("shop", profiles=["default"])
    ((resource, fresh),) = as_seen(document).items()
    first = desired_status(resource, fresh, reading(document), "2026-11-24T12:00:00Z")
    assert differs(fresh, first)

    ((_, told),) = as_seen(document, status=first).items()
    again = desired_status(resource, told, reading(document), "2026-11-24T13:00:00Z")
    assert not differs(told, again)

    ((_, changed),) = as_seen(document, generation=2, status=first).items()
    renewed = desired_status(resource, changed, reading(document), "2026-11-24T13:00:00Z")
    assert differs(changed, renewed)
    assert renewed["conditions"][0]["lastTransitionTime"] == "2026-11-24T12:00:00Z"


def test_the_messages_of_many_mistakes_are_cut() -> None:
    document = local("shop", **{f"unknown{index}": "x" for index in range(200)})
    ((resource, one),) = as_seen(document).items()

    (condition,) = desired_status(resource, one, reading(document), "2026-11-24T12:00:00Z")["conditions"]

    assert len(condition["message"]) <= 2000
    assert "more" in condition["message"] or "…" in condition["message"]
    assert "refuses what it selects" in condition["message"]


def test_the_page_has_policies_that_are_accepted() -> None:
    """Each YAML block of docs/policy-resources.md is a resource that is in order."""
    blocks = PAGE.read_text().split("```yaml\n")[1:]

    for block in blocks:
        assert reading(yaml.safe_load(block.partition("```")[0])).accepted
    assert blocks
