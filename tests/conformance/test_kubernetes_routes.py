"""Routes are looked up in the workload's own namespace, in four kinds, as far as the cluster has them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from acme_ra.attribution.sources.kubernetes.routes import find_routes
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.kubernetes.client import ApiClient
from acme_ra.kubernetes.errors import ApiUnavailable
from tests.support.cert_manager import FakeCertManager
from tests.support.fake_kubernetes import FakeKubernetes


@pytest.fixture
async def fake() -> AsyncIterator[FakeKubernetes]:
    async with FakeKubernetes.running() as running:
        yield running


@pytest.fixture
async def client(fake: FakeKubernetes) -> AsyncIterator[ApiClient]:
    made = fake.client()
    yield made
    await made.close()


def dns(*values: str) -> tuple[Identifier, ...]:
    return tuple(Identifier(IdentifierType.DNS, value) for value in values)


def put(fake: FakeKubernetes, plural: str, namespace: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return fake.put(plural, {"metadata": {"namespace": namespace, "name": name}, "spec": spec})


async def test_each_kind_carries_its_names(fake: FakeKubernetes, client: ApiClient) -> None:
    """Rules and tls of an Ingress, listeners of a Gateway, hostnames of routes; the rest is left out."""
    FakeCertManager(fake).ingress("shop", "web", "a.example", tls=("b.example",))
    put(fake, "gateways", "shop", "gate", {"listeners": [{"hostname": "*.gate.example"}, {}]})
    put(fake, "httproutes", "shop", "http", {"hostnames": ["c.example"], "rules": [{"matches": []}]})
    put(fake, "tlsroutes", "shop", "tls", {"hostnames": ["d.example"], "rules": [{}]})
    names = dns("a.example", "b.example", "x.y.gate.example", "c.example", "d.example", "e.example")

    assert await find_routes(client, "shop", names) == {
        "a.example": "Ingress web",
        "b.example": "Ingress web",
        "x.y.gate.example": "Gateway gate",
        "c.example": "HTTPRoute http",
        "d.example": "TLSRoute tls",
    }


async def test_another_namespaces_routes_carry_nothing(fake: FakeKubernetes, client: ApiClient) -> None:
    """The whole point: whoever wants a name must serve it."""
    FakeCertManager(fake).ingress("pay", "web", "a.example")
    put(fake, "gateways", "pay", "gate", {"listeners": [{"hostname": "a.example"}]})

    assert await find_routes(client, "shop", dns("a.example")) == {}


async def test_an_answer_of_another_namespace_is_passed_over(fake: FakeKubernetes, client: ApiClient) -> None:
    """Whatever a proxy mixes up."""
    theirs = b'{"metadata":{"name":"web","namespace":"pay"},"spec":{"rules":[{"host":"a.example"}]}}'
    body = b'{"metadata":{},"items":[' + theirs + b"]}"
    fake.script("GET", "/namespaces/shop/ingresses", body=body)

    assert await find_routes(client, "shop", dns("a.example")) == {}


async def test_what_is_being_deleted_carries_nothing(fake: FakeKubernetes, client: ApiClient) -> None:
    made = FakeCertManager(fake).ingress("shop", "web", "a.example")
    made["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"

    assert await find_routes(client, "shop", dns("a.example")) == {}


@pytest.mark.parametrize("plural", ["ingresses", "httproutes"])
async def test_what_cert_manager_solves_with_carries_nothing(
    fake: FakeKubernetes, client: ApiClient, plural: str
) -> None:
    """Its solver serves the name while http-01 runs, whoever asked for the certificate."""
    made = put(
        fake, plural, "shop", "cm-acme-http-solver-x", {"rules": [{"host": "a.example"}], "hostnames": ["a.example"]}
    )
    assert await find_routes(client, "shop", dns("a.example"))

    made["metadata"]["labels"] = {"acme.cert-manager.io/http01-solver": "true"}

    assert await find_routes(client, "shop", dns("a.example")) == {}


async def test_kinds_that_the_cluster_does_not_know_carry_nothing(fake: FakeKubernetes, client: ApiClient) -> None:
    """No Gateway API: its resources are 404, and that is an answer."""
    fake.missing.add("gateway.networking.k8s.io")
    FakeCertManager(fake).ingress("shop", "web", "a.example")

    assert await find_routes(client, "shop", dns("a.example", "b.example")) == {"a.example": "Ingress web"}


async def test_older_versions_of_tlsroutes_are_asked_for(fake: FakeKubernetes, client: ApiClient) -> None:
    """It was in the experimental channel for years."""
    put(fake, "tlsroutes", "shop", "tls", {"hostnames": ["a.example"]})
    for version in ("v1", "v1alpha3"):
        fake.script("GET", f"/{version}/namespaces/shop/tlsroutes", status=404)

    assert await find_routes(client, "shop", dns("a.example")) == {"a.example": "TLSRoute tls"}


async def test_no_more_is_read_than_is_needed(fake: FakeKubernetes, client: ApiClient) -> None:
    """All names are carried by an Ingress: nobody asks for the other kinds. Addresses are not looked up at all."""
    FakeCertManager(fake).ingress("shop", "web", "a.example")
    calls = len(fake.calls)

    assert await find_routes(client, "shop", dns("a.example"))
    assert len(fake.calls) == calls + 1
    assert await find_routes(client, "shop", (Identifier(IdentifierType.IP, "192.0.2.7"),)) == {}
    assert len(fake.calls) == calls + 1


@pytest.mark.parametrize(
    "spec", [{"rules": None}, {"rules": [{}]}, {"tls": [{"hosts": None}]}, {"listeners": [{"hostname": None}]}, None]
)
async def test_what_names_no_host_carries_nothing(fake: FakeKubernetes, client: ApiClient, spec: Any) -> None:
    """An Ingress without hosts takes every request, and so says nothing about a name."""
    for plural in ("ingresses", "gateways", "httproutes", "tlsroutes"):
        put(fake, plural, "shop", "web", spec)

    assert await find_routes(client, "shop", dns("a.example")) == {}


@pytest.mark.parametrize(
    "spec", ["x", {"rules": "x"}, {"hostnames": [7]}, {"listeners": [{"hostname": ["a.example"]}]}]
)
async def test_what_cannot_be_read_is_no_answer(fake: FakeKubernetes, client: ApiClient, spec: Any) -> None:
    """503, not "unrouted"."""
    for plural in ("ingresses", "gateways", "httproutes", "tlsroutes"):
        put(fake, plural, "shop", "web", spec)

    with pytest.raises(ApiUnavailable):
        await find_routes(client, "shop", dns("a.example"))
