"""One client must not use up what all share."""

import asyncio

from acme_ra.core.clock import MINUTE
from acme_ra.core.problems import IncorrectResponse, Problem
from acme_ra.issuance.contract import AuthorityUnavailable
from acme_ra.validation.contract import ValidationTarget
from tests.support.ra import RA


async def test_many_requests_for_a_crl_make_one(ra: RA) -> None:
    """Anybody may ask, so it is signed once and handed to all who waited."""
    lists = await asyncio.gather(*(ra.revocation.crl("intermediate") for _ in range(50)))

    assert len(set(lists)) == 1


async def test_a_stranger_without_account_does_not_fill_the_audit_log(ra: RA) -> None:
    """Revocations signed by random keys are refused and leave nothing behind."""
    shop = await ra.requester("shop")
    order = await ra.finalize(shop, await ra.ready_order(shop, "web.shop.svc"))
    certificate, _ = await ra.certificates.fetch(shop, order.certificate)
    before = len(await ra.kinds())

    for number in range(20):
        try:
            await ra.revocation.revoke(
                shop.directory, certificate.leaf, 0, requester=None, key_fingerprint=f"{number:064x}"
            )
        except Problem:
            continue

    assert len(await ra.kinds()) == before


async def test_one_accounts_slow_names_do_not_hold_back_another(ra: RA) -> None:
    """An account has a share of the attempts that run at one time; the rest of its own wait."""
    slow, quick = await ra.requester("shop"), await ra.requester("shop")
    running: set[str] = set()
    most = 0
    full, over = asyncio.Event(), asyncio.Event()
    plain = ra.validation.validate

    async def validate(challenge_type: str, target: ValidationTarget) -> None:
        nonlocal most
        if not target.identifier.value.startswith("slow"):
            return await plain(challenge_type, target)
        running.add(target.identifier.value)
        most = max(most, len(running))
        if most == 32:
            full.set()
        await over.wait()
        running.discard(target.identifier.value)
        raise IncorrectResponse("wrong")

    ra.validation.validate = validate  # type: ignore[method-assign]
    for number in range(60):
        order = await ra.order(slow, f"slow{number}.example.test")
        fetched = await ra.store.authorization(int(order.authorizations[0].partition(".")[0]))
        assert fetched is not None
        ra.validations.start(slow.directory, slow.account, fetched, "http-01")

    await asyncio.wait_for(full.wait(), 60)

    order = await ra.order(quick, "quick.example.test")
    answered = await asyncio.wait_for(ra.authorizations.respond(quick, order.authorizations[0], "http-01"), 60)

    assert answered.status == "valid"
    assert most == 32
    over.set()


async def test_an_order_that_cannot_be_finished_holds_up_no_other(ra: RA) -> None:
    """A mistake with one order is logged; the worker goes on with the next one."""
    shop = await ra.requester("shop")
    orders = []
    for name in ("a.shop.svc", "b.shop.svc"):
        order = await ra.ready_order(shop, name)
        ra.authority.failures.append(AuthorityUnavailable("away"))
        orders.append(await ra.finalize(shop, order))
    ra.authority.failures.append(RuntimeError("a mistake"))
    ra.clock.advance(MINUTE)

    await ra.worker.round()

    statuses = [(await ra.orders.fetch(shop, order.resource_id)).status for order in orders]
    assert statuses == ["processing", "valid"]
