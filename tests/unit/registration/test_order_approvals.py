"""An order that waits for people: asked when its authorizations are valid, decided once, told to its client."""

from typing import Any

import msgspec
import pytest

from acme_ra.core.clock import DAY, HOUR, MINUTE
from acme_ra.core.objects import Order
from acme_ra.core.problems import OrderNotReady, RejectedIdentifier
from acme_ra.core.request import Workload
from acme_ra.registration.approvals import TOLD_FOR
from acme_ra.registration.approving import Person
from acme_ra.storage.contract import EventFilter
from tests.support.ra import POLICIES, RA, FakeSource

WAITING = POLICIES.replace("require: {challenges: none}", "require: {challenges: none, approval: security}").replace(
    "require: {challenges: [http-01, dns-01]}", "require: {challenges: [http-01], approval: security}"
)
GUARDED = (
    POLICIES
    + """
---
kind: ClusterIssuancePolicy
metadata: {name: two-groups}
spec: {effect: guard, require: {approval: security}}
---
kind: IssuancePolicy
metadata: {name: leads, namespace: shop}
spec: {require: {approval: shop-leads}}
"""
)
ANNA, BEN, CARA = Person("anna"), Person("ben"), Person("cara")


@pytest.fixture
def waiting(ra: RA) -> RA:
    ra.change_policy(WAITING)
    return ra


async def look(ra: RA, who: Any, order: Order) -> Order:
    return await ra.orders.fetch(who, order.resource_id)


async def bodies(ra: RA, kind: str) -> list[dict[str, Any]]:
    return [msgspec.json.decode(one.record.body) async for one in ra.store.events(EventFilter(kind=kind))]


async def test_an_order_without_challenges_waits_from_the_start(waiting: RA) -> None:
    """Its authorizations are valid and it is pending, so that an unpatched cert-manager keeps asking."""
    shop = await waiting.requester("shop")

    order = await waiting.order(shop, "web.shop.svc")

    assert order.status == "pending"
    authorization = await waiting.authorizations.fetch(shop, order.authorizations[0])
    assert authorization.status == "valid"
    assert (await look(waiting, shop, order)).status == "pending"
    (asked,) = await waiting.store.approvals(order.id)
    assert (asked.policy, asked.group, asked.status) == ("shop-internal", "security", "waiting")
    assert asked.expires_at == waiting.clock.now() + DAY
    assert (await waiting.kinds())[-2:] == ["order.created", "approval.requested"]


async def test_the_certificate_arrives_after_the_approval(waiting: RA) -> None:
    """Granting makes the order ready in one step; the decision at finalize says who approved."""
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")

    decided = await waiting.approvers.approve(order.id, ANNA, reason="CHG-1")

    assert decided.order.status == "ready"
    assert (await look(waiting, shop, order)).status == "ready"
    assert (await waiting.finalize(shop, order)).status == "valid"
    (granted,) = await bodies(waiting, "approval.granted")
    assert granted == {"policy": "shop-internal", "group": "security", "by": "anna", "reason": "CHG-1"}
    (allowed,) = await bodies(waiting, "decision.allowed")
    (approved,) = allowed["decision"]["request"]["approved"]
    assert (approved["policy"], approved["group"], approved["by"]) == ("shop-internal", "security", "anna")


async def test_challenges_are_done_before_anybody_is_asked(waiting: RA) -> None:
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "a.example.test", "b.example.test")
    assert [one.status for one in await waiting.store.approvals(order.id)] == ["planned"]
    with pytest.raises(OrderNotReady, match="its challenges are not done yet"):
        await waiting.approvers.approve(order.id, ANNA, reason="early")
    waiting.clock.advance(HOUR)

    order = await waiting.prove(shop, order)

    assert order.status == "pending"
    (asked,) = await waiting.store.approvals(order.id)
    assert (asked.status, asked.asked_at) == ("waiting", waiting.clock.now())
    await waiting.approvers.approve(order.id, BEN, reason="fine")
    assert (await waiting.finalize(shop, order)).status == "valid"


async def test_a_workload_known_late_waits_after_its_attribution(late: tuple[RA, FakeSource]) -> None:
    """As in a cluster: at newOrder nothing is known, at the first authorization fetch the order begins to wait."""
    ra, source = late
    ra.change_policy(WAITING)
    requester = await ra.requester("shop")
    order = await ra.order(requester, "web.shop.svc")
    assert await ra.store.approvals(order.id) == ()
    source.workloads = (Workload(source="fake", cluster="prod", namespace="shop"),)

    assert (await ra.authorizations.fetch(requester, order.authorizations[0])).status == "valid"

    assert (await look(ra, requester, order)).status == "pending"
    await ra.approvers.approve(order.id, ANNA, reason="ok")
    assert (await ra.finalize(requester, order)).status == "valid"


async def test_a_rejection_is_told_as_an_error_and_then_as_the_orders(waiting: RA) -> None:
    """cert-manager shows the text of an error, and never that of an invalid order: see ADR 7."""
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    await waiting.approvers.reject(order.id, BEN, reason="use the shared certificate")
    told = r"web\.shop\.svc: ben of group security rejected it \(policy shop-internal\): use the shared certificate"

    waiting.clock.advance(10 * HOUR)  # the client was away; the hour begins when it is told
    for _ in range(3):
        with pytest.raises(RejectedIdentifier, match=told):
            await look(waiting, shop, order)
        waiting.clock.advance(MINUTE)
    with pytest.raises(OrderNotReady, match=told):
        await waiting.finalize(shop, order)
    waiting.clock.advance(TOLD_FOR)

    shown = await look(waiting, shop, order)
    assert shown.status == "invalid"
    assert shown.error is not None
    assert shown.error.token == "rejectedIdentifier"
    assert shown.error.detail.endswith("use the shared certificate")
    assert (await waiting.kinds())[-2:] == ["approval.rejected", "order.invalid"]


async def test_a_reason_is_not_crowded_out_by_names(waiting: RA) -> None:
    """A hundred names of two hundred characters, and the longest reason: it is there to its last word."""
    shop = await waiting.requester("shop")
    long = ".".join("a" * 60 for _ in range(3))
    names = [f"n{number}.{long}.example.test" for number in range(100)]
    order = await waiting.prove(shop, await waiting.order(shop, *names))
    reason = f"{'word ' * 58}the end"

    await waiting.approvers.reject(order.id, ANNA, reason=reason)

    with pytest.raises(RejectedIdentifier, match=r"n0\.a.* and 96 more: anna of group .* the end$") as refused:
        await look(waiting, shop, order)
    assert len(refused.value.detail) <= 1000
    with pytest.raises(OrderNotReady, match=r"the end$"):
        await waiting.finalize(shop, order)


async def test_the_cluster_hears_whom_it_waits_for_and_why_it_was_refused(waiting: RA) -> None:
    """Each time that the client looks: the cluster's side writes it once."""
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    await look(waiting, shop, order)
    await waiting.approvers.reject(order.id, BEN, reason="no")
    with pytest.raises(RejectedIdentifier):
        await look(waiting, shop, order)

    wait, refusal = waiting.refusals.notices

    assert wait.awaited
    assert wait.workload.namespace == "shop"
    assert wait.detail.startswith("web.shop.svc: it waits for the approval of group security (policy shop-internal)")
    assert not refusal.awaited
    assert refusal.detail.endswith("rejected it (policy shop-internal): no")


async def test_who_is_not_answered_in_time_is_refused(waiting: RA) -> None:
    """By the worker, and by the client's own look if that comes first; one event each."""
    shop = await waiting.requester("shop")
    by_worker = await waiting.order(shop, "web.shop.svc")
    waiting.clock.advance(1)
    by_look = await waiting.order(shop, "api.shop.svc")
    waiting.clock.advance(DAY - 1)
    await waiting.worker.round()
    assert [(await waiting.store.order(one.id)).status for one in (by_worker, by_look)] == ["invalid", "pending"]  # type: ignore[union-attr]
    waiting.clock.advance(1)

    for order in (by_worker, by_look):
        with pytest.raises(RejectedIdentifier, match=r"nobody gave the approval of group security .* in time"):
            await look(waiting, shop, order)

    await waiting.worker.round()
    assert (await waiting.kinds()).count("approval.expired") == 2


async def test_a_wait_is_no_longer_than_the_order(waiting: RA) -> None:
    """Challenges took six and a half days of the seven."""
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "a.example.test")
    waiting.clock.advance(6 * DAY + 12 * HOUR)

    order = await waiting.prove(shop, order)

    (asked,) = await waiting.store.approvals(order.id)
    assert asked.expires_at == order.expires_at
    waiting.clock.advance(DAY)
    with pytest.raises(RejectedIdentifier, match="in time"):
        await look(waiting, shop, order)


async def test_every_group_that_is_asked_must_approve(ra: RA) -> None:
    """A guard of the security team and one of the namespace: the first approval leaves the order waiting."""
    ra.change_policy(GUARDED)
    shop = await ra.requester("shop")
    order = await ra.order(shop, "web.shop.svc")

    first = await ra.approvers.approve(order.id, BEN, reason="fine")

    assert (first.order.status, [one.group for one in first.missing]) == ("pending", ["shop-leads"])
    assert (await look(ra, shop, order)).status == "pending"
    with pytest.raises(OrderNotReady, match="it waits for the approval of group shop-leads"):
        await ra.finalize(shop, order)
    last = await ra.approvers.approve(order.id, CARA, reason="fine")
    assert (last.order.status, last.missing) == ("ready", ())
    assert (await ra.finalize(shop, order)).status == "valid"


async def test_one_person_of_both_groups_speaks_for_both(ra: RA) -> None:
    ra.change_policy(GUARDED)
    shop = await ra.requester("shop")
    order = await ra.order(shop, "web.shop.svc")

    assert (await ra.approvers.approve(order.id, ANNA, reason="fine")).order.status == "ready"
    assert (await ra.kinds()).count("approval.granted") == 2


async def test_the_second_group_may_still_reject(ra: RA) -> None:
    ra.change_policy(GUARDED)
    shop = await ra.requester("shop")
    order = await ra.order(shop, "web.shop.svc")
    await ra.approvers.approve(order.id, BEN, reason="fine")

    await ra.approvers.reject(order.id, CARA, reason="no")

    with pytest.raises(RejectedIdentifier, match="cara of group shop-leads rejected it"):
        await look(ra, shop, order)
    assert sorted(one.status for one in await ra.store.approvals(order.id)) == ["granted", "rejected"]


async def test_the_end_of_an_order_ends_the_wait(waiting: RA) -> None:
    """A client that deactivates its authorization withdraws the order; nobody is asked any more."""
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")

    await waiting.authorizations.deactivate(shop, order.authorizations[0])

    assert [one.status for one in await waiting.store.approvals(order.id)] == ["ended"]
    with pytest.raises(OrderNotReady, match="is invalid and waits for nobody"):
        await waiting.approvers.approve(order.id, ANNA, reason="late")


async def test_a_failed_challenge_ends_what_was_planned(waiting: RA) -> None:
    from collections import deque

    from acme_ra.core.problems import ConnectionFailed

    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "a.example.test")
    waiting.validation.outcomes["a.example.test"] = deque([ConnectionFailed("down")] * 3)

    await waiting.authorizations.respond(shop, order.authorizations[0], "http-01")

    assert [one.status for one in await waiting.store.approvals(order.id)] == ["ended"]
    assert (await look(waiting, shop, order)).status == "invalid"  # it never waited, so it is told as before


async def test_orders_that_need_nobody_wait_for_nobody(ra: RA) -> None:
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc")

    assert await ra.store.approvals(order.id) == ()
    with pytest.raises(OrderNotReady, match="is ready and waits for nobody"):
        await ra.approvers.approve(order.id, ANNA, reason="why not")


async def test_a_policy_that_begins_to_ask_refuses_orders_that_were_ready(ra: RA) -> None:
    """The order cannot go back to waiting; the text says what to do."""
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc")
    ra.change_policy(WAITING)

    with pytest.raises(RejectedIdentifier, match="the approval of group security is needed, and this order does not"):
        await ra.finalize(shop, order)

    assert (await ra.store.order(order.id)).status == "invalid"  # type: ignore[union-attr]


async def test_a_changed_policy_set_does_not_void_an_approval_and_another_group_does(waiting: RA) -> None:
    shop = await waiting.requester("shop")
    same, other = await waiting.order(shop, "web.shop.svc"), await waiting.order(shop, "api.shop.svc")
    for order in (same, other):
        await waiting.approvers.approve(order.id, ANNA, reason="fine")

    waiting.change_policy(WAITING.replace("192.0.2.0/24", "198.51.100.0/24"))
    assert (await waiting.finalize(shop, same)).status == "valid"
    waiting.change_policy(WAITING.replace("approval: security", "approval: shop-leads"))
    with pytest.raises(RejectedIdentifier, match="the approval of group shop-leads is needed"):
        await waiting.finalize(shop, other)


async def test_a_policy_that_asks_no_more_lets_a_waiting_order_go_on_waiting(waiting: RA) -> None:
    """What was asked is answered or ends; a change of policy decides about new orders."""
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    waiting.change_policy(POLICIES)

    assert (await look(waiting, shop, order)).status == "pending"
    await waiting.approvers.approve(order.id, ANNA, reason="fine")
    assert (await waiting.finalize(shop, order)).status == "valid"


async def test_what_nobody_needs_any_more_is_swept_with_its_order(waiting: RA) -> None:
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    await waiting.order(shop, "api.shop.svc")  # the newest row stays
    await waiting.approvers.reject(order.id, ANNA, reason="no")

    waiting.clock.advance(400 * DAY)
    await waiting.worker.round()

    assert await waiting.store.order(order.id) is None
    assert await waiting.store.approvals(order.id) == ()
