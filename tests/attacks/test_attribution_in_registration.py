"""The whole way with a cluster behind it: whose order it is decides, and what is refused is in the audit log."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from acme_ra.attribution.sources.kubernetes import finder
from acme_ra.core.objects import Order
from acme_ra.core.problems import OrderNotReady, RejectedIdentifier, ServiceUnavailable, Unauthorized
from acme_ra.registration.accounts import Requester
from tests.conftest import NOW
from tests.support.cert_manager import FakeCertManager, watched
from tests.support.fake_kubernetes import FakeKubernetes
from tests.support.ra import RA, FakeClock, make_ra
from tests.support.stores import open_test_store


@dataclass
class World:
    ra: RA
    fake: FakeKubernetes
    manager: FakeCertManager
    requester: Requester
    csrs: dict[int, bytes] = field(default_factory=dict)  # a CSR's signature is another one each time

    async def place(self, namespace: str, *names: str, url: str = "") -> Order:
        """cert-manager's part up to the first authorization fetch, for a Certificate in this namespace."""
        order = await self.ra.order(self.requester, *names)
        at = url or self.ra.urls.order("default", order.resource_id)
        self.manager.order(namespace, f"c{order.id}", url=at, csr=self.csrs.setdefault(order.id, self.ra.csr(order)))
        return order

    async def finalize(self, order: Order) -> Order:
        return await self.ra.finalize(self.requester, order, self.csrs[order.id])

    async def fetch(self, order: Order) -> None:
        for resource_id in order.authorizations:
            await self.ra.authorizations.fetch(self.requester, resource_id)

    async def status(self, order: Order) -> str:
        return (await self.ra.orders.fetch(self.requester, order.resource_id)).status


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(finder, "CATCH_UP", 0.2)
    monkeypatch.setattr(finder, "SEARCH_INTERVAL", 0.05)
    clock = FakeClock(NOW)
    store = await open_test_store(tmp_path, clock)
    async with contextlib.AsyncExitStack() as stack:
        fake = await stack.enter_async_context(FakeKubernetes.running())
        source = await stack.enter_async_context(watched(fake))
        ra = await make_ra(tmp_path, store, clock, source=source)
        requester = await ra.requester(cluster="prod")
        manager = FakeCertManager(fake)
        for namespace in ("shop", "evil"):
            manager.namespace(namespace)
        manager.issuer(ra.urls.account("default", requester.account.resource_id))
        yield World(ra, fake, manager, requester)
        await ra.validations.close()
        await ra.issuance.close()
        await store.close()


async def test_a_name_of_the_namespace_is_issued_without_a_challenge(world: World) -> None:
    """`challenges: none`: the attributed namespace is the proof."""
    order = await world.place("shop", "web.shop.svc")

    await world.fetch(order)
    assert await world.status(order) == "ready"
    done = await world.finalize(order)

    assert done.status == "valid"
    kinds = await world.ra.kinds()
    assert "authorization.attributed" in kinds
    assert kinds[-1] == "certificate.issued"


async def test_the_same_name_from_another_namespace_is_refused(world: World) -> None:
    """At the authorization fetch, where the person reads it; the authority is never asked."""
    order = await world.place("evil", "web.shop.svc")

    with pytest.raises(RejectedIdentifier, match=r"web\.shop\.svc"):
        await world.fetch(order)

    assert await world.status(order) == "invalid"
    assert (await world.ra.kinds())[-1] == "order.refused"
    assert world.ra.authority.calls == []


async def test_an_order_that_no_cluster_knows_ends(world: World) -> None:
    """Somebody has the account's key but is not cert-manager. It is written down, with its reason."""
    order = await world.ra.order(world.requester, "web.shop.svc")

    with pytest.raises(Unauthorized, match="no Order in cluster prod"):
        await world.fetch(order)

    assert await world.status(order) == "invalid"
    assert (await world.ra.kinds())[-1] == "attribution.refused"
    with pytest.raises(OrderNotReady, match="no Order in cluster prod"):
        await world.ra.finalize(world.requester, order)
    assert world.ra.authority.calls == []


async def test_an_api_server_that_fails_ends_nothing(world: World) -> None:
    """503 at the fetch and at finalize; the same requests succeed when it is back."""
    order = await world.place("shop", "web.shop.svc")
    fault = world.fake.script("GET", "/namespaces/shop", status=500)
    with pytest.raises(ServiceUnavailable):
        await world.fetch(order)
    assert await world.status(order) == "pending"
    world.fake.faults.clear()
    await world.fetch(order)

    world.fake.faults.append(fault)
    with pytest.raises(ServiceUnavailable):
        await world.finalize(order)
    assert await world.status(order) == "ready"
    assert world.ra.authority.calls == []
    world.fake.faults.clear()
    assert (await world.finalize(order)).status == "valid"


async def test_a_proof_of_the_shop_is_no_proof_for_evil(world: World) -> None:
    """evil's Order takes over the URL of the shop's, which is proved and gone: its key gets no certificate."""
    order = await world.place("shop", "web.shop.svc")
    await world.fetch(order)
    name = f"c{order.id}-1-7"
    world.fake.delete("orders", "shop", name)
    world.manager.order("evil", "mine", url=world.ra.urls.order("default", order.resource_id), csr=world.csrs[order.id])

    with pytest.raises(Unauthorized):
        await world.finalize(order)

    assert (await world.ra.kinds())[-1] == "finalize.refused"
    assert world.ra.authority.calls == []


async def test_another_csr_for_the_same_names_is_refused(world: World) -> None:
    """Whoever has the account's key, but not the namespace's: the certificate would be for another key."""
    order = await world.place("shop", "web.shop.svc")
    await world.fetch(order)
    del world.ra.keys[order.id]

    with pytest.raises(Unauthorized, match=r"not the one in spec\.request"):
        await world.ra.finalize(world.requester, order)

    assert world.ra.authority.calls == []
    assert (await world.finalize(order)).status == "valid"


async def test_a_refusal_is_told_to_who_listens_after_it_is_durable(world: World) -> None:
    """With the workload that the cluster named; an attribution that fails names nobody."""
    refused = await world.place("evil", "web.shop.svc")
    with pytest.raises(RejectedIdentifier):
        await world.fetch(refused)
    (told,) = world.ra.refusals.notices
    assert (told.workload.namespace, told.workload.name) == ("evil", f"c{refused.id}")
    assert told.names == ("web.shop.svc",)
    assert "web.shop.svc" in told.detail

    nobodys = await world.ra.order(world.requester, "web.shop.svc")
    with pytest.raises(Unauthorized):
        await world.fetch(nobodys)
    assert world.ra.refusals.notices == [told]

    late = await world.place("shop", "web.shop.svc")
    await world.fetch(late)
    world.ra.change_policy("")
    with pytest.raises(RejectedIdentifier):
        await world.finalize(late)
    assert [one.workload.namespace for one in world.ra.refusals.notices] == ["evil", "shop"]
    assert (await world.ra.kinds())[-1] == "decision.refused"
