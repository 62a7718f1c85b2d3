"""Ingresses and Gateways: cert-manager's shims ask for their certificates, and `routed: true` looks at them."""

import pytest

from tests.clients.certificates import serial
from tests.cluster.harness import Object
from tests.cluster.harness.world import BY_HTTP, ISSUER, World
from tests.cluster.test_attribution import workload_of
from tests.support.processes import wait_for

NAMESPACE = "shop"
ANNOTATED = {"cert-manager.io/cluster-issuer": ISSUER}
GATEWAY_API = "gateway.networking.k8s.io/v1"


@pytest.fixture(scope="module", autouse=True)
def namespaces(world: World) -> None:
    world.cluster.namespace(NAMESPACE)
    world.cluster.namespace("stall")


def ingress(name: str, host: str, *, namespace: str = NAMESPACE, labels: dict[str, str] | None = None) -> Object:
    """An Ingress that carries the host, with TLS from the Secret NAME-tls."""
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    rule = {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    meta: Object = {"name": name, "namespace": namespace, "labels": labels or {}}
    spec = {"rules": [rule], "tls": [{"hosts": [host], "secretName": f"{name}-tls"}]}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta, "spec": spec}


def annotated(manifest: Object) -> Object:
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": ANNOTATED}}


def came(world: World, name: str) -> None:
    """Wait until a shim has made the Certificate."""
    wait_for(lambda: world.cluster.exists("Certificate", name, NAMESPACE), what=f"Certificate {name}")


@pytest.mark.parametrize(("name", "labels"), [("by-dns", {}), ("by-http", BY_HTTP)])
def test_an_annotated_ingress_gets_its_certificate(world: World, name: str, labels: dict[str, str]) -> None:
    """ingress-shim makes the Certificate; the decision names the Ingress as its owner, and as what carries the name."""
    world.cluster.apply(annotated(ingress(name, f"{name}.shop.routed.test", labels=labels)))
    came(world, f"{name}-tls")

    leaf = world.ready(NAMESPACE, f"{name}-tls")

    assert workload_of(world, serial(leaf))["owner"] == f"Ingress {name}"


def test_an_annotated_gateway_gets_its_certificate(world: World) -> None:
    """gateway-shim, for a listener that terminates TLS."""
    tls = {"mode": "Terminate", "certificateRefs": [{"name": "gate-tls"}]}
    listener = {"name": "https", "hostname": "gate.shop.routed.test", "port": 443, "protocol": "HTTPS", "tls": tls}
    spec = {"gatewayClassName": "none", "listeners": [listener]}
    meta = {"name": "gate", "namespace": NAMESPACE}
    world.cluster.apply(annotated({"apiVersion": GATEWAY_API, "kind": "Gateway", "metadata": meta, "spec": spec}))
    came(world, "gate-tls")

    leaf = world.ready(NAMESPACE, "gate-tls")

    assert workload_of(world, serial(leaf))["owner"] == "Gateway gate"


@pytest.mark.parametrize("kind", ["HTTPRoute", "TLSRoute"])
def test_a_route_carries_a_name(world: World, kind: str) -> None:
    """A Certificate of one's own for a name that a route of the namespace has."""
    name = kind.lower()
    host = f"{name}.shop.routed.test"
    rule = {"backendRefs": [{"name": "web", "port": 443}]}
    spec = {"hostnames": [host], "rules": [rule], "parentRefs": [{"name": "elsewhere", "namespace": "gateways"}]}
    meta = {"name": name, "namespace": NAMESPACE}
    world.cluster.apply({"apiVersion": GATEWAY_API, "kind": kind, "metadata": meta, "spec": spec})

    world.ask(NAMESPACE, name, host)

    world.ready(NAMESPACE, name)


def test_a_name_without_a_route_is_refused(world: World) -> None:
    """The condition says that nothing in this namespace carries it, and what would."""
    world.ask(NAMESPACE, "nowhere", "nowhere.shop.routed.test")

    told = world.refused(NAMESPACE, "nowhere")

    assert "nowhere.shop.routed.test" in told
    assert "Ingress" in told, told
    assert "routed-names" in told


def test_another_namespaces_route_does_not_count(world: World) -> None:
    """An Ingress with the same host elsewhere."""
    world.cluster.apply(ingress("elsewhere", "elsewhere.shop.routed.test", namespace="stall"))
    world.ask(NAMESPACE, "elsewhere", "elsewhere.shop.routed.test")

    assert "elsewhere.shop.routed.test" in world.refused(NAMESPACE, "elsewhere")


def test_the_solvers_own_ingress_does_not_count(world: World) -> None:
    """cert-manager carries the name itself while it solves http-01: that is no route of anybody."""
    labels = {"acme.cert-manager.io/http01-solver": "true"}
    world.cluster.apply(ingress("cm-acme-http-solver-x", "solver.shop.routed.test", labels=labels))
    world.ask(NAMESPACE, "solver", "solver.shop.routed.test")

    assert "solver.shop.routed.test" in world.refused(NAMESPACE, "solver")
