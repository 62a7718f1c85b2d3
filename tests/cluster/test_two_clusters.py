"""Two clusters with one acme-ra: a credential speaks for the cluster that it is bound to, and for no other."""

import base64

import pytest

from tests.clients.certificates import serial
from tests.cluster.harness import Object, condition
from tests.cluster.harness.cert_manager import NAMESPACE
from tests.cluster.harness.world import ISSUER, World
from tests.cluster.test_attribution import workload_of

SHARED = "shared-name"


@pytest.fixture(scope="module", autouse=True)
def namespaces(world: World, other_world: World) -> None:
    """The same namespace in both clusters."""
    for one in (world, other_world):
        one.cluster.namespace(SHARED)


def test_each_cluster_is_attributed_by_itself(world: World, other_world: World) -> None:
    """The same Certificate in both: each decision names its own cluster."""
    for one in (world, other_world):
        one.ask(SHARED, "same", "db.shared-name.svc")
    for one in (world, other_world):
        leaf = one.ready(SHARED, "same")
        workload = workload_of(one, serial(leaf))
        uid = one.cluster.get("Certificate", "same", SHARED)["metadata"]["uid"]
        assert (workload["cluster"], workload["evidence"]["certificate_uid"]) == (one.cluster.name, uid)


def test_a_stolen_account_does_not_speak_for_its_cluster(world: World, other_world: World) -> None:
    """West has east's account key and credential: its orders are looked for in east, and are not there.

    So they are refused, although west has the Order, the namespace and the name.
    """
    issuer = copied(world, other_world)
    other_world.cluster.wait("ClusterIssuer", issuer, until=condition("Ready"))

    ref = {"name": issuer, "kind": "ClusterIssuer"}
    other_world.ask(SHARED, "stolen", "stolen.shared-name.svc", issuerRef=ref)

    told = other_world.refused(SHARED, "stolen")
    assert "east" in told, told


def copied(world: World, other_world: World) -> str:
    """East's issuer and both of its secrets under another name in west."""
    issuer = world.cluster.get("ClusterIssuer", ISSUER)["spec"]
    acme = issuer["acme"]
    for ref in (acme["privateKeySecretRef"], acme["externalAccountBinding"]["keySecretRef"]):
        secret = world.cluster.get("Secret", ref["name"], NAMESPACE)
        ref["name"] = f"stolen-{ref['name']}"
        values = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
        meta: Object = {"name": ref["name"], "namespace": NAMESPACE}
        other_world.cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": values})
    made = {"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": "stolen"}}
    other_world.cluster.apply({**made, "spec": issuer})
    return "stolen"
