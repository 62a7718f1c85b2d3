"""Chains and lists as openssl sees them: what we make is what another implementation accepts."""

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from acme_ra.core.clock import DAY, HOUR, SECOND, to_datetime
from acme_ra.core.keys import LEAF_ALGORITHMS, KeyAlgorithm
from acme_ra.issuance.contract import AuthorityRefused
from acme_ra.issuance.issuer import Issuer
from acme_ra.issuance.settings import ProfileSettings
from tests.support.issuing import CRL_URL, NOW, approval, approved, dns, ip, make_ca, subject_key

ISSUERS = [KeyAlgorithm.ECDSA_P256, KeyAlgorithm.ECDSA_P384, KeyAlgorithm.RSA_2048, KeyAlgorithm.ED25519]
AT = ["-attime", str((NOW + HOUR) // SECOND)]


def openssl(*arguments: str | Path) -> str:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=180)
    return done.stdout + done.stderr


@pytest.mark.parametrize("issuer", ISSUERS)
@pytest.mark.parametrize("leaf", sorted(LEAF_ALGORITHMS - {KeyAlgorithm.RSA_3072, KeyAlgorithm.RSA_4096}))
async def test_openssl_verifies_each_key_under_each_issuer(tmp_path, issuer, leaf):
    """Strictly, for the purpose and for the names."""
    ca = make_ca(issuer)
    chain, root = ca.write(tmp_path)
    issued = await ca.authority().issue(
        approval(key=subject_key(leaf), identifiers=(*dns("a.example.com", "*.b.example.com"), *ip("192.0.2.1")))
    )
    pem = tmp_path / "leaf.pem"
    pem.write_bytes(x509.load_der_x509_certificate(issued.leaf).public_bytes(Encoding.PEM))

    for name in (["-verify_hostname", "x.b.example.com"], ["-verify_ip", "192.0.2.1"]):
        said = openssl(
            "verify", "-x509_strict", "-purpose", "sslserver", *AT, *name, "-CAfile", root, "-untrusted", chain, pem
        )
        assert said.strip() == f"{pem}: OK"
    assert "error" in openssl(
        "verify", *AT, "-verify_hostname", "c.example.com", "-CAfile", root, "-untrusted", chain, pem
    )


@pytest.mark.parametrize("issuer", ISSUERS)
async def test_openssl_accepts_the_list_and_sees_the_revoked(tmp_path, issuer):
    """Version 2, a number, dates, reasons; and a revoked certificate no longer verifies."""
    ca = make_ca(issuer)
    authority = ca.authority()
    bad, good = approved(), approved()
    revoked = [(bad.serial, NOW, 1), ("ab", NOW - DAY, 0), ("cd", NOW - DAY, 4), ("ef", NOW - DAY, 6)]

    der = await authority.sign_crl(revoked, number=258, now=NOW + 500)

    crl = x509.load_der_x509_crl(der)
    assert crl.last_update_utc == to_datetime(NOW)
    assert crl.next_update_utc == to_datetime(NOW + 7 * DAY)
    assert [(one.serial_number, [e.value.reason.value for e in one.extensions]) for one in crl] == [
        (int(serial, 16), reasons)
        for serial, reasons in sorted([(bad.serial, ["keyCompromise"]), ("ab", []), ("cd", ["superseded"]), ("ef", [])])
    ]
    chain, root = ca.write(tmp_path)
    listed = tmp_path / "list.pem"
    listed.write_bytes(crl.public_bytes(Encoding.PEM))
    text = openssl("crl", "-in", listed, "-noout", "-text", "-CAfile", chain)
    assert "verify OK" in text
    assert "Version 2 (0x1)" in text
    assert "258" in text
    for wanted, outcome in ((bad, "certificate revoked"), (good, ": OK")):
        pem = tmp_path / "leaf.pem"
        issued = await authority.issue(approval(wanted))
        pem.write_bytes(x509.load_der_x509_certificate(issued.leaf).public_bytes(Encoding.PEM))
        said = openssl("verify", *AT, "-crl_check", "-CRLfile", listed, "-CAfile", root, "-untrusted", chain, pem)
        assert outcome in said


async def test_a_list_of_many_entries_is_made_in_linear_time():
    """Twenty thousand entries take well under a second or two, and all are in it."""
    revoked = [(f"{number:x}", NOW, 4) for number in range(1, 20_001)]

    crl = x509.load_der_x509_crl(await make_ca().authority().sign_crl(revoked, number=1, now=NOW))

    assert len(crl) == 20_000
    assert crl.get_revoked_certificate_by_serial_number(20_000) is not None


async def test_a_ca_without_the_usage_signs_no_list_and_names_none(tmp_path):
    """A certificate must not point to a list that nobody can sign."""
    ca = make_ca()
    builder_of = ca.certificate
    usage = x509.KeyUsage(False, False, False, False, False, True, False, False, False)
    builder = x509.CertificateBuilder(
        ca.root.subject,
        builder_of.subject,
        ca.key.public_key(),
        5,
        builder_of.not_valid_before_utc.replace(tzinfo=None),
        builder_of.not_valid_after_utc.replace(tzinfo=None),
        [one for one in builder_of.extensions if not isinstance(one.value, x509.KeyUsage)],
    ).add_extension(usage, critical=True)
    from cryptography.hazmat.primitives.hashes import SHA256

    ca.certificate = builder.sign(ca.root_key, SHA256())
    authority = ca.authority(default=ProfileSettings())

    with pytest.raises(AuthorityRefused, match="cRLSign"):
        await authority.sign_crl([], number=1, now=NOW)
    issued = await authority.issue(approval())

    assert Issuer(ca.certificate, chain=(ca.root,), crl_url=CRL_URL).crl_url == ""
    kinds = {type(one.value) for one in x509.load_der_x509_certificate(issued.leaf).extensions}
    assert x509.CRLDistributionPoints not in kinds
