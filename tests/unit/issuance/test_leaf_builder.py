"""The builder: what stands in a leaf certificate, and what is refused before anything is signed."""

import ipaddress

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from acme_ra.core.clock import DAY, SECOND, to_datetime
from acme_ra.core.keys import LEAF_ALGORITHMS, KeyAlgorithm
from acme_ra.issuance.contract import AuthorityRefused
from acme_ra.issuance.lint import shape_of
from acme_ra.issuance.service import CertificateAuthority
from acme_ra.issuance.settings import ProfileSettings
from acme_ra.issuance.setup import Constraints
from tests.support.issuing import AIA_URL, CRL_URL, NOW, approval, approved, dns, ip, make_ca, subject_key


async def issue(ca=None, settings=None, **changes):
    """The certificate for an Approval under one profile."""
    authority = (ca or make_ca()).authority(default=settings or ProfileSettings())
    issued = await authority.issue(approval(**changes))
    return x509.load_der_x509_certificate(issued.leaf)


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


async def test_a_leaf_holds_exactly_what_was_approved_and_what_the_profile_says():
    """Names in their order, the key, the serial, the dates less the backdate, and nine extensions."""
    ca = make_ca()
    names = (*dns("b.example.com", "*.a.example.com"), *ip("192.0.2.1", "2001:db8::1"))
    wanted = approved(names, not_before=NOW + 999)

    leaf = await issue(ca, certificate=wanted)

    assert leaf.version == x509.Version.v3
    assert leaf.subject == x509.Name([])
    assert leaf.issuer == ca.certificate.subject
    assert leaf.serial_number == int(wanted.serial, 16)
    assert leaf.not_valid_before_utc == to_datetime(NOW - 60 * SECOND)
    assert leaf.not_valid_after_utc == to_datetime(NOW + 30 * DAY)
    san = extension(leaf, x509.SubjectAlternativeName)
    assert san.critical
    assert [name.value for name in san.value] == [
        "b.example.com",
        "*.a.example.com",
        ipaddress.ip_address("192.0.2.1"),
        ipaddress.ip_address("2001:db8::1"),
    ]
    usage = extension(leaf, x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_encipherment
    assert not usage.value.key_cert_sign
    assert list(extension(leaf, x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    basic = extension(leaf, x509.BasicConstraints)
    assert basic.critical
    assert not basic.value.ca
    own = extension(ca.certificate, x509.SubjectKeyIdentifier).value.digest
    assert extension(leaf, x509.AuthorityKeyIdentifier).value.key_identifier == own
    (access,) = extension(leaf, x509.AuthorityInformationAccess).value
    assert access.access_method == AuthorityInformationAccessOID.CA_ISSUERS
    assert access.access_location.value == AIA_URL
    (point,) = extension(leaf, x509.CRLDistributionPoints).value
    assert point.full_name[0].value == CRL_URL
    assert len(extension(leaf, x509.SubjectKeyIdentifier).value.digest) == 20
    assert len(list(leaf.extensions)) == 8


async def test_the_profile_turns_each_optional_part_on_and_off():
    """Common name, subject key identifier, policies, URLs and usages are the profile's."""
    profile = ProfileSettings(
        include_common_name=True,
        include_subject_key_identifier=False,
        policies=["2.23.140.1.2.1", "1.3.6.1.4.1.99999.1"],
        crl_url="",
        aia_url="https://pki.example.com/ca.cer",
        usages=["client auth", "server auth"],
        backdate="0s",
    )
    long = "a" * 60 + ".example.com"

    leaf = await issue(settings=profile, identifiers=(*ip("192.0.2.1"), *dns(long, "short.example.com")))

    assert [one.value for one in leaf.subject] == ["short.example.com"]
    assert leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert not extension(leaf, x509.SubjectAlternativeName).critical
    policies = extension(leaf, x509.CertificatePolicies).value
    assert [one.policy_identifier.dotted_string for one in policies] == profile.policies
    assert list(extension(leaf, x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.SERVER_AUTH,
    ]
    kinds = {type(one.value) for one in leaf.extensions}
    assert x509.CRLDistributionPoints not in kinds
    assert x509.SubjectKeyIdentifier not in kinds
    assert leaf.not_valid_before_utc == to_datetime(NOW)


async def test_a_name_too_long_for_a_common_name_leaves_the_subject_empty():
    """RFC 5280 allows 64 characters; the names then are critical."""
    long = "a" * 60 + ".example.com"

    leaf = await issue(settings=ProfileSettings(include_common_name=True), identifiers=dns(long))

    assert leaf.subject == x509.Name([])
    assert extension(leaf, x509.SubjectAlternativeName).critical


@pytest.mark.parametrize(
    ("algorithm", "usages", "enciphers"),
    [
        (KeyAlgorithm.RSA_2048, ["server auth"], True),
        (KeyAlgorithm.RSA_2048, ["client auth"], False),
        (KeyAlgorithm.ED25519, ["server auth"], False),
    ],
)
async def test_only_the_rsa_key_of_a_server_enciphers_keys(algorithm, usages, enciphers):
    """RSA key transport of TLS 1.2 is the one use of keyEncipherment."""
    leaf = await issue(settings=ProfileSettings(usages=usages), key=subject_key(algorithm))

    assert extension(leaf, x509.KeyUsage).value.key_encipherment is enciphers


@pytest.mark.parametrize("issuer", [KeyAlgorithm.ECDSA_P256, KeyAlgorithm.ECDSA_P384, KeyAlgorithm.RSA_2048, "ed25519"])
async def test_the_same_approval_gives_the_same_bytes(issuer):
    """A repeat after a crash finds the certificate that may have been handed out already."""
    authority = make_ca(KeyAlgorithm(issuer)).authority()
    wanted = approval()

    first, second = await authority.issue(wanted), await authority.issue(wanted)

    assert first == second


async def test_a_certificate_never_outlives_its_issuer():
    """A second too many is refused; the last instant is not."""
    ca = make_ca(lifetime=10 * DAY)
    end = ca.issuer.not_after

    with pytest.raises(AuthorityRefused, match="outlive"):
        await issue(ca, not_after=end + SECOND)
    leaf = await issue(ca, not_after=end)

    assert leaf.not_valid_after_utc == ca.certificate.not_valid_after_utc


async def test_backdating_stops_at_the_issuers_own_start():
    """A certificate of a CA that is younger than the backdate starts with the CA."""
    ca = make_ca()

    leaf = await issue(ca, ProfileSettings(backdate="1d"))

    assert leaf.not_valid_before_utc == ca.certificate.not_valid_before_utc


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"not_after": NOW}, "end before it starts"),
        ({"not_before": NOW + 40 * DAY}, "end before it starts"),
        ({"authority": "other"}, "approved for authority other"),
        ({"profile": "other"}, "no profile 'other'"),
        ({"serial": "0"}, "not positive"),
        ({"serial": "f" * 42}, "longer than 20 octets"),
        ({"spki": b"\x30\x00"}, "cannot be put into a certificate"),
    ],
)
async def test_an_approval_that_cannot_be_signed_is_refused_for_good(changes, why):
    """Each is a final answer with a reason, and no half-made certificate."""
    with pytest.raises(AuthorityRefused, match=why):
        await issue(**changes)


async def test_a_key_that_the_profile_does_not_accept_is_refused():
    """Policy may be wider than the profile; the narrower one wins."""
    with pytest.raises(AuthorityRefused, match="does not accept rsa-2048"):
        await issue(settings=ProfileSettings(keys=["ecdsa-p256"]), key=subject_key(KeyAlgorithm.RSA_2048))


PERMITTED = Constraints(permitted_dns=("example.com",), excluded_dns=("secret.example.com", "x.y.example.com"))
NETWORKS = Constraints(permitted_ip=(ipaddress.ip_network("10.0.0.0/8"),))


@pytest.mark.parametrize(
    ("constraints", "names", "why"),
    [
        (PERMITTED, dns("example.org"), "only sign names under example.com"),
        (PERMITTED, dns("badexample.com"), "only sign names under example.com"),
        (PERMITTED, dns("ok.example.com", "a.secret.example.com"), "may not sign names under secret.example.com"),
        (PERMITTED, dns("*.example.com"), "may not sign names under secret.example.com"),
        (PERMITTED, dns("*.y.example.com"), "may not sign names under x.y.example.com"),
        (PERMITTED, ip("192.0.2.1"), "DNS names only"),
        (PERMITTED, ip("2001:db8::1"), "DNS names only"),
        (NETWORKS, ip("192.0.2.1"), "addresses in 10.0.0.0/8"),
        (NETWORKS, ip("2001:db8::1"), "addresses in 10.0.0.0/8"),
        (NETWORKS, dns("example.com"), "addresses only"),
    ],
)
async def test_names_outside_the_cas_constraints_are_refused_before_signing(constraints, names, why):
    """The refusal names the identifier and the constraint, as text and as a subproblem."""
    ca = make_ca(constraints=constraints)

    with pytest.raises(AuthorityRefused, match=why) as caught:
        await issue(ca, identifiers=names)

    assert caught.value.subproblems[0].identifier_value == names[-1].value


@pytest.mark.parametrize(
    ("constraints", "names"),
    [
        (PERMITTED, dns("example.com", "a.b.example.com", "*.z.example.com", "notsecret.example.com")),
        (NETWORKS, ip("10.1.2.3")),
    ],
)
async def test_names_inside_the_constraints_are_signed(constraints, names):
    """A constraint covers its domain and everything below."""
    leaf = await issue(make_ca(constraints=constraints), identifiers=names)

    assert len(list(extension(leaf, x509.SubjectAlternativeName).value)) == len(names)


def test_serials_have_128_bits_and_fit_the_rfc():
    """Positive, lower-case hex without leading zeros, at most 20 octets, never the same."""
    serials = [CertificateAuthority.new_serial() for _ in range(2000)]

    assert len(set(serials)) == 2000
    assert all(int(one, 16) > 0 and one == f"{int(one, 16):x}" and len(one) <= 32 for one in serials)
    assert sum(int(one, 16).bit_length() == 128 for one in serials) > 800


def test_shapes_tell_apart_what_the_linter_judges_differently():
    """A first wildcard, address, key type or late notAfter is another shape; another name is not."""
    plain = approved()
    others = [
        approved(dns("*.example.com")),
        approved(dns("a.example.com", "b.example.com")),
        approved(ip("192.0.2.1")),
        approved(ip("2001:db8::1")),
        approved(dns("db")),
        approved(key=subject_key(KeyAlgorithm.RSA_2048)),
        approved(profile="other"),
        approved(not_after=NOW + 9000 * DAY),
    ]

    assert shape_of(plain) == shape_of(approved(dns("api.example.org")))
    assert len({shape_of(one) for one in (plain, *others)}) == 1 + len(others)


def test_every_leaf_algorithm_is_a_default_of_a_profile():
    """Narrowing is the operator's choice."""
    assert set(ProfileSettings().keys) == LEAF_ALGORITHMS
