"""An API server that fails, lies, hangs or floods: 503 within a bounded time, never an attribution, never a crash."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from acme_ra.attribution.sources.kubernetes import finder
from acme_ra.attribution.sources.kubernetes.source import KubernetesSource
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.objects import Binding
from acme_ra.core.problems import ServiceUnavailable, Unauthorized
from acme_ra.core.request import Workload
from acme_ra.kubernetes import client as client_module
from acme_ra.kubernetes import reflector as reflector_module
from acme_ra.kubernetes.clusters import Clusters
from tests.support.cert_manager import CSR, URL, FakeCertManager, query, reference, watched
from tests.support.fake_kubernetes import FakeKubernetes

PARTS = (
    "/orders/web-1-7",
    "/namespaces/shop",
    "/clusterissuers/",
    "/certificaterequests/",
    "/certificates/",
    "/ingresses/",
)
SHOP = Workload(source="kubernetes", cluster="prod", namespace="shop")
NAMES = (Identifier(IdentifierType.DNS, "web.shop.svc"),)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finder, "CATCH_UP", 0.05)
    monkeypatch.setattr(finder, "SEARCH_INTERVAL", 0.2)
    monkeypatch.setattr(reflector_module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(reflector_module, "LONGEST_PAUSE", 0.05)


@pytest.fixture
async def fake() -> AsyncIterator[FakeKubernetes]:
    """The shop's web certificate, made for an Ingress."""
    async with FakeKubernetes.running() as running:
        manager = FakeCertManager(running)
        manager.namespace("shop")
        manager.issuer()
        ingress = manager.ingress("shop", "front", "web.shop.svc")
        manager.order(owner=reference("Ingress", "networking.k8s.io/v1", ingress))
        yield running


async def unavailable(source: KubernetesSource, **more: object) -> str:
    with pytest.raises(ServiceUnavailable) as raised:
        await asyncio.wait_for(source.attribute(query(**more)), 60)  # type: ignore[arg-type]
    return raised.value.detail


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_an_error_is_no_answer(fake: FakeKubernetes, part: str, status: int) -> None:
    """At each of the calls; what the API server said stays in the log. Afterwards all is well by itself."""
    async with watched(fake) as source:
        fault = fake.script("GET", part, status=status)
        told = await unavailable(source, csr=CSR)
        assert "cluster prod" in told
        assert "scripted" not in told
        fake.faults.remove(fault)
        assert await source.attribute(query(csr=CSR))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("body", [b"<html>login</html>", b"{}", b"[]", b'{"metadata":{"name":"web"', b"\xff\xfe\x00"])
async def test_garbage_is_no_answer(fake: FakeKubernetes, part: str, body: bytes) -> None:
    """A proxy's login page, half an object, an object without metadata."""
    async with watched(fake) as source:
        fake.script("GET", part, body=body)
        await unavailable(source, csr=CSR)


@pytest.mark.parametrize("part", PARTS)
async def test_silence_is_no_answer(fake: FakeKubernetes, part: str) -> None:
    """The call is given up, and so is the whole request."""
    async with watched(fake, timeout=200) as source:
        fake.script("GET", part, hang=True)
        await unavailable(source, csr=CSR)


async def test_an_order_that_lacks_everything_stops_no_other(fake: FakeKubernetes) -> None:
    """Somebody who may write Orders writes one without a spec, before and while others are looked for."""
    fake.put("orders", {"metadata": {"namespace": "evil", "name": "empty"}})
    async with watched(fake) as source:
        fake.put("orders", {"metadata": {"namespace": "evil", "name": "bare"}, "status": None})
        FakeCertManager(fake).bare_order("shop", "after", url=URL + "x")

        assert await source.attribute(query())
        assert await source.attribute(query(url=URL + "x"))


async def test_many_slow_answers_are_one_slow_answer(fake: FakeKubernetes) -> None:
    """Each call in its time, all of them together too late."""
    async with watched(fake, timeout=60_000, attribution_timeout=300) as source:
        fake.script("GET", "/certificates/", hang=True)
        assert "cluster prod" in await unavailable(source)


@pytest.mark.parametrize("part", PARTS)
async def test_an_answer_without_end_is_no_answer(
    fake: FakeKubernetes, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object of many megabytes does not reach the memory."""
    async with watched(fake) as source:
        fake.script("GET", part, body=b'{"metadata": {"name": "' + b"x" * (client_module.MAX_OBJECT + 1000) + b'"}}')
        await unavailable(source)


@pytest.mark.parametrize(
    "body",
    [
        b'{"metadata":{"name":"web-1-7","namespace":"pay","uid":"%UID%"},"spec":%SPEC%,"status":{"url":"%URL%"}}',
        b'{"metadata":{"name":"web-1-7","namespace":"shop"},"spec":%SPEC%,"status":{"url":"%URL%"}}',
        b'{"metadata":{"name":"web-1-7","namespace":"shop","uid":"%UID%"},"spec":%SPEC%,"status":null}',
    ],
)
async def test_an_object_that_is_another_one_is_refused(fake: FakeKubernetes, body: bytes) -> None:
    """Another namespace, no UID, no status: a cache in between has mixed things up."""
    order = fake.get("orders", "shop", "web-1-7")
    assert order is not None
    uid = order["metadata"]["uid"].encode()
    spec = b'{"request":"AAAA","issuerRef":{"name":"acme-ra","kind":"ClusterIssuer"}}'
    body = body.replace(b"%UID%", uid).replace(b"%SPEC%", spec).replace(b"%URL%", URL.encode())
    async with watched(fake) as source:
        fake.script("GET", "/orders/web-1-7", body=body)
        with pytest.raises(Unauthorized):
            await source.attribute(query())


async def test_an_issuer_that_registers_just_now_is_asked_again(fake: FakeKubernetes) -> None:
    """cert-manager clears status.acme.uri when an issuer changes; a 4xx would end the Certificate's try for an hour."""
    async with watched(fake) as source:
        FakeCertManager(fake).issuer("")
        assert "no account yet" in await unavailable(source)
        FakeCertManager(fake).issuer()
        assert await source.attribute(query())


async def test_an_order_that_the_watch_does_not_know_is_found_by_a_list(fake: FakeKubernetes) -> None:
    """A watch that hangs in silence makes it slower, not wrong; and it is begun anew."""
    fake.delete("orders", "shop", "web-1-7")
    async with watched(fake) as source:
        await _until(lambda: fake.count("WATCH", "/orders") == 1)
        fake.held = True
        FakeCertManager(fake).bare_order("shop", "late")
        lists = fake.count("GET", "/apis/acme.cert-manager.io/v1/orders")

        workloads = await source.attribute(query())

        assert workloads is not None
        assert workloads[0].namespace == "shop"
        assert fake.count("GET", "/apis/acme.cert-manager.io/v1/orders") == lists + 1
        await _until(lambda: fake.count("WATCH", "/orders") >= 2)


async def test_an_order_that_comes_a_moment_later_is_waited_for(fake: FakeKubernetes) -> None:
    """Without a list: the watch tells it."""
    fake.delete("orders", "shop", "web-1-7")
    finder.CATCH_UP = 30.0  # put back by `quick`
    async with watched(fake) as source:
        lists = fake.count("GET", "/apis/acme.cert-manager.io/v1/orders")
        asked = asyncio.ensure_future(source.attribute(query()))
        await asyncio.sleep(0.05)
        FakeCertManager(fake).bare_order("shop", "late")

        assert await asyncio.wait_for(asked, 60)
        assert fake.count("GET", "/apis/acme.cert-manager.io/v1/orders") == lists


async def test_orders_that_are_nobodys_do_not_cost_a_list_each(fake: FakeKubernetes) -> None:
    """A stolen account floods with orders that no cluster knows: all are refused, the API server hardly notices."""
    async with watched(fake) as source:
        lists = fake.count("GET", "/apis/acme.cert-manager.io/v1/orders")
        asked = [query(url=f"{URL[:-3]}{number:03}") for number in range(100)]

        ended = await asyncio.gather(*(source.attribute(one) for one in asked), return_exceptions=True)

        assert {type(one) for one in ended} == {Unauthorized}
        assert fake.count("GET", "/apis/acme.cert-manager.io/v1/orders") - lists <= 5
        # And those who are somebody's are served meanwhile.
        assert await source.attribute(query())


async def test_a_list_that_fails_proves_nothing(fake: FakeKubernetes) -> None:
    """No Order in the cache, and the cluster cannot be asked: that is not "none"."""
    async with watched(fake) as source:
        fake.script("GET", "/v1/orders", status=500)
        await unavailable(source, url=URL + "x")


async def test_half_a_list_proves_nothing(fake: FakeKubernetes) -> None:
    """The snapshot is given up in the middle (410)."""
    for number in range(4):
        FakeCertManager(fake).bare_order("shop", f"more-{number}", url=f"{URL}{number}")
    async with watched(fake) as source:
        fake.page_limit = 2
        answer = fake._list

        def compacting(*arguments: object) -> object:
            made = answer(*arguments)  # type: ignore[arg-type]
            fake._snapshots.clear()
            return made

        fake._list = compacting  # type: ignore[assignment, method-assign]
        await unavailable(source, url=URL + "x")


async def test_a_cluster_that_was_never_seen_proves_nothing(fake: FakeKubernetes) -> None:
    """Started while the API server is down: 503 until it is back, then all is well by itself."""
    fault = fake.script("*", "/orders", status=503)
    clusters = Clusters({"prod": fake.client(attribution_timeout=300)})
    source = KubernetesSource(clusters)
    await source.start()

    await unavailable(source)
    fake.faults.remove(fault)
    clusters["prod"].settings = fake.settings()
    assert await source.wait_synced(120)
    assert await source.attribute(query())

    await source.close()
    await clusters.close()


async def test_a_cluster_that_is_down_holds_no_other_up(fake: FakeKubernetes) -> None:
    """A credential of prod is served while west is away; who needs both gets 503, for west might know better."""
    async with FakeKubernetes.running() as west:
        FakeCertManager(west).namespace("shop")
        async with watched(fake, west) as source:
            west.script("*", "/", status=503)
            west.break_watches()
            assert await source.attribute(query(binding=Binding(cluster="prod")))
            await unavailable(source, binding=None, clusters=("prod", "west"))


@pytest.mark.parametrize("status", [403, 500])
async def test_routes_that_cannot_be_read_are_not_none(fake: FakeKubernetes, status: int) -> None:
    """Nothing would be refused as unrouted because the API server had a bad minute."""
    async with watched(fake) as source:
        fake.script("GET", "/namespaces/shop/ingresses", status=status)
        with pytest.raises(ServiceUnavailable):
            await source.routes(SHOP, NAMES)


async def test_silent_routes_are_given_up(fake: FakeKubernetes) -> None:
    async with watched(fake, timeout=60_000, attribution_timeout=300) as source:
        fake.script("GET", "/namespaces/shop/ingresses", hang=True)
        with pytest.raises(ServiceUnavailable):
            await asyncio.wait_for(source.routes(SHOP, NAMES), 60)


async def test_whoever_gives_up_leaves_nothing_behind(fake: FakeKubernetes) -> None:
    """Requests that are cancelled, while they wait for a list that others wait for too."""
    async with watched(fake, timeout=5000) as source:
        fault = fake.script("GET", "/v1/orders", hang=True)
        asked = [asyncio.ensure_future(source.attribute(query(url=f"{URL}{number}"))) for number in range(10)]
        await _until(lambda: fault.times is None and fake.count("GET", "/v1/orders") >= 2)
        for one in asked[1:]:
            one.cancel()
        await asyncio.gather(*asked[1:], return_exceptions=True)
        fake.faults.remove(fault)
        with pytest.raises(ServiceUnavailable):  # its own call hangs still, and ends
            await asyncio.wait_for(asked[0], 60)
    names = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}  # type: ignore[union-attr]
    assert not {name for name in names if "Reflector" in name or "_Search" in name}


async def _until(condition: object) -> None:
    async with asyncio.timeout(120):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)
