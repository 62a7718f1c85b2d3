"""tls-alpn-01: only the one certificate that RFC 8737 §3 describes proves control (Let's Encrypt, 2022)."""

import datetime
import ipaddress
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from acme_ra.core.problems import IncorrectResponse, TLSFailed
from acme_ra.validation.service import ValidationAuthority
from tests.support.challenge_peers import (
    ACME_IDENTIFIER,
    KEY_AUTHORIZATION,
    NAME,
    alpn_extension,
    certificate,
    http_peer,
    http_response,
    settings,
    target,
    tls_peer,
)
from tests.support.dns_server import fake_dns

SAN = [x509.DNSName(NAME)]
DIGEST = alpn_extension()[0].value[2:]


async def validate(port, identifier=NAME):
    async with fake_dns() as dns:
        dns.records[NAME, "A"] = ["127.0.0.1"]
        await ValidationAuthority(settings(dns.address, tls_alpn_port=port)).validate("tls-alpn-01", target(identifier))


def raw(oid, value, critical=True):
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical


REFUSED = {
    "another key authorization": (SAN, [alpn_extension("other.account")], "acmeIdentifier is 0420"),
    "not critical": (SAN, [alpn_extension(critical=False)], "not critical"),
    "the draft's OID": (SAN, [alpn_extension(oid="1.3.6.1.5.5.7.1.30.1")], r"draft's 1\.3\.6\.1\.5\.5\.7\.1\.30\.1"),
    "no acmeIdentifier": (SAN, [], "without the acmeIdentifier"),
    "a bare digest": (SAN, [raw(ACME_IDENTIFIER, DIGEST)], "acmeIdentifier is"),
    "a longer digest": (SAN, [raw(ACME_IDENTIFIER, b"\x04\x21" + DIGEST + b"\x00")], "acmeIdentifier is"),
    "trailing bytes": (SAN, [raw(ACME_IDENTIFIER, b"\x04\x20" + DIGEST + b"\x05\x00")], "acmeIdentifier is"),
    "no name": ([], [alpn_extension()], "without a subject alternative name"),
    "another name": ([x509.DNSName("pay.example.test")], [alpn_extension()], "expected exactly one"),
    "a name too many": ([*SAN, x509.DNSName("pay.example.test")], [alpn_extension()], "expected exactly one"),
    "an address too many": (
        [*SAN, x509.IPAddress(ipaddress.ip_address("127.0.0.1"))],
        [alpn_extension()],
        "exactly one",
    ),
    "an e-mail address too many": ([*SAN, x509.RFC822Name("a@b.test")], [alpn_extension()], "expected exactly one"),
    "the name twice": ([*SAN, *SAN], [alpn_extension()], "expected exactly one"),
    "a wildcard": ([x509.DNSName("*.example.test")], [alpn_extension()], "expected exactly one"),
    "the name as a URI": ([x509.UniformResourceIdentifier(NAME)], [alpn_extension()], "expected exactly one"),
    "the name with a dot": ([x509.DNSName(f"{NAME}.")], [alpn_extension()], "expected exactly one"),
    "the name and a NUL": ([x509.DNSName(f"{NAME}\x00.evil.test")], [alpn_extension()], "expected exactly one"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_wrong_certificate_is_refused(case, tmp_path):
    """Each deviation is refused, and the problem tells which."""
    names, extensions, told = REFUSED[case]
    async with tls_peer(certificate(tmp_path, names, extensions)) as peer:
        with pytest.raises(IncorrectResponse, match=told) as caught:
            await validate(peer.port)

        assert caught.value.detail.startswith(f"{NAME}: 127.0.0.1:{peer.port} showed a certificate")


async def test_a_chain_is_refused(tmp_path):
    """One self-signed certificate, and nothing after it."""
    right = certificate(tmp_path, SAN, [alpn_extension()])
    async with tls_peer(right, chain=certificate(tmp_path, [x509.DNSName("x.test")])) as peer:
        with pytest.raises(IncorrectResponse, match="showed 2 certificates"):
            await validate(peer.port)


@pytest.mark.parametrize("issuer", ["acme", "ca"])
async def test_a_certificate_that_somebody_else_signed_is_refused(issuer, tmp_path):
    """Self-signed by name and by signature."""
    other = ec.generate_private_key(ec.SECP256R1())
    pem = certificate(tmp_path, SAN, [alpn_extension()], issuer_key=other, issuer_name=issuer)
    async with tls_peer(pem) as peer:
        with pytest.raises(IncorrectResponse, match="not self-signed"):
            await validate(peer.port)


@pytest.mark.parametrize("alpn", [[], ["h2", "http/1.1"], ["acme-tls/2"]])
async def test_a_server_that_does_not_choose_the_protocol_is_refused(alpn, tmp_path):
    """A shared host that ignores ALPN would otherwise prove names for its tenants."""
    async with tls_peer(certificate(tmp_path, SAN, [alpn_extension()]), alpn=alpn) as peer:
        with pytest.raises(TLSFailed, match=r"acme-tls/1|handshake"):
            await validate(peer.port)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_tls_is_refused(tmp_path):
    """TLS 1.2 at least (RFC 8737 §3)."""
    async with tls_peer(certificate(tmp_path, SAN, [alpn_extension()]), maximum=ssl.TLSVersion.TLSv1_1) as peer:
        with pytest.raises(TLSFailed, match="handshake"):
            await validate(peer.port)


async def test_a_server_without_tls_is_refused():
    """Plain HTTP on the port is a TLS problem, told as one."""
    async with http_peer(http_response(KEY_AUTHORIZATION)) as peer:
        with pytest.raises(TLSFailed, match="handshake"):
            await validate(peer.port)


async def test_an_address_needs_an_address_as_its_name(tmp_path):
    """RFC 8738 §6: an iPAddress name; the reverse-DNS name is for SNI only."""
    wrong = certificate(tmp_path, [x509.DNSName("1.0.0.127.in-addr.arpa")], [alpn_extension()])
    async with tls_peer(wrong) as peer:
        with pytest.raises(IncorrectResponse, match="exactly one ip name"):
            await validate(peer.port, "127.0.0.1")


@pytest.mark.parametrize("key", ["rsa", "p384"])
async def test_what_the_rfc_does_not_forbid_is_accepted(key, tmp_path):
    """RSA keys, CA:TRUE, another case of the name, a validity of no time at all."""
    made = rsa.generate_private_key(65537, 2048) if key == "rsa" else ec.generate_private_key(ec.SECP384R1())
    extensions = [alpn_extension(), (x509.BasicConstraints(ca=True, path_length=None), True)]
    pem = certificate(tmp_path, [x509.DNSName(NAME.upper())], extensions, key=made)
    async with tls_peer(pem) as peer:
        await validate(peer.port)

    shown = x509.load_pem_x509_certificate(pem.read_bytes())
    assert shown.not_valid_before_utc == shown.not_valid_after_utc < datetime.datetime.now(datetime.UTC)
    assert shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)


async def test_sni_names_the_identifier(tmp_path):
    """The name for DNS; the reverse-DNS name for an address (RFC 8738 §6)."""
    async with tls_peer(certificate(tmp_path, SAN, [alpn_extension()])) as peer:
        await validate(peer.port)
    address = certificate(tmp_path, [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))], [alpn_extension()])
    async with tls_peer(address) as other:
        await validate(other.port, "127.0.0.1")

    assert peer.server_names == [NAME]
    assert other.server_names == ["1.0.0.127.in-addr.arpa"]
