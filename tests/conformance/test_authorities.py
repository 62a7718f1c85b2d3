"""What every kind of authority must do, run over the registry. A new kind adds one maker to MAKERS."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from acme_ra.core.clock import SECOND
from acme_ra.core.keys import KeyAlgorithm
from acme_ra.core.problems import Problem
from acme_ra.core.urls import Urls
from acme_ra.issuance.contract import Authority, AuthorityRefused
from acme_ra.issuance.lint import Linter
from acme_ra.issuance.profiles import Profile
from acme_ra.issuance.registry import AUTHORITIES, open_authority
from acme_ra.issuance.service import CertificateAuthority
from acme_ra.issuance.settings import LocalAuthoritySettings, ProfileSettings
from acme_ra.issuance.signers.file import encode_key
from tests.support.issuing import NOW, approval, approved, dns, ip, make_ca, subject_key

PROFILES = {"default": Profile("default", ProfileSettings())}


def make_local(folder: Path) -> Authority:
    """An authority named `main` over files."""
    ca = make_ca()
    (folder / "ca.pem").write_bytes(ca.certificate.public_bytes(Encoding.PEM) + ca.root.public_bytes(Encoding.PEM))
    (folder / "ca.key").write_bytes(encode_key(ca.key, passphrase=None))
    (folder / "ca.key").chmod(0o600)
    settings = LocalAuthoritySettings(kind="local", certificate=folder / "ca.pem", key=folder / "ca.key")
    return open_authority("main", settings, profiles=PROFILES, urls=Urls("https://ra.example.com"))


MAKERS: dict[str, Callable[[Path], Authority]] = {"local": make_local}


def test_every_registered_kind_is_tested():
    assert set(MAKERS) == set(AUTHORITIES)


@pytest.fixture(params=sorted(AUTHORITIES))
def authority(request, tmp_path) -> Authority:
    return MAKERS[request.param](tmp_path)


@pytest.fixture
def service(authority) -> CertificateAuthority:
    return CertificateAuthority(authorities={"main": authority}, profiles=PROFILES, linter=Linter())


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.ECDSA_P256, KeyAlgorithm.RSA_2048])
async def test_what_is_issued_is_what_was_approved(service, algorithm):
    """The check finds no difference, and the leaf verifies under the first certificate of every chain."""
    wanted = approved((*dns("a.example.com", "*.b.example.com"), *ip("192.0.2.9")), key=subject_key(algorithm))

    issued = await service.sign(approval(wanted))

    leaf = x509.load_der_x509_certificate(issued.leaf)
    assert issued.chains
    for chain in issued.chains:
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificates(chain)[0])


async def test_a_repeated_approval_yields_no_second_certificate(authority):
    """After a crash nobody knows whether it was signed; signing again must not make another certificate."""
    wanted = approval()
    assert (await authority.issue(wanted)).leaf == (await authority.issue(wanted)).leaf


async def test_chains_of_one_id_are_the_same(authority):
    """Chains are stored once for each id."""
    first, second = await authority.issue(approval()), await authority.issue(approval())
    assert (first.chain_id, first.chains) == (second.chain_id, second.chains)


async def test_only_an_approval_is_signed(authority):
    """Neither the inner struct nor something that looks like an Approval."""

    class Lookalike:
        certificate = approved()

    for forged in (approved(), Lookalike(), None):
        with pytest.raises(TypeError):
            await authority.issue(forged)


@pytest.mark.parametrize("changes", [{"authority": "other"}, {"profile": "other"}, {"identifiers": ()}])
async def test_what_is_not_for_this_authority_is_refused(authority, changes):
    """A refusal is final, is a problem, and its text is for the client."""
    wanted = msgspec.structs.replace(approved(), **changes)
    with pytest.raises(AuthorityRefused) as caught:
        await authority.issue(approval(wanted))
    assert isinstance(caught.value, Problem)
    assert caught.value.detail


async def test_nothing_outlives_the_issuer(authority):
    end = authority.issuer.not_after
    with pytest.raises(AuthorityRefused, match="outlive"):
        await authority.issue(approval(not_after=end + SECOND))
    assert (await authority.issue(approval(not_after=end))).leaf


async def test_the_revocation_list_is_the_issuers(authority, service):
    """Signed by the issuer's key, with its number; and the issuing certificate is handed out for caIssuers."""
    crl = x509.load_der_x509_crl(await service.crl("main", [("ab12", NOW, 1)], number=9, now=NOW))

    assert crl.is_signature_valid(authority.issuer.public_key)
    assert crl.issuer == authority.issuer.name
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 9
    assert [one.serial_number for one in crl] == [0xAB12]
    assert x509.load_der_x509_certificate(service.authority_certificate("main")) == authority.issuer.certificate


async def test_the_description_has_no_empty_fact(authority):
    """`ca show` tells name, kind, subject, key, dates and fingerprint."""
    described = authority.describe()
    assert described.name == "main"
    assert described.kind in AUTHORITIES
    assert all((described.subject, described.serial, described.key, described.fingerprint))
    assert described.not_before < NOW < described.not_after
    await authority.close()
