"""newOrder, authorizations and challenges, in process."""

import asyncio

import pytest

from acme_ra.core.clock import DAY
from acme_ra.core.problems import (
    ConnectionFailed,
    IncorrectResponse,
    InvalidProfile,
    Malformed,
    NotFound,
    OrderNotReady,
    RejectedIdentifier,
    Unauthorized,
)
from acme_ra.core.request import Workload
from acme_ra.registration.orders import NewOrder
from tests.support.ra import RA, FakeSource


async def test_a_name_that_the_namespace_proves_is_ready_at_once(ra: RA) -> None:
    """No challenge is needed: the order is ready, and its authorization valid without one."""
    shop = await ra.requester("shop")

    order = await ra.order(shop, "web.shop.svc")

    assert order.status == "ready"
    authorization = await ra.authorizations.fetch(shop, order.authorizations[0])
    assert (authorization.status, authorization.challenges) == ("valid", ())
    assert ra.validation.calls == []


async def test_another_namespace_is_refused_at_new_order_with_the_name(ra: RA) -> None:
    """pay cannot order shop's name; the refusal is recorded and names the identifier."""
    pay = await ra.requester("pay")

    with pytest.raises(RejectedIdentifier) as caught:
        await ra.order(pay, "web.shop.svc")

    assert [one.identifier_value for one in caught.value.subproblems] == ["web.shop.svc"]
    assert (await ra.kinds())[-1] == "order.refused"


async def test_every_hostile_name_is_told_at_once(ra: RA) -> None:
    shop = await ra.requester("shop")

    with pytest.raises(RejectedIdentifier) as caught:
        await ra.orders.create(
            shop, NewOrder(identifiers=(("dns", "a..b"), ("dns", "ok.shop.svc"), ("dns", "x_y.test")))
        )

    assert len(caught.value.subproblems) == 2


async def test_an_order_has_each_name_once(ra: RA) -> None:
    shop = await ra.requester("shop")
    order = await ra.order(shop, "web.shop.svc", "WEB.shop.svc")
    assert len(order.identifiers) == len(order.authorizations) == 1


async def test_an_unknown_profile_is_refused_with_those_offered(ra: RA) -> None:
    shop = await ra.requester("shop")
    with pytest.raises(InvalidProfile, match="default, short"):
        await ra.order(shop, "web.shop.svc", profile="nonsense")


@pytest.mark.parametrize("not_after", ["2020-01-01T00:00:00Z", "soon", "2030-01-01T00:00:00"])
async def test_a_senseless_not_after_is_malformed(ra: RA, not_after: str) -> None:
    shop = await ra.requester("shop")
    with pytest.raises(Malformed):
        await ra.order(shop, "web.shop.svc", not_after=not_after)


async def test_a_quick_validation_is_answered_valid_at_once(ra: RA) -> None:
    """The answer to the challenge is already valid, and the order ready, after one commit."""
    shop = await ra.requester("shop")
    order = await ra.order(shop, "a.example.test")
    assert order.status == "pending"

    authorization = await ra.authorizations.respond(shop, order.authorizations[0], "http-01")

    assert authorization.status == "valid"
    assert (await ra.orders.fetch(shop, order.resource_id)).status == "ready"
    assert ra.validation.calls == [("http-01", "a.example.test")]


async def test_a_wildcard_is_proved_by_dns_only_and_its_authorization_lacks_the_star(ra: RA) -> None:
    shop = await ra.requester("shop")
    order = await ra.order(shop, "*.a.example.test")

    authorization = await ra.authorizations.fetch(shop, order.authorizations[0])

    assert authorization.identifier.value == "a.example.test"
    assert authorization.wildcard
    assert [one.type for one in authorization.challenges] == ["dns-01"]


async def test_an_address_is_not_proved_by_dns(ra: RA) -> None:
    shop = await ra.requester("shop")
    order = await ra.order(shop, "192.0.2.7")
    authorization = await ra.authorizations.fetch(shop, order.authorizations[0])
    assert [one.type for one in authorization.challenges] == ["http-01"]


async def test_a_failed_attempt_is_retried_and_told_meanwhile(ra: RA) -> None:
    """Two failures within the attempts lead to success; each was recorded in the challenge's error."""
    shop = await ra.requester("shop")
    order = await ra.order(shop, "a.example.test")
    ra.validation.outcomes["a.example.test"] = _script(ConnectionFailed("refused"), IncorrectResponse("wrong"))

    authorization = await ra.authorizations.respond(shop, order.authorizations[0], "http-01")

    assert authorization.status == "valid"
    assert authorization.challenges[0].attempts == 3
    assert authorization.challenges[0].error is None


async def test_the_last_failure_ends_authorization_and_order_with_the_reason(ra: RA) -> None:
    """cert-manager would hang ten hours on a pending order: it becomes invalid, with the error and the name."""
    shop = await ra.requester("shop")
    order = await ra.order(shop, "a.example.test")
    ra.validation.outcomes["a.example.test"] = _script(*[ConnectionFailed("refused")] * 3)

    authorization = await ra.authorizations.respond(shop, order.authorizations[0], "http-01")

    assert authorization.status == "invalid"
    assert authorization.challenges[0].error is not None
    ended = await ra.orders.fetch(shop, order.resource_id)
    assert ended.status == "invalid"
    assert ended.error is not None
    assert "a.example.test" in ended.error.detail
    assert (await ra.kinds())[-2:] == ["authorization.invalid", "order.invalid"]


async def test_an_expired_order_is_invalid_before_housekeeping(ra: RA) -> None:
    shop = await ra.requester("shop")
    order = await ra.order(shop, "web.shop.svc")
    ra.clock.advance(8 * DAY)
    assert (await ra.orders.fetch(shop, order.resource_id)).status == "invalid"


async def test_housekeeping_writes_expiry_down(ra: RA) -> None:
    shop = await ra.requester("shop")
    order = await ra.order(shop, "a.example.test")
    ra.clock.advance(8 * DAY)

    await ra.worker.round()

    stored = await ra.store.order(order.id)
    assert stored is None or stored.status == "invalid"
    assert "order.expired" in await ra.kinds()


async def test_what_belongs_to_another_account_does_not_exist(ra: RA) -> None:
    shop, other = await ra.requester("shop"), await ra.requester("shop")
    order = await ra.order(shop, "a.example.test")

    with pytest.raises(NotFound):
        await ra.orders.fetch(other, order.resource_id)
    with pytest.raises(NotFound):
        await ra.authorizations.fetch(other, order.authorizations[0])
    with pytest.raises(NotFound):
        await ra.authorizations.respond(other, order.authorizations[0], "http-01")
    with pytest.raises(NotFound):
        await ra.authorizations.deactivate(other, order.authorizations[0])
    with pytest.raises(NotFound):
        await ra.finalize(other, order)


async def test_a_guessed_secret_finds_nothing(ra: RA) -> None:
    shop = await ra.requester("shop")
    order = await ra.order(shop, "web.shop.svc")
    with pytest.raises(NotFound):
        await ra.orders.fetch(shop, f"{order.id}.AAAAAAAAAAAAAAAA")


async def test_a_deactivated_authorization_stops_its_order(ra: RA) -> None:
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "a.example.test")
    await ra.authorizations.deactivate(shop, order.authorizations[0])

    assert (await ra.orders.fetch(shop, order.resource_id)).status == "invalid"
    with pytest.raises(OrderNotReady, match="deactivated"):
        await ra.finalize(shop, order)
    assert ra.authority.calls == []


async def test_a_deactivated_pre_authorization_stops_an_order_that_it_serves(ra: RA) -> None:
    shop = await ra.requester("shop")
    authorization, _ = await ra.authorizations.create(
        shop, identifier_type="dns", identifier_value="a.example.test", subdomains=False
    )
    await ra.authorizations.respond(shop, authorization.resource_id, "http-01")
    order = await ra.order(shop, "a.example.test")
    await ra.authorizations.deactivate(shop, authorization.resource_id)

    with pytest.raises(Unauthorized, match="deactivated"):
        await ra.finalize(shop, order)

    assert ra.authority.calls == []


async def test_a_pre_authorization_serves_later_orders_of_the_same_scope(ra: RA) -> None:
    """newAuthz, then newOrder: ready at once, and the certificate is issued."""
    shop = await ra.requester("shop")
    authorization, created = await ra.authorizations.create(
        shop, identifier_type="dns", identifier_value="a.example.test", subdomains=False
    )
    assert created
    await ra.authorizations.respond(shop, authorization.resource_id, "http-01")

    order = await ra.order(shop, "a.example.test")

    assert order.status == "ready"
    assert order.authorizations == (authorization.resource_id,)
    assert (await ra.finalize(shop, order)).status == "valid"


async def test_a_subdomain_authorization_serves_names_below_it(ra: RA) -> None:
    """RFC 9444: proved once by the parent's zone; a web server there proves nothing below it, so dns-01 is all."""
    shop = await ra.requester("shop")
    authorization, _ = await ra.authorizations.create(
        shop, identifier_type="dns", identifier_value="a.example.test", subdomains=True
    )
    assert [challenge.type for challenge in authorization.challenges] == ["dns-01"]
    await ra.authorizations.respond(shop, authorization.resource_id, "dns-01")

    below = await ra.order(shop, "x.a.example.test")
    wildcard = await ra.order(shop, "*.a.example.test")
    beside = await ra.order(shop, "xa.example.test")

    assert below.status == wildcard.status == "ready"
    assert beside.status == "pending"
    assert (await ra.finalize(shop, below)).status == "valid"


async def test_an_ancestor_domain_is_what_gets_proved(ra: RA) -> None:
    """RFC 9444 §4.2: ancestorDomain in the order moves the authorization to the ancestor."""
    shop = await ra.requester("shop")
    order = await ra.orders.create(
        shop,
        NewOrder(identifiers=(("dns", "x.a.example.test"),), ancestors={"x.a.example.test": "a.example.test"}),
    )
    authorization = await ra.authorizations.fetch(shop, order.authorizations[0])
    assert authorization.identifier.value == "a.example.test"
    assert authorization.subdomains
    assert [challenge.type for challenge in authorization.challenges] == ["dns-01"]
    order = await ra.prove(shop, order)
    assert (await ra.finalize(shop, order)).status == "valid"


@pytest.mark.parametrize("ancestor", ["b.example.test", "ample.test", "x.a.example.test", "x.x.a.example.test"])
async def test_what_is_no_ancestor_is_refused(ra: RA, ancestor: str) -> None:
    shop = await ra.requester("shop")
    with pytest.raises(Malformed):
        await ra.orders.create(
            shop, NewOrder(identifiers=(("dns", "x.a.example.test"),), ancestors={"x.a.example.test": ancestor})
        )


async def test_a_workload_known_late_is_attributed_at_the_first_fetch(late: tuple[RA, FakeSource]) -> None:
    """Until then an authorization has no challenge and proves nothing; after it, policy has been asked."""
    ra, source = late
    requester = await ra.requester("shop")
    order = await ra.order(requester, "web.shop.svc")
    assert order.status == "pending"
    source.workloads = (Workload(source="fake", cluster="prod", namespace="shop"),)

    authorization = await ra.authorizations.fetch(requester, order.authorizations[0])

    assert authorization.status == "valid"
    ready = await ra.orders.fetch(requester, order.resource_id)
    assert ready.status == "ready"
    assert ready.workload is not None
    assert ready.workload.namespace == "shop"
    assert (await ra.finalize(requester, ready)).status == "valid"


async def test_a_refusal_at_the_first_fetch_ends_the_order(late: tuple[RA, FakeSource]) -> None:
    ra, source = late
    requester = await ra.requester("shop")
    order = await ra.order(requester, "web.shop.svc")
    source.workloads = (Workload(source="fake", cluster="prod", namespace="pay"),)

    with pytest.raises(RejectedIdentifier):
        await ra.authorizations.fetch(requester, order.authorizations[0])

    assert (await ra.orders.fetch(requester, order.resource_id)).status == "invalid"


async def test_a_workload_that_changed_before_finalize_is_refused(late: tuple[RA, FakeSource]) -> None:
    """An order attributed to shop cannot be finalized for pay, whatever the cluster says later."""
    ra, source = late
    requester = await ra.requester("shop")
    order = await ra.order(requester, "web.shop.svc")
    source.workloads = (Workload(source="fake", cluster="prod", namespace="shop"),)
    await ra.authorizations.fetch(requester, order.authorizations[0])
    source.workloads = (Workload(source="fake", cluster="prod", namespace="pay"),)

    with pytest.raises(Unauthorized):
        await ra.finalize(requester, order)

    assert ra.authority.calls == []


def _script(*outcomes: Exception) -> object:
    from collections import deque

    return deque(outcomes)


async def test_subproblems_name_only_what_the_nearest_grant_refuses(ra: RA) -> None:
    """One good and one bad name: the good one is not blamed because some other grant does not give it."""
    shop = await ra.requester("shop")

    with pytest.raises(RejectedIdentifier) as caught:
        await ra.order(shop, "good.example.test", "www.forbidden.example")

    assert [one.identifier_value for one in caught.value.subproblems] == ["www.forbidden.example"]


async def test_a_deactivated_authorization_ends_its_validation(ra: RA) -> None:
    """Nobody waits for it any more: the attempts stop."""
    shop = await ra.requester("shop")
    order = await ra.order(shop, "a.example.test")
    ra.validation.outcomes["a.example.test"] = _script(*[ConnectionFailed("refused")] * 1000)
    fetched = await ra.store.authorization(int(order.authorizations[0].partition(".")[0]))
    assert fetched is not None
    task = ra.validations.start(shop.directory, shop.account, fetched, "http-01")
    await ra.authorizations.deactivate(shop, order.authorizations[0])

    ended = await asyncio.wait_for(task, 60)

    assert ended.status == "deactivated"
    assert len(ra.validation.calls) <= 3


async def test_the_other_challenge_of_a_decided_authorization_ends_too(ra: RA) -> None:
    """Both challenges are tried; the first decides, and the second does not go on for ever."""
    shop = await ra.requester("shop")
    order = await ra.order(shop, "a.example.test")
    ra.validation.outcomes["a.example.test"] = _script(*[ConnectionFailed("refused")] * 1000)

    answers = await asyncio.wait_for(
        asyncio.gather(
            ra.authorizations.respond(shop, order.authorizations[0], "http-01"),
            ra.authorizations.respond(shop, order.authorizations[0], "dns-01"),
        ),
        60,
    )

    assert "invalid" in {answer.status for answer in answers}
    calls = len(ra.validation.calls)
    await asyncio.sleep(0.2)
    assert len(ra.validation.calls) == calls


async def test_an_expired_authorization_does_not_become_valid(ra: RA) -> None:
    shop = await ra.requester("shop")
    order = await ra.order(shop, "a.example.test")
    fetched = await ra.store.authorization(int(order.authorizations[0].partition(".")[0]))
    assert fetched is not None
    ra.clock.advance(8 * DAY)

    ended = await ra.validations.start(shop.directory, shop.account, fetched, "http-01")

    assert ended.status == "expired"
