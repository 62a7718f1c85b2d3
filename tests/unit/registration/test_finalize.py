"""Finalization: one certificate per order, whatever is retried or raced; refusals and failures at each step."""

import asyncio
from collections import deque

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from acme_ra.core.clock import DAY, MINUTE, to_rfc3339
from acme_ra.core.problems import (
    AlreadyReplaced,
    BadCSR,
    CAAForbids,
    Malformed,
    OrderNotReady,
    Problem,
    RejectedIdentifier,
    ServiceUnavailable,
    Unauthorized,
)
from acme_ra.issuance.contract import AuthorityRefused, AuthorityUnavailable
from acme_ra.storage.contract import EventFilter
from tests.support.ra import POLICIES, RA, make_csr


async def test_an_allowed_order_becomes_a_certificate_and_the_log_says_why(ra: RA) -> None:
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc")

    valid = await ra.finalize(shop, order)

    certificate, chains = await ra.certificates.fetch(shop, valid.certificate)
    leaf = x509.load_der_x509_certificate(certificate.leaf)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["web.shop.svc"]
    assert chains
    assert (await ra.kinds())[-4:] == [
        "order.created",
        "decision.allowed",
        "certificate.intended",
        "certificate.issued",
    ]
    events = [event async for event in ra.store.events(EventFilter(order_id=order.id))]
    assert {event.record.namespace for event in events} == {"shop"}
    assert events[-1].record.serial == certificate.serial
    assert [event.seq for event in events] == sorted(event.seq for event in events)


async def test_fifty_finalizes_at_once_give_one_certificate(ra: RA) -> None:
    """vault #31987 and cert-manager #8960: one signature; the losers get the order, not an error."""
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc")
    csr = ra.csr(order)

    answers = await asyncio.gather(*(ra.finalize(shop, order, csr) for _ in range(50)))

    assert {answer.status for answer in answers} <= {"valid", "processing"}
    assert len(ra.authority.calls) == 1
    assert (await ra.kinds()).count("certificate.issued") == 1


async def test_fifty_keys_at_once_give_one_certificate(ra: RA) -> None:
    """Different CSRs: one wins, all others are told orderNotReady."""
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc")
    csrs = [make_csr(ec.generate_private_key(ec.SECP256R1()), "web.shop.svc") for _ in range(50)]

    answers = await asyncio.gather(*(ra.finalize(shop, order, csr) for csr in csrs), return_exceptions=True)

    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    assert all(isinstance(answer, OrderNotReady) for answer in answers if isinstance(answer, BaseException))
    assert len(ra.authority.calls) == 1


async def test_a_repeated_finalize_answers_with_the_order(ra: RA) -> None:
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc")
    first = await ra.finalize(shop, order)

    again = await ra.finalize(shop, order)

    assert again.certificate == first.certificate
    with pytest.raises(OrderNotReady):
        await ra.finalize(shop, order, make_csr(ec.generate_private_key(ec.SECP256R1()), "web.shop.svc"))


@pytest.mark.parametrize(
    "names", [("web.shop.svc", "db.shop.svc"), ("db.shop.svc",), ("web.shop.svc", "192.0.2.1"), ("*.shop.svc",)]
)
async def test_a_csr_with_other_names_is_refused_and_the_order_stays_ready(ra: RA, names: tuple[str, ...]) -> None:
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc")

    with pytest.raises(BadCSR) as caught:
        await ra.finalize(shop, order, make_csr(ec.generate_private_key(ec.SECP256R1()), *names))

    assert caught.value.subproblems
    assert (await ra.orders.fetch(shop, order.resource_id)).status == "ready"
    assert ra.authority.calls == []
    assert (await ra.kinds())[-1] == "finalize.refused"


async def test_a_pending_order_cannot_be_finalized(ra: RA) -> None:
    shop = await ra.requester("shop")
    order = await ra.order(shop, "a.example.test")
    with pytest.raises(OrderNotReady, match="authorizations"):
        await ra.finalize(shop, order)


async def test_a_policy_that_changed_after_the_order_decides(ra: RA) -> None:
    """Ready under the old set, refused under the new one; the order ends with the reason."""
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc")
    ra.change_policy(POLICIES.replace("[shop]", "[nobody]"))

    with pytest.raises(RejectedIdentifier):
        await ra.finalize(shop, order)

    ended = await ra.orders.fetch(shop, order.resource_id)
    assert ended.status == "invalid"
    assert ended.error is not None
    assert ra.authority.calls == []
    assert (await ra.kinds())[-1] == "decision.refused"


async def test_a_proof_that_policy_no_longer_accepts_does_not_serve(ra: RA) -> None:
    """Proved by nothing but the namespace; then policy asks for a challenge (THREATS: a changed policy)."""
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc")
    ra.change_policy(POLICIES.replace("challenges: none", "challenges: [dns-01]"))

    with pytest.raises(RejectedIdentifier):
        await ra.finalize(shop, order)

    assert ra.authority.calls == []


async def test_a_key_that_policy_refuses_is_a_bad_csr_and_the_order_stays_ready(ra: RA) -> None:
    """RFC 8555 §7.4: the client may send a better CSR for the same order."""
    ra.change_policy(POLICIES.replace("  authority:", "  constraints: {keys: [ecdsa-p384]}\n  authority:"))
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc")

    with pytest.raises(BadCSR, match="ecdsa-p384"):
        await ra.finalize(shop, order)

    assert (await ra.kinds())[-1] == "decision.refused"
    better = make_csr(ec.generate_private_key(ec.SECP384R1()), "web.shop.svc")
    assert (await ra.finalize(shop, order, better)).status == "valid"


async def test_a_start_that_was_asked_for_is_given(ra: RA) -> None:
    """RFC 8555 §7.4: no other contents than those requested; backdating is for starts that nobody asked for."""
    shop = await ra.requester("shop")
    start = to_rfc3339(ra.clock.now() + MINUTE)
    order = await ra.ready_order(shop, "web.shop.svc", not_before=start)

    valid = await ra.finalize(shop, order)

    certificate, _ = await ra.certificates.fetch(shop, valid.certificate)
    leaf = x509.load_der_x509_certificate(certificate.leaf)
    assert f"{leaf.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}" == start


async def test_an_order_names_the_end_that_it_gets(ra: RA) -> None:
    """A client's clock may be a little fast: the end is cut to what is allowed, and the order says so."""
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc", not_after=to_rfc3339(ra.clock.now() + 90 * DAY + MINUTE))

    valid = await ra.finalize(shop, order)

    certificate, _ = await ra.certificates.fetch(shop, valid.certificate)
    assert order.not_after is not None
    assert certificate.not_after <= order.not_after < ra.clock.now() + 90 * DAY + MINUTE


async def test_an_order_ends_with_what_proved_it(ra: RA) -> None:
    """A pre-authorization that was deactivated: the order that it served becomes invalid at finalize."""
    shop = await ra.requester("shop")
    authorization, _ = await ra.authorizations.create(
        shop, identifier_type="dns", identifier_value="a.example.test", subdomains=False
    )
    await ra.authorizations.respond(shop, authorization.resource_id, "http-01")
    order = await ra.order(shop, "a.example.test")
    await ra.authorizations.deactivate(shop, authorization.resource_id)

    with pytest.raises(Unauthorized):
        await ra.finalize(shop, order)

    assert (await ra.orders.fetch(shop, order.resource_id)).status == "invalid"


async def test_two_live_orders_cannot_replace_the_same_certificate(ra: RA) -> None:
    """RFC 9773 §5; once the first of them is invalid, another may."""
    shop = await ra.requester("shop")
    first = await ra.finalize(shop, await ra.ready_order(shop, "web.shop.svc"))
    certificate, _ = await ra.certificates.fetch(shop, first.certificate)
    await ra.order(shop, "web.shop.svc", replaces=certificate.ari_id)

    with pytest.raises(AlreadyReplaced):
        await ra.order(shop, "web.shop.svc", replaces=certificate.ari_id)

    ra.clock.advance(8 * DAY)
    await ra.worker.round()
    third = await ra.ready_order(shop, "web.shop.svc", replaces=certificate.ari_id)
    assert (await ra.finalize(shop, third)).status == "valid"


async def test_what_cannot_be_looked_up_is_no_refusal(caa_ra: RA) -> None:
    """CAA servers are away: 503, the order stays ready, and the same request succeeds later."""
    shop = await caa_ra.requester("shop")
    order = await caa_ra.ready_order(shop, "a.example.test")
    caa_ra.validation.caa_problem = ServiceUnavailable("CAA cannot be looked up")
    with pytest.raises(ServiceUnavailable):
        await caa_ra.finalize(shop, order)
    assert (await caa_ra.orders.fetch(shop, order.resource_id)).status == "ready"

    caa_ra.validation.caa_problem = None

    assert (await caa_ra.finalize(shop, order)).status == "valid"


async def test_caa_is_looked_up_for_every_name_at_every_finalize(caa_ra: RA) -> None:
    shop = await caa_ra.requester("shop")
    order = await caa_ra.ready_order(shop, "a.example.test", "b.example.test", "*.c.example.test")
    caa_ra.validation.caa_problem = CAAForbids("no")

    with pytest.raises(CAAForbids):
        await caa_ra.finalize(shop, order)

    assert caa_ra.validation.caa_calls == [order.identifiers]
    assert caa_ra.authority.calls == []


async def test_an_authority_that_is_away_leaves_the_order_to_the_worker(ra: RA) -> None:
    """`processing` is answered; the worker later signs the same serial, and one certificate exists."""
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc")
    ra.authority.failures = deque([AuthorityUnavailable("away")])

    processing = await ra.finalize(shop, order)

    assert processing.status == "processing"
    assert processing.approval is not None
    await ra.worker.round()
    assert (await ra.orders.fetch(shop, order.resource_id)).status == "processing"
    ra.clock.advance(MINUTE)
    await ra.worker.round()
    valid = await ra.orders.fetch(shop, order.resource_id)
    assert valid.status == "valid"
    serials = {approval.certificate.serial for approval in ra.authority.calls}
    assert len(serials) == 1
    again = await ra.finalize(shop, order)
    assert again.certificate == valid.certificate


async def test_a_restarted_server_takes_up_promised_signatures_at_once(ra: RA) -> None:
    """Who claimed the order before the start is gone; nobody waits for the time-out."""
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc")
    ra.authority.failures = deque([AuthorityUnavailable("away")])
    await ra.finalize(shop, order)
    ra.clock.advance(1)

    await ra.worker.round(starting=True)

    assert (await ra.orders.fetch(shop, order.resource_id)).status == "valid"


async def test_an_authority_that_refuses_ends_the_order(ra: RA) -> None:
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc")
    ra.authority.failures = deque([AuthorityRefused("outside its name constraints")])

    with pytest.raises(Problem, match="name constraints"):
        await ra.finalize(shop, order)

    assert (await ra.orders.fetch(shop, order.resource_id)).status == "invalid"
    assert (await ra.kinds())[-1] == "certificate.refused"


async def test_a_tampered_approval_is_not_resumed(ra: RA, tampered_orders: object) -> None:
    """A database admin cannot have something else signed by editing a processing order."""
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc")
    ra.authority.failures = deque([AuthorityUnavailable("away")])
    await ra.finalize(shop, order)
    tampered_orders(order.id)  # type: ignore[operator]
    ra.clock.advance(MINUTE)
    calls = len(ra.authority.calls)

    await ra.worker.round()

    assert len(ra.authority.calls) == calls
    assert (await ra.orders.fetch(shop, order.resource_id)).status == "processing"


async def test_the_accounts_own_key_is_no_certificate_key(ra: RA) -> None:
    """RFC 8555 §11.1."""
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc")
    key = ec.generate_private_key(ec.SECP256R1())
    from tests.support.keys import account_key_of

    await ra.accounts.change_key(shop, account_key_of(key))
    shop = await ra.accounts.authenticate(shop.directory, shop.account.resource_id)

    with pytest.raises(BadCSR, match="account"):
        await ra.finalize(shop, order, make_csr(key, "web.shop.svc"))


async def test_a_replacement_marks_its_predecessor_once(ra: RA) -> None:
    """RFC 9773 §5: `replaces` works once, and only for a certificate of this account that shares a name."""
    shop, other = await ra.requester("shop"), await ra.requester("shop")
    first = await ra.finalize(shop, await ra.ready_order(shop, "web.shop.svc"))
    certificate, _ = await ra.certificates.fetch(shop, first.certificate)

    with pytest.raises(Malformed):
        await ra.order(other, "web.shop.svc", replaces=certificate.ari_id)
    with pytest.raises(Malformed):
        await ra.order(shop, "db.shop.svc", replaces=certificate.ari_id)
    second = await ra.ready_order(shop, "web.shop.svc", replaces=certificate.ari_id)
    assert (await ra.finalize(shop, second)).status == "valid"

    with pytest.raises(AlreadyReplaced):
        await ra.order(shop, "web.shop.svc", replaces=certificate.ari_id)


async def test_renewal_information_lies_within_the_lifetime(ra: RA) -> None:
    """Two thirds in, start before end, after notBefore; a revoked certificate's window has passed."""
    shop = await ra.requester("shop")
    order = await ra.finalize(shop, await ra.ready_order(shop, "web.shop.svc"))
    certificate, _ = await ra.certificates.fetch(shop, order.certificate)

    window = await ra.renewal_info.fetch(certificate.ari_id)

    assert certificate.not_before < window.start < window.end < certificate.not_after
    assert window.retry_after > 0
    ra.clock.advance(DAY)
    await ra.revocation.revoke(shop.directory, certificate.leaf, 4, requester=shop, key_fingerprint=None)
    revoked = await ra.renewal_info.fetch(certificate.ari_id)
    assert certificate.not_before < revoked.start < revoked.end <= ra.clock.now()


async def test_near_the_end_of_the_authority_certificates_are_shorter(ra: RA) -> None:
    """Issued, not refused: it ends with its issuer, and the recorded decision says so."""
    shop = await ra.requester("shop")
    end = ra.authority.inner.issuer.not_after
    ra.clock.instant = end - 3 * DAY

    order = await ra.finalize(shop, await ra.ready_order(shop, "web.shop.svc"))

    certificate, _ = await ra.certificates.fetch(shop, order.certificate)
    leaf = x509.load_der_x509_certificate(certificate.leaf)
    allowed = [event async for event in ra.store.events(EventFilter(kind="decision.allowed"))][-1]
    assert (
        leaf.not_valid_after_utc
        == x509.load_der_x509_certificate(ra.revocation.authority_certificate("intermediate")).not_valid_after_utc
    )
    assert certificate.not_after == end
    assert f'"not_after":{end}'.encode() in allowed.record.body


async def test_an_end_beyond_the_authoritys_is_refused_when_the_order_is_placed(ra: RA) -> None:
    """Who asks for it explicitly gets that or nothing, and is told before any challenge."""
    shop = await ra.requester("shop")
    ra.clock.instant = ra.authority.inner.issuer.not_after - 3 * DAY

    with pytest.raises(RejectedIdentifier, match="authority intermediate ends at"):
        await ra.order(shop, "web.shop.svc", not_after=to_rfc3339(ra.clock.now() + 4 * DAY))

    assert ra.authority.calls == []
