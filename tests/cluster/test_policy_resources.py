"""Policies as resources, with a real API server: what is refused, and what acme-ra makes of the rest."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.harness import ApiError, Cluster
from tests.cluster.harness.control_plane import apply_crd
from tests.support.policy_documents import CASES, Case

CRDS = Path(__file__).parents[2] / "deploy" / "crds"
API_VERSION = "policy.acme-ra.dev/v1alpha1"


@pytest.fixture(scope="module")
def kinds(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with both kinds, and nothing of them left behind."""
    names = [apply_crd(cluster, file) for file in sorted(CRDS.glob("*.yaml"))]
    for name in names:
        cluster.wait("CustomResourceDefinition", name, until=_established)
    for namespace in ("shop", "default"):
        cluster.namespace(namespace)
    yield cluster
    for kind in ("ClusterIssuancePolicy", "IssuancePolicy"):
        for one in cluster.objects(kind):
            cluster.delete(kind, one["metadata"]["name"], one["metadata"].get("namespace"))


def _established(crd: dict[str, Any]) -> bool:
    conditions = {one["type"]: one for one in crd.get("status", {}).get("conditions", [])}
    assert conditions.get("NonStructuralSchema", {}).get("status") != "True", conditions["NonStructuralSchema"]
    return conditions.get("Established", {}).get("status") == "True"


def test_both_readers_judge_the_table_alike(kinds: Cluster) -> None:
    """What is refused in a file is refused in a resource, with the reason; but for what an API server cannot see."""
    wrong = []
    for case in CASES:
        refusal = _refusal(kinds, case)
        if (refusal is None) is not case.api:
            wrong.append(f"{case.name}: {refusal or 'accepted'}")
        elif refusal is not None and case.says not in refusal:
            wrong.append(f"{case.name}: does not say {case.says!r}: {refusal}")

    assert not wrong, "\n".join(wrong)


def _refusal(cluster: Cluster, case: Case) -> str | None:
    """What the API server says to a dry run, or None."""
    document = {"apiVersion": API_VERSION, **case.document}
    namespace = document["metadata"].get("namespace")
    where = f"namespaces/{namespace}/issuancepolicies" if namespace else "clusterissuancepolicies"
    try:
        cluster.api(
            "POST", f"/apis/{API_VERSION}/{where}?dryRun=All&fieldValidation=Strict", json.loads(json.dumps(document))
        )
    except ApiError as error:
        if error.status not in (400, 422):
            raise
        return error.message
    return None
