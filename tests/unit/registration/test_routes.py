"""Facts for require.routed: looked up where a policy asks, for the attributed workload, at each step that decides."""

import msgspec
import pytest

from acme_ra.core.problems import RejectedIdentifier, ServiceUnavailable
from acme_ra.core.request import Workload
from acme_ra.storage.contract import EventFilter
from tests.support.ra import POLICIES, RA, FakeSource

ROUTED = POLICIES.replace("require: {challenges: none}", "require: {challenges: none, routed: true}")
SHOP = (Workload(source="fake", cluster="prod", namespace="shop", evidence={"order": "o"}),)
CARRIED = {"web.shop.svc": "Ingress web"}


@pytest.fixture
def routed(late: tuple[RA, FakeSource]) -> tuple[RA, FakeSource]:
    ra, source = late
    ra.change_policy(ROUTED)
    source.workloads = SHOP
    return late


async def test_a_carried_name_gets_its_certificate_and_the_decision_says_what_carried_it(
    routed: tuple[RA, FakeSource],
) -> None:
    ra, source = routed
    source.carried = CARRIED
    shop = await ra.requester("shop")

    order = await ra.finalize(shop, await ra.ready_order(shop, "web.shop.svc"))

    assert order.status == "valid"
    assert source.route_queries == [("shop", ("web.shop.svc",))] * 2  # at the authorization, and again at finalize
    (decided,) = [
        msgspec.json.decode(one.record.body) async for one in ra.store.events(EventFilter(kind="decision.allowed"))
    ]
    assert decided["decision"]["request"]["routes"] == CARRIED


async def test_a_name_without_a_route_is_refused_at_the_first_fetch(routed: tuple[RA, FakeSource]) -> None:
    """Before any challenge, with the name, the namespace and what would carry it; the order ends."""
    ra, source = routed
    source.carried = CARRIED
    shop = await ra.requester("shop")
    order = await ra.order(shop, "api.shop.svc")

    with pytest.raises(RejectedIdentifier, match=r"api\.shop\.svc: nothing in namespace shop carries it; add it to an"):
        await ra.authorizations.fetch(shop, order.authorizations[0])

    assert (await ra.orders.fetch(shop, order.resource_id)).status == "invalid"
    assert ra.authority.calls == []


async def test_a_route_that_went_away_before_finalize_is_refused(routed: tuple[RA, FakeSource]) -> None:
    """Looked up again: what was there at the authorization proves nothing at finalize."""
    ra, source = routed
    source.carried = CARRIED
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc")
    source.carried = {}

    with pytest.raises(RejectedIdentifier, match="nothing in namespace shop carries it"):
        await ra.finalize(shop, order)

    assert ra.authority.calls == []


async def test_what_cannot_be_looked_up_is_no_refusal(routed: tuple[RA, FakeSource]) -> None:
    """503 at either step, nothing changes, and the same request succeeds later."""
    ra, source = routed
    shop = await ra.requester("shop")
    order = await ra.order(shop, "web.shop.svc")
    source.carried = ServiceUnavailable("the API server does not answer")
    with pytest.raises(ServiceUnavailable):
        await ra.authorizations.fetch(shop, order.authorizations[0])
    source.carried = CARRIED
    order = await ra.prove(shop, order)
    source.carried = ServiceUnavailable("the API server does not answer")
    with pytest.raises(ServiceUnavailable):
        await ra.finalize(shop, order)
    source.carried = CARRIED

    assert (await ra.finalize(shop, order)).status == "valid"


async def test_nothing_is_looked_up_where_no_policy_asks(late: tuple[RA, FakeSource]) -> None:
    ra, source = late
    source.workloads = SHOP
    shop = await ra.requester("shop")

    await ra.finalize(shop, await ra.ready_order(shop, "web.shop.svc"))

    assert source.route_queries == []


async def test_nothing_is_looked_up_for_whom_no_asking_policy_selects(routed: tuple[RA, FakeSource]) -> None:
    """The policy that asks is for namespace shop."""
    ra, source = routed
    source.workloads = (Workload(source="fake", cluster="prod", namespace="pay"),)
    pay = await ra.requester("pay")

    await ra.finalize(pay, await ra.ready_order(pay, "a.example.test"))

    assert source.route_queries == []


async def test_a_workload_that_is_known_at_once_is_refused_at_once(ra: RA) -> None:
    """A credential's binding knows of no routes, so newOrder says no."""
    ra.change_policy(ROUTED)
    shop = await ra.requester("shop")

    with pytest.raises(RejectedIdentifier, match="nothing in namespace shop carries it"):
        await ra.order(shop, "web.shop.svc")


async def test_a_policy_that_begins_to_ask_is_heard_at_finalize(late: tuple[RA, FakeSource]) -> None:
    ra, source = late
    source.workloads = SHOP
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc")
    ra.change_policy(ROUTED)

    with pytest.raises(RejectedIdentifier, match=r"require\.routed"):
        await ra.finalize(shop, order)
