"""Revocation by account, by authorizations and by key (RFC 8555 §7.6)."""

import pytest
from cryptography import x509

from acme_ra.core.clock import DAY
from acme_ra.core.problems import AlreadyRevoked, BadCSR, BadRevocationReason, NotFound, Unauthorized
from tests.support.ra import RA


async def test_the_ordering_account_revokes_and_the_crl_says_so(ra: RA) -> None:
    shop = await ra.requester("shop")
    order = await ra.finalize(shop, await ra.ready_order(shop, "web.shop.svc"))
    certificate, _ = await ra.certificates.fetch(shop, order.certificate)

    await ra.revocation.revoke(shop.directory, certificate.leaf, 4, requester=shop, key_fingerprint=None)

    crl = x509.load_der_x509_crl(await ra.revocation.crl("intermediate"))
    entry = crl.get_revoked_certificate_by_serial_number(int(certificate.serial, 16))
    assert entry is not None
    assert (await ra.kinds())[-1] == "certificate.revoked"
    with pytest.raises(AlreadyRevoked):
        await ra.revocation.revoke(shop.directory, certificate.leaf, 4, requester=shop, key_fingerprint=None)


async def test_an_entry_survives_one_list_past_its_certificate(ra: RA) -> None:
    """THREATS: CRL entry dropped early."""
    shop = await ra.requester("shop")
    order = await ra.finalize(shop, await ra.ready_order(shop, "web.shop.svc"))
    certificate, _ = await ra.certificates.fetch(shop, order.certificate)
    await ra.revocation.revoke(shop.directory, certificate.leaf, None, requester=shop, key_fingerprint=None)

    ra.clock.instant = certificate.not_after + DAY
    just_after = x509.load_der_x509_crl(await ra.revocation.crl("intermediate"))
    ra.clock.instant = certificate.not_after + 30 * DAY
    long_after = x509.load_der_x509_crl(await ra.revocation.crl("intermediate"))

    assert len(just_after) == 1
    assert len(long_after) == 0


async def test_a_stranger_may_not_revoke(ra: RA) -> None:
    shop, stranger = await ra.requester("shop"), await ra.requester("shop")
    order = await ra.finalize(shop, await ra.ready_order(shop, "a.example.test"))
    certificate, _ = await ra.certificates.fetch(shop, order.certificate)

    with pytest.raises(Unauthorized):
        await ra.revocation.revoke(shop.directory, certificate.leaf, 0, requester=stranger, key_fingerprint=None)

    assert (await ra.kinds())[-1] == "revocation.refused"


async def test_an_account_that_proved_all_names_may_revoke(ra: RA) -> None:
    """Some of the names are not enough."""
    shop, owner, half = await ra.requester("shop"), await ra.requester("x"), await ra.requester("x")
    order = await ra.finalize(shop, await ra.ready_order(shop, "a.example.test", "b.example.test"))
    certificate, _ = await ra.certificates.fetch(shop, order.certificate)
    await ra.ready_order(owner, "a.example.test", "b.example.test")
    await ra.ready_order(half, "a.example.test")

    with pytest.raises(Unauthorized):
        await ra.revocation.revoke(shop.directory, certificate.leaf, 0, requester=half, key_fingerprint=None)
    await ra.revocation.revoke(shop.directory, certificate.leaf, 0, requester=owner, key_fingerprint=None)


@pytest.mark.parametrize(
    ("proof", "subdomains", "name", "may"),
    [
        ("dns-01", True, "web.apps.example.test", True),
        ("dns-01", True, "a.web.apps.example.test", True),
        ("dns-01", True, "*.apps.example.test", True),
        ("dns-01", True, "*.web.apps.example.test", True),
        ("dns-01", True, "apps.example.test", True),
        ("dns-01", True, "webapps.example.test", False),
        ("dns-01", True, "other.example.test", False),
        ("dns-01", False, "web.apps.example.test", False),
        ("dns-01", False, "*.apps.example.test", False),
        ("http-01", False, "web.apps.example.test", False),
    ],
)
async def test_the_zone_above_a_name_may_have_its_certificates_revoked(
    ra: RA, proof: str, subdomains: bool, name: str, may: bool
) -> None:
    """RFC 9444: who proved the zone could order the name, and so holds an authorization for it (RFC 8555 §7.6)."""
    shop, zone = await ra.requester("shop"), await ra.requester("zone")
    made, _ = await ra.authorizations.create(
        zone, identifier_type="dns", identifier_value="apps.example.test", subdomains=subdomains
    )
    assert (await ra.authorizations.respond(zone, made.resource_id, proof)).status == "valid"
    pending = await ra.order(shop, name)
    for one in pending.authorizations:
        await ra.authorizations.respond(shop, one, "dns-01")
    order = await ra.finalize(shop, pending)
    certificate, _ = await ra.certificates.fetch(shop, order.certificate)

    async def revoke() -> None:
        await ra.revocation.revoke(zone.directory, certificate.leaf, 0, requester=zone, key_fingerprint=None)

    if not may:
        with pytest.raises(Unauthorized):
            await revoke()
        return
    await ra.authorizations.deactivate(zone, made.resource_id)
    with pytest.raises(Unauthorized):
        await revoke()
    again, _ = await ra.authorizations.create(
        zone, identifier_type="dns", identifier_value="apps.example.test", subdomains=subdomains
    )
    await ra.authorizations.respond(zone, again.resource_id, proof)

    await revoke()

    assert (await ra.kinds())[-1] == "certificate.revoked"


async def test_only_a_revocation_by_the_key_blocks_the_key(ra: RA) -> None:
    """THREATS: wrong keyCompromise. The account's claim revokes; the key's own proof blocks it for good."""
    shop = await ra.requester("shop")
    order = await ra.ready_order(shop, "web.shop.svc")
    csr = ra.csr(order)
    valid = await ra.finalize(shop, order, csr)
    certificate, _ = await ra.certificates.fetch(shop, valid.certificate)
    await ra.revocation.revoke(shop.directory, certificate.leaf, 1, requester=shop, key_fingerprint=None)
    again = await ra.ready_order(shop, "web.shop.svc")
    assert (await ra.finalize(shop, again, csr)).status == "valid"

    with pytest.raises(AlreadyRevoked):
        await ra.revocation.revoke(
            shop.directory, certificate.leaf, 1, requester=None, key_fingerprint=certificate.key_fingerprint
        )

    third = await ra.ready_order(shop, "web.shop.svc")
    with pytest.raises(BadCSR, match="compromised"):
        await ra.finalize(shop, third, csr)


async def test_another_key_does_not_revoke(ra: RA) -> None:
    shop = await ra.requester("shop")
    order = await ra.finalize(shop, await ra.ready_order(shop, "web.shop.svc"))
    certificate, _ = await ra.certificates.fetch(shop, order.certificate)
    with pytest.raises(Unauthorized):
        await ra.revocation.revoke(shop.directory, certificate.leaf, 0, requester=None, key_fingerprint="0" * 64)


@pytest.mark.parametrize("reason", [-1, 2, 6, 7, 8, 10, 11, 99])
async def test_a_reason_that_is_not_the_subscribers_is_refused(ra: RA, reason: int) -> None:
    shop = await ra.requester("shop")
    order = await ra.finalize(shop, await ra.ready_order(shop, "web.shop.svc"))
    certificate, _ = await ra.certificates.fetch(shop, order.certificate)
    with pytest.raises(BadRevocationReason):
        await ra.revocation.revoke(shop.directory, certificate.leaf, reason, requester=shop, key_fingerprint=None)


async def test_a_foreign_certificate_is_not_found(ra: RA) -> None:
    """Same serial, other bytes: not ours."""
    shop = await ra.requester("shop")
    order = await ra.finalize(shop, await ra.ready_order(shop, "web.shop.svc"))
    certificate, _ = await ra.certificates.fetch(shop, order.certificate)
    altered = certificate.leaf[:-1] + bytes([certificate.leaf[-1] ^ 1])
    with pytest.raises(NotFound):
        await ra.revocation.revoke(shop.directory, altered, 0, requester=shop, key_fingerprint=None)
