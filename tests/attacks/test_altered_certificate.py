"""An authority that signs something else than what was approved: withheld, with every difference told.

A compromised or mistaken upstream, or a fault in our own signing, is caught before anything is stored as valid.
"""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from acme_ra.issuance.contract import IssuedChain, IssuedMismatch
from acme_ra.issuance.lint import Linter
from acme_ra.issuance.profiles import Profile
from acme_ra.issuance.service import CertificateAuthority
from acme_ra.issuance.settings import ProfileSettings
from tests.support.issuing import approval, approved, dns, key_of, make_ca, subject_key

PROFILES = {"default": Profile("default", ProfileSettings())}


class Traitor:
    """An authority whose answer is another Approval's certificate, or anything at all."""

    def __init__(self, honest, answer):
        self.honest, self.answer = honest, answer
        self.name, self.issuer = honest.name, honest.issuer

    async def issue(self, approval):
        return await self.answer(approval)


def service(honest, answer):
    return CertificateAuthority(authorities={"main": Traitor(honest, answer)}, profiles=PROFILES, linter=Linter())


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"identifiers": dns("pay.example.com")}, "'pay.example.com', which was not approved"),
        ({"identifiers": dns("web.example.com", "pay.example.com")}, "'pay.example.com', which was not approved"),
        ({"key": subject_key(which="thief")}, "the key is not the approved key"),
        ({"serial": "5"}, "the serial is 5"),
        ({"not_after": approved().not_after + 86_400_000}, "notAfter is"),
    ],
)
async def test_another_certificate_of_the_same_ca_is_withheld(other, sentence):
    """It is properly signed, and it is not what policy allowed."""
    honest, wanted = make_ca().authority(), approved()

    async def answer(_):
        return await honest.issue(approval(**{"serial": wanted.serial} | other))

    with pytest.raises(IssuedMismatch) as caught:
        await service(honest, answer).sign(approval(wanted))

    assert any(sentence in one for one in caught.value.differences)
    assert caught.value.chain.leaf
    assert "pay.example.com" not in caught.value.detail


async def test_a_ca_certificate_in_place_of_a_leaf_is_withheld():
    """The most valuable thing to smuggle out: CA:TRUE under our intermediate, for the approved name and key."""
    ca = make_ca()
    honest, wanted = ca.authority(), approved()

    async def answer(given):
        leaf = x509.load_der_x509_certificate((await honest.issue(given)).leaf)
        kept = [one for one in leaf.extensions if not isinstance(one.value, x509.BasicConstraints)]
        builder = x509.CertificateBuilder(
            leaf.issuer,
            leaf.subject,
            leaf.public_key(),
            leaf.serial_number,
            leaf.not_valid_before_utc.replace(tzinfo=None),
            leaf.not_valid_after_utc.replace(tzinfo=None),
            kept,
        ).add_extension(x509.BasicConstraints(True, None), critical=True)
        forged = builder.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.DER)
        return IssuedChain(forged, "c", (ca.certificate.public_bytes(Encoding.PEM),))

    with pytest.raises(IssuedMismatch) as caught:
        await service(honest, answer).sign(approval(wanted))

    assert caught.value.differences == ("extension 2.5.29.19 is not what the profile says",)


async def test_a_certificate_of_another_ca_with_the_same_name_is_withheld():
    """The issuer's name is copied; the key is not."""
    ca = make_ca()
    honest = ca.authority()
    ca.key = key_of(ca.issuer.algorithm, "thief")
    thief = ca.authority()

    async def answer(given):
        return await thief.issue(given)

    with pytest.raises(IssuedMismatch) as caught:
        await service(honest, answer).sign(approval())

    assert caught.value.differences == ("the signature is not the issuer's",)


@pytest.mark.parametrize("leaf", [b"", b"-----BEGIN CERTIFICATE-----", b"\x30\x82\xff\xff", b"\0" * 1_000_000])
async def test_garbage_is_withheld_and_not_raised(leaf):
    """Truncated, huge or of another format: the same outcome."""
    ca = make_ca()

    async def answer(_):
        return IssuedChain(leaf, "c", (ca.certificate.public_bytes(Encoding.PEM),))

    with pytest.raises(IssuedMismatch):
        await service(ca.authority(), answer).sign(approval())
