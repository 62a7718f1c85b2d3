"""The check after the signature: every single way in which a certificate can differ from its Approval is found."""

import ipaddress
import random
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acme_ra.core.clock import DAY, MINUTE, SECOND
from acme_ra.core.encoding import b64url
from acme_ra.core.keys import KeyAlgorithm
from acme_ra.issuance.ari import ari_id, serial_content
from acme_ra.issuance.builder import LeafBuilder, sign_leaf
from acme_ra.issuance.contract import IssuedChain
from acme_ra.issuance.profiles import Profile
from acme_ra.issuance.settings import ProfileSettings
from acme_ra.issuance.signers.memory import MemorySigner
from acme_ra.issuance.verify import Verifier
from tests.support.issuing import NOW, approved, dns, ip, key_of, make_ca, subject_key

CA = make_ca()
ISSUER = CA.issuer
SIGNER = MemorySigner(CA.key)
CHAIN = (CA.certificate.public_bytes(Encoding.PEM),)
PROFILE = Profile("default", ProfileSettings(policies=["2.23.140.1.2.1"]))
WANTED = approved((*dns("a.example.com", "b.example.com"), *ip("192.0.2.1")))


def verdict(builder, wanted=WANTED, *, signer=SIGNER, chains=CHAIN, profile=PROFILE):
    """What the verifier says of a certificate that this builder gives."""
    leaf = sign_leaf(builder, signer).public_bytes(Encoding.DER)
    chain = IssuedChain(leaf, "c", chains)
    found = Verifier(profile, ISSUER).differences(chain, wanted)
    assert _experienced(profile).differences(chain, wanted) == found
    return found


def _experienced(profile):
    """A verifier that has seen right certificates, and so knows the bytes of their extensions."""
    verifier = Verifier(profile, ISSUER)
    for identifiers in (dns("a.example.com", "b.example.com"), (*dns("a.example.com"), *ip("192.0.2.1"))):
        wanted = approved(identifiers)
        leaf = sign_leaf(LeafBuilder(profile, ISSUER).build(wanted), SIGNER).public_bytes(Encoding.DER)
        assert verifier.differences(IssuedChain(leaf, "c", CHAIN), wanted) == ()
    return verifier


def good(profile=PROFILE):
    return LeafBuilder(profile, ISSUER).build(WANTED)


def without(builder, kind):
    builder = copy(builder)
    builder._extensions = [one for one in builder._extensions if not isinstance(one.value, kind)]
    return builder


def swapped(builder, value, *, critical):
    return without(builder, type(value)).add_extension(value, critical=critical)


def changed(builder, **fields):
    builder = copy(builder)
    for field, value in fields.items():
        setattr(builder, f"_{field}", value)
    return builder


def copy(builder):
    return x509.CertificateBuilder(
        builder._issuer_name,
        builder._subject_name,
        builder._public_key,
        builder._serial_number,
        builder._not_valid_before,
        builder._not_valid_after,
        list(builder._extensions),
    )


def names(*more):
    return x509.SubjectAlternativeName(
        [
            x509.DNSName("a.example.com"),
            x509.DNSName("b.example.com"),
            x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
            *more,
        ]
    )


def usage(**on):
    flags = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(**flags | {"digital_signature": True} | on)


def test_the_certificate_of_our_builder_is_the_approved_one():
    """The builder and the check agree, though they share nothing."""
    assert verdict(good()) == ()


MUTATIONS = {
    "another key": (lambda b: changed(b, public_key=key_of(KeyAlgorithm.ECDSA_P256, "thief").public_key()), "the key"),
    "another serial": (lambda b: changed(b, serial_number=7), "the serial is 7"),
    "earlier start": (lambda b: changed(b, not_valid_before=b._not_valid_before - timedelta(seconds=1)), "notBefore"),
    "later end": (lambda b: changed(b, not_valid_after=b._not_valid_after + timedelta(seconds=1)), "notAfter"),
    "shorter": (lambda b: changed(b, not_valid_after=b._not_valid_after - timedelta(days=1)), "notAfter"),
    "outliving": (lambda b: changed(b, not_valid_after=b._not_valid_after + timedelta(days=9000)), "outlives"),
    "a subject": (
        lambda b: changed(b, subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.example.com")])),
        "the subject",
    ),
    "an extra name": (
        lambda b: swapped(b, names(x509.DNSName("evil.example")), critical=True),
        "'evil.example', which was not approved",
    ),
    "a name twice": (lambda b: swapped(b, names(x509.DNSName("a.example.com")), critical=True), "not approved"),
    "a name in capitals": (lambda b: swapped(b, names(x509.DNSName("A.example.com")), critical=True), "not approved"),
    "an email name": (lambda b: swapped(b, names(x509.RFC822Name("a@example.com")), critical=True), "not approved"),
    "a URI name": (
        lambda b: swapped(b, names(x509.UniformResourceIdentifier("spiffe://x/y")), critical=True),
        "not approved",
    ),
    "an address as a DNS name": (
        lambda b: swapped(b, names(x509.DNSName("192.0.2.1")), critical=True),
        "not approved",
    ),
    "a name missing": (
        lambda b: swapped(b, x509.SubjectAlternativeName([x509.DNSName("a.example.com")]), critical=True),
        "the name b.example.com is missing",
    ),
    "no names": (lambda b: without(b, x509.SubjectAlternativeName), "no subject alternative names"),
    "names not critical": (lambda b: swapped(b, names(), critical=False), "critical if and only if"),
    "a CA": (lambda b: swapped(b, x509.BasicConstraints(True, None), critical=True), "2.5.29.19"),
    "a CA with length": (lambda b: swapped(b, x509.BasicConstraints(True, 0), critical=True), "2.5.29.19"),
    "no basic constraints": (lambda b: without(b, x509.BasicConstraints), "2.5.29.19 is missing"),
    "may sign certificates": (lambda b: swapped(b, usage(key_cert_sign=True), critical=True), "2.5.29.15"),
    "may sign CRLs": (lambda b: swapped(b, usage(crl_sign=True), critical=True), "2.5.29.15"),
    "key usage not critical": (lambda b: swapped(b, usage(), critical=False), "2.5.29.15"),
    "a wider usage": (
        lambda b: swapped(
            b,
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING]),
            critical=False,
        ),
        "2.5.29.37",
    ),
    "any usage": (
        lambda b: swapped(b, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), critical=False),
        "2.5.29.37",
    ),
    "no usage": (lambda b: without(b, x509.ExtendedKeyUsage), "2.5.29.37 is missing"),
    "another authority key": (
        lambda b: swapped(b, x509.AuthorityKeyIdentifier(b"\0" * 20, None, None), critical=False),
        "2.5.29.35",
    ),
    "another subject key": (
        lambda b: swapped(b, x509.SubjectKeyIdentifier(b"\0" * 20), critical=False),
        "2.5.29.14",
    ),
    "no CRL": (lambda b: without(b, x509.CRLDistributionPoints), "2.5.29.31 is missing"),
    "another policy": (
        lambda b: swapped(
            b,
            x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.5.29.32.0"), None)]),
            critical=False,
        ),
        "2.5.29.32",
    ),
    "an extra extension": (
        lambda b: b.add_extension(x509.TLSFeature([x509.TLSFeatureType.status_request]), critical=False),
        "1.3.6.1.5.5.7.1.24, which the profile does not say",
    ),
    "an unknown extension": (
        lambda b: b.add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.7"), b"\x05\x00"), critical=True
        ),
        "1.3.6.1.4.1.99999.7",
    ),
    "OCSP no check": (lambda b: b.add_extension(x509.OCSPNoCheck(), critical=False), "does not say"),
    "another issuer": (lambda b: changed(b, issuer_name=CA.root.subject), "the issuer is not"),
}


@pytest.mark.parametrize("mutation", list(MUTATIONS))
def test_every_single_difference_is_found(mutation):
    """One thing is changed, and the sentence names it."""
    change, sentence = MUTATIONS[mutation]

    found = verdict(change(good()))

    assert any(sentence in one for one in found), found


def test_a_signature_by_another_key_is_found():
    """The right name with the wrong key, of the same and of another algorithm."""
    same = MemorySigner(key_of(KeyAlgorithm.ECDSA_P256, "thief"))
    other = MemorySigner(key_of(KeyAlgorithm.RSA_2048, "thief"))

    assert verdict(good(), signer=same) == ("the signature is not the issuer's",)
    assert verdict(good(), signer=other) != ()


def test_a_chain_that_is_not_the_issuers_is_found():
    """Clients would be handed a chain that proves nothing."""
    root = CA.root.public_bytes(Encoding.PEM)

    assert verdict(good(), chains=()) == ("there is no chain",)
    assert verdict(good(), chains=(*CHAIN, root)) == ("a chain does not begin with the issuer",)
    assert verdict(good(), chains=(b"nonsense",)) == ("a chain does not begin with the issuer",)


def test_bytes_that_are_no_certificate_differ_and_do_not_raise():
    """An upstream may send anything: truncated, empty, huge, flipped in any place."""
    leaf = sign_leaf(good(), SIGNER).public_bytes(Encoding.DER)
    verifier = Verifier(PROFILE, ISSUER)
    dice = random.Random(7)
    broken = [b"", b"\x30", leaf[:-1], leaf + b"\0", leaf[: len(leaf) // 2], b"\x30\x84\xff\xff\xff\xff", b"A" * 70_000]
    for _ in range(150):
        place = dice.randrange(len(leaf))
        broken.append(leaf[:place] + bytes([leaf[place] ^ (1 << dice.randrange(8))]) + leaf[place + 1 :])

    for one in broken:
        assert verifier.differences(IssuedChain(one, "c", CHAIN), WANTED) != ()


LABEL = st.from_regex(r"[a-z]([a-z0-9]{0,10})", fullmatch=True)
DNS_NAME = st.builds(
    lambda star, labels: star + ".".join(labels), st.sampled_from(["", "*."]), st.lists(LABEL, min_size=2, max_size=4)
)
IDENTIFIERS = st.tuples(
    st.lists(DNS_NAME, max_size=5, unique=True), st.lists(st.ip_addresses(), max_size=3, unique=True)
).filter(lambda pair: pair[0] or pair[1])
SETTINGS = st.builds(
    ProfileSettings,
    usages=st.sampled_from([["server auth"], ["client auth"], ["server auth", "client auth"]]),
    include_common_name=st.booleans(),
    include_subject_key_identifier=st.booleans(),
    policies=st.lists(st.sampled_from(["2.23.140.1.2.1", "1.3.6.1.4.1.4146.1"]), unique=True),
    crl_url=st.sampled_from([None, "", "http://crl.example.com/x.crl"]),
    aia_url=st.sampled_from([None, "", "http://aia.example.com/x.cer"]),
    backdate=st.sampled_from([0, MINUTE, 3600 * SECOND]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    identifiers=IDENTIFIERS,
    profile=SETTINGS,
    algorithm=st.sampled_from(
        [KeyAlgorithm.ECDSA_P256, KeyAlgorithm.ECDSA_P384, KeyAlgorithm.RSA_2048, KeyAlgorithm.ED25519]
    ),
    serial=st.integers(min_value=1, max_value=2**128 - 1),
    start=st.integers(min_value=-DAY, max_value=DAY),
    length=st.integers(min_value=SECOND, max_value=300 * DAY),
)
def test_any_approval_becomes_a_certificate_that_passes_the_check(
    identifiers, profile, algorithm, serial, start, length
):
    """Approval → certificate → check, for all profiles, keys, names and dates; and the ARI id holds the serial."""
    made = Profile("default", profile)
    starts = NOW + max(start, -3600 * SECOND)
    wanted = approved(
        (*dns(*identifiers[0]), *ip(*map(str, identifiers[1]))),
        key=subject_key(algorithm),
        serial=f"{serial:x}",
        not_before=starts,
        not_after=starts + length,
    )

    certificate = sign_leaf(LeafBuilder(made, ISSUER).build(wanted), SIGNER)

    leaf = certificate.public_bytes(Encoding.DER)
    assert Verifier(made, ISSUER).differences(IssuedChain(leaf, "c", CHAIN), wanted) == ()
    authority_key = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert ari_id(ISSUER.key_identifier, serial) == f"{b64url(authority_key)}.{b64url(serial_content(serial))}"


def test_the_ari_id_is_that_of_the_rfc():
    """RFC 9773 §4.1's example: a serial whose top bit is set keeps its leading zero octet."""
    assert b64url(serial_content(0x87654321)) == "AIdlQyE"
    assert serial_content(0x17) == b"\x17"
    assert serial_content(0x80) == b"\x00\x80"
