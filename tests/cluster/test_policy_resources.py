"""Policies as resources, with a real API server: what is refused, and what acme-ra makes of the rest."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.harness import RA, ApiError, Cluster
from tests.cluster.harness.control_plane import apply_crd
from tests.cluster.harness.world import World
from tests.support.oracle import check, events
from tests.support.policies import grant, guard, local
from tests.support.policy_documents import CASES, Case
from tests.support.processes import wait_for
from tests.support.server import Ports, served

CRDS = Path(__file__).parents[2] / "deploy" / "crds"
API_VERSION = "policy.acme-ra.dev/v1alpha1"
KINDS = ("ClusterIssuancePolicy", "IssuancePolicy")
REF = {"name": "policies", "kind": "Issuer"}
WORKERS = 2
#: All that acme-ra needs for attribution and for policies.
RULES: list[dict[str, Any]] = [
    {"apiGroups": ["acme.cert-manager.io"], "resources": ["orders"], "verbs": ["get", "list", "watch"]},
    {
        "apiGroups": ["cert-manager.io"],
        "resources": ["certificaterequests", "certificates", "issuers", "clusterissuers"],
        "verbs": ["get"],
    },
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]},
    {
        "apiGroups": ["policy.acme-ra.dev"],
        "resources": ["clusterissuancepolicies", "issuancepolicies"],
        "verbs": ["get", "list", "watch"],
    },
    {
        "apiGroups": ["policy.acme-ra.dev"],
        "resources": ["clusterissuancepolicies/status", "issuancepolicies/status"],
        "verbs": ["patch"],
    },
]
FILE = """
kind: ClusterIssuancePolicy
metadata: {name: internal-names}
spec:
  effect: grant
  selector: {namespaces: {matchNames: ["policies-*"]}}
  allowed: {dnsNames: ["*.{namespace}.svc"]}
  require: {challenges: none}
"""


@pytest.fixture(scope="module")
def kinds(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with both kinds, and nothing of them left behind."""
    names = [apply_crd(cluster, file) for file in sorted(CRDS.glob("policy.acme-ra.dev_*.yaml"))]
    for name in names:
        cluster.wait("CustomResourceDefinition", name, until=_established)
    for namespace in ("shop", "default"):
        cluster.namespace(namespace)
    yield cluster
    for kind in KINDS:
        for one in cluster.objects(kind):
            cluster.delete(kind, one["metadata"]["name"], one["metadata"].get("namespace"))


@pytest.fixture(scope="module")
def ra(world: World, kinds: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Another acme-ra in the same cluster, which reads the policies there; with two workers."""
    root = tmp_path_factory.mktemp("policies")
    (root / "policies.yaml").write_text(FILE)
    kinds.grant(RA.name, "acme-ra-policies", RULES)

    def configure(document: dict[str, Any]) -> None:
        document["policies"]["path"] = str(root / "policies.yaml")
        document["server"]["workers"] = WORKERS
        document["clusters"] = {kinds.name: {"kubeconfig": str(kinds.kubeconfig_of(RA)), "policies": "all"}}

    with served(root, ports=Ports(), change=configure) as server:
        yield replace(world, server=server)
        check(server)


@pytest.fixture
def namespace(ra: World, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own, with an Issuer that points at that acme-ra."""
    name = "policies-" + request.node.name.removeprefix("test_").replace("_", "-")[:30].strip("-")
    ra.cluster.namespace(name)
    ra.issuer("--issuer-kind", "Issuer", "--namespace", name, "--name", REF["name"])
    return name


def put(ra: World, document: dict[str, Any]) -> dict[str, Any]:
    """Apply a policy, wait for its status, and until every worker has the set with it. Its condition."""
    meta = document["metadata"]
    written = ra.cluster.apply({"apiVersion": API_VERSION, **document})
    generation = written["metadata"]["generation"]
    found = ra.cluster.wait(
        document["kind"],
        meta["name"],
        meta.get("namespace"),
        until=lambda one: one.get("status", {}).get("observedGeneration") == generation,
    )
    everywhere(ra)
    (condition,) = found["status"]["conditions"]
    assert condition["type"] == "Accepted"
    assert condition["observedGeneration"] == generation
    return dict(condition)


def remove(ra: World, document: dict[str, Any]) -> None:
    before = applied(ra)[0]
    meta = document["metadata"]
    ra.cluster.delete(document["kind"], meta["name"], meta.get("namespace"))
    wait_for(lambda: applied(ra)[0] != before, what="a set without it", log=ra.server.log)
    everywhere(ra)


def everywhere(ra: World) -> None:
    wait_for(lambda: len(set(applied(ra))) == 1, what="one set in all workers", log=ra.server.log)


def applied(ra: World) -> list[str]:
    """The digest of the set that each worker applied last, as their logs say."""
    assert ra.server.process is not None
    last: dict[int, str] = {}
    for line in ra.server.process.err.read_text().splitlines():
        if '"policies applied"' in line:
            told = json.loads(line)
            last[told["worker"]] = told["digest"]
    return [last.get(worker, f"none in {worker}") for worker in range(WORKERS)]


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


def test_a_namespace_narrows_what_it_may_have(ra: World, namespace: str) -> None:
    """Its own guard refuses, with its name and rule in the Certificate's condition; without it, nothing does."""
    ra.ask(namespace, "first", f"db.{namespace}.svc", issuerRef=REF)
    ra.ready(namespace, "first")
    narrow = local(namespace, "no-databases", denied={"dnsNames": ["db.*.svc"]})

    condition = put(ra, narrow)

    assert (condition["status"], condition["reason"]) == ("True", "Applied")
    assert condition["message"] == f"in force for workloads of namespace {namespace} of cluster east"
    ra.ask(namespace, "second", f"db.{namespace}.svc", issuerRef=REF)
    ra.ask(namespace, "other", f"web.{namespace}.svc", issuerRef=REF)
    assert f"[guard east:{namespace}/no-databases, rule denied.dnsNames]" in ra.refused(namespace, "second")
    ra.ready(namespace, "other")
    remove(ra, narrow)
    ra.ask(namespace, "third", f"db.{namespace}.svc", issuerRef=REF)
    ra.ready(namespace, "third")


def test_a_cluster_grants_its_own_workloads(ra: World, namespace: str) -> None:
    """A grant that is a resource gives names that no file gives, until it is broken; then they are not given."""
    more = grant("more", allowed={"dnsNames": ["*.{namespace}.more.test"]}, require={"challenges": "none"})
    assert put(ra, more)["status"] == "True"
    ra.ask(namespace, "first", f"a.{namespace}.more.test", issuerRef=REF)
    ra.ready(namespace, "first")

    broken = {**more, "spec": {**more["spec"], "authority": "nobody"}}
    condition = put(ra, broken)

    assert (condition["status"], condition["reason"]) == ("False", "UnknownReference")
    assert "there is no authority called 'nobody'" in condition["message"]
    ra.ask(namespace, "second", f"b.{namespace}.more.test", issuerRef=REF)
    assert "not among the names allowed" in ra.refused(namespace, "second")
    ra.cluster.delete(broken["kind"], "more")


def test_a_guard_that_cannot_be_read_refuses(ra: World, namespace: str) -> None:
    """A slip of the pen that the API server keeps: the status says what is wrong, and nothing is issued meanwhile."""
    slip = local(namespace, "slip", profiles=["default"], denyed={"dnsNames": ["db.*.svc"]})

    condition = put(ra, slip)

    assert (condition["status"], condition["reason"]) == ("False", "Invalid")
    assert "spec.denyed: is an unknown key; did you mean denied?" in condition["message"]
    ra.ask(namespace, "first", f"web.{namespace}.svc", issuerRef=REF)
    assert "spec.denyed: is an unknown key" in ra.refused(namespace, "first")
    remove(ra, slip)
    ra.ask(namespace, "second", f"web.{namespace}.svc", issuerRef=REF)
    ra.ready(namespace, "second")


def test_every_change_is_in_the_audit_log_once(ra: World, namespace: str) -> None:
    """One event for each set, with its digest, though two workers applied it; decisions have the same digest."""
    put(ra, local(namespace, "own", constraints={"maxDuration": "1d"}))
    ra.ask(namespace, "first", f"web.{namespace}.svc", issuerRef=REF)
    ra.ready(namespace, "first")

    log = events(ra.server)

    sets = [one["body"] for one in log if one["kind"] == "policy.applied"]
    assert all(before["digest"] != after["digest"] for before, after in pairwise(sets))
    decided = [one["body"]["decision"] for one in log if one["kind"] == "decision.allowed"][-1]
    assert decided["policy_digest"] == sets[-1]["digest"] == applied(ra)[0]
    assert sets[-1]["resources"] >= 1


def test_the_api_server_restarts(ra: World, namespace: str) -> None:
    """What was written while it was away from acme-ra is in force soon after it is back."""
    ra.cluster.stop()
    ra.cluster.start()

    condition = put(ra, local(namespace, "own", denied={"dnsNames": ["web.*.svc"]}))

    assert condition["status"] == "True"
    ra.ask(namespace, "first", f"web.{namespace}.svc", issuerRef=REF)
    assert "rule denied.dnsNames" in ra.refused(namespace, "first")


def test_columns_tell_effect_and_acceptance(ra: World) -> None:
    """What `kubectl get` shows."""
    put(ra, guard("columns", mode="shadow", profiles=["default"]))

    crd = ra.cluster.get("CustomResourceDefinition", "clusterissuancepolicies.policy.acme-ra.dev")
    names = crd["status"]["acceptedNames"]

    assert (names["shortNames"], names["categories"]) == (["cipol"], ["acme-ra"])
    (version,) = crd["spec"]["versions"]
    shown = [one["name"] for one in version["additionalPrinterColumns"] if not one.get("priority")]
    assert shown == ["Effect", "Mode", "Accepted", "Reason", "Age"]
    remove(ra, guard("columns"))
