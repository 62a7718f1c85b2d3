"""Hostile certificate requests (THREATS: what `cryptography` accepts, parser bombs, side doors through the CSR)."""

import ipaddress
import tracemalloc
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from acme_ra.core.csr import MAX_CSR, parse_csr
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.problems import BadCSR
from tests.support.cost import cheapest

P256 = ec.generate_private_key(ec.SECP256R1())
Builder = x509.CertificateSigningRequestBuilder


def dns(value: str) -> x509.DNSName:
    """A DNS name as hostile software would encode it: without the library's own check for IDNA."""
    return x509.DNSName._init_without_validation(value)


def csr(*names: x509.GeneralName, key: object = P256, build: Callable[[Builder], Builder] | None = None) -> bytes:
    builder = Builder().subject_name(x509.Name([]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if build is not None:
        builder = build(builder)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)  # type: ignore[arg-type]


def with_subject(*values: str) -> Callable[[Builder], Builder]:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, value) for value in values]
    return lambda builder: Builder(x509.Name(attributes), builder._extensions, builder._attributes)


def tampered() -> bytes:
    der = bytearray(csr(dns("a.test")))
    der[-1] ^= 1
    return bytes(der)


def swapped_key() -> bytes:
    """A request with somebody else's public key: no proof of possession."""
    other = ec.generate_private_key(ec.SECP256R1())

    def point(key: ec.EllipticCurvePrivateKey) -> bytes:
        numbers = key.public_key().public_numbers()
        return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")

    return csr(dns("a.test")).replace(point(P256), point(other))


HOSTILE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "random bytes": lambda: bytes(range(256)),
    "too long": lambda: b"\x30" * (MAX_CSR + 1),
    "deeply nested": lambda: b"\x30\x80" * 8000,
    "pem": lambda: b"-----BEGIN CERTIFICATE REQUEST-----\n",
    "trailing bytes": lambda: csr(dns("a.test")) + b"\x00",
    "tampered signature": tampered,
    "somebody else's key": swapped_key,
    "NUL in a name": lambda: csr(dns("a.test\x00.evil.test")),
    "newline in a name": lambda: csr(dns("a.test\nb.test")),
    "script": lambda: csr(dns("<script>alert(1)</script>.test")),
    "double wildcard": lambda: csr(dns("*.*.com")),
    "empty label": lambda: csr(dns("a..com")),
    "300 characters": lambda: csr(dns("a" * 300 + ".test")),
    "address as a name": lambda: csr(dns("192.0.2.1")),
    "uri": lambda: csr(dns("a.test"), x509.UniformResourceIdentifier("spiffe://a/b")),
    "mail": lambda: csr(dns("a.test"), x509.RFC822Name("a@a.test")),
    "other name": lambda: csr(x509.OtherName(ObjectIdentifier("1.2.3"), b"\x05\x00")),
    "directory name": lambda: csr(x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.test")]))),
    "registered id": lambda: csr(x509.RegisteredID(ObjectIdentifier("1.2.3"))),
    "too many names": lambda: csr(*(dns(f"a{number}.test") for number in range(101))),
    "ca": lambda: csr(
        dns("a.test"), build=lambda b: b.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    ),
    "name constraints": lambda: csr(
        dns("a.test"), build=lambda b: b.add_extension(x509.NameConstraints([x509.DNSName("x.test")], None), True)
    ),
    "unknown extension": lambda: csr(
        dns("a.test"),
        build=lambda b: b.add_extension(
            x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99"), b"\x05\x00"), False
        ),
    ),
    "common name elsewhere": lambda: csr(dns("a.test"), build=with_subject("b.test")),
    "two common names": lambda: csr(dns("a.test"), build=with_subject("a.test", "a.test")),
    "secp256k1": lambda: csr(dns("a.test"), key=ec.generate_private_key(ec.SECP256K1())),
    "p-521": lambda: csr(dns("a.test"), key=ec.generate_private_key(ec.SECP521R1())),
    "rsa 1024": lambda: csr(dns("a.test"), key=rsa.generate_private_key(65537, 1024)),
    "rsa e=3": lambda: csr(dns("a.test"), key=rsa.generate_private_key(3, 2048)),
    "rsa 2056": lambda: csr(dns("a.test"), key=rsa.generate_private_key(65537, 2056)),
    "rsa with close primes": lambda: csr(dns("a.test"), key=close_primes()),
    "dsa": lambda: csr(dns("a.test"), key=dsa.generate_private_key(2048)),
    "sha-1": lambda: sha1_csr(),
}


def close_primes() -> rsa.RSAPrivateKey:
    """A key that Fermat factors at once (CVE-2022-26320)."""
    import gmpy2

    p = int(gmpy2.next_prime((1 << 1023) + (1 << 1022) + 12345))
    q = int(gmpy2.next_prime(p + 1000))
    d = int(gmpy2.invert(65537, (p - 1) * (q - 1)))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), int(gmpy2.invert(q, p)), rsa.RSAPublicNumbers(65537, p * q)
    )
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def sha1_csr() -> bytes:
    """The algorithm identifier of an RSA request rewritten to SHA-1 in place of SHA-256."""
    der = csr(dns("a.test"), key=rsa.generate_private_key(65537, 2048))
    sha256, sha1 = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    return der.replace(sha256, sha1)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_csr_is_refused_quickly_and_cheaply(name: str) -> None:
    """badCSR with a text for the client, in under 100 ms and 50 MB (THREATS: parser bombs)."""
    der = HOSTILE[name]()
    told: list[BadCSR] = []

    def refuse() -> None:
        with pytest.raises(BadCSR) as caught:
            parse_csr(der)
        told.append(caught.value)

    elapsed = cheapest(refuse)
    tracemalloc.start()  # only now: it slows everything
    try:
        refuse()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert told[-1].detail.isascii() or "—" not in told[-1].detail
    assert told[-1].detail.isprintable()
    assert elapsed < 0.1
    assert peak < 50_000_000


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
        rsa.generate_private_key(65537, 3072),
    ],
    ids=["p256", "p384", "ed25519", "rsa2048", "rsa3072"],
)
def test_an_honest_csr_gives_its_key_and_names(key: object) -> None:
    """Names come in normal form; a common name among them adds nothing."""
    der = csr(dns("A.test"), x509.IPAddress(ipaddress.ip_address("192.0.2.1")), key=key, build=with_subject("a.test"))

    verified = parse_csr(der)

    assert verified.identifiers == {
        Identifier(IdentifierType.DNS, "a.test"),
        Identifier(IdentifierType.IP, "192.0.2.1"),
    }
    assert verified.common_name == "a.test"


def test_a_common_name_alone_is_a_name() -> None:
    """RFC 8555 §7.4: the CN may stand for a SAN."""
    assert parse_csr(csr(build=with_subject("a.test"))).identifiers == {Identifier(IdentifierType.DNS, "a.test")}
