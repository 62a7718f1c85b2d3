"""The server's own TLS certificate for `acme-ra quickstart`, made without any issuing key.

Issuing keys sign Approvals only. So the server's certificate comes from a CA of its own, whose key is never written
and forgotten once it has signed; its certificate is in the bundle that clients are given. A self-signed certificate
would do for few clients: rustls refuses a CA certificate as a server's own.
"""

import ipaddress
import os
import secrets
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from acme_ra.core.clock import DAY, HOUR, SECOND, Instant, to_datetime
from acme_ra.core.identifiers import Identifier, IdentifierType, parse_dns_name, parse_ip_address
from acme_ra.core.keys import KeyAlgorithm
from acme_ra.core.problems import Problem
from acme_ra.issuance.issuer import AuthorityMisconfigured
from acme_ra.issuance.signers.contract import PrivateKey, signature_options
from acme_ra.issuance.signers.file import encode_key, read_file, write_new
from acme_ra.issuance.signers.memory import MemorySigner, generate_key

LIFETIME = 825 * DAY
RENEW_BEFORE = 60 * DAY
ALWAYS_NAMED = ("localhost", "127.0.0.1", "::1")


class ServerFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server's certificate (leaf and its CA), its key, and the bundle for clients are."""

    certificate: Path
    key: Path
    ca_bundle: Path


def ensure_server_certificate(
    directory: Path, *, root: bytes, hosts: Sequence[str] = (), now: Instant
) -> tuple[ServerFiles, bool]:
    """Keep what is there while it serves these hosts for long enough; else make it anew. The flag tells which.

    A new certificate comes with a new bundle, which clients must then be given. `root` is the issuing root in PEM.
    """
    files = _files(directory)
    names = server_names(hosts)
    if _is_good(files, names, now):
        return files, False
    return create_server_certificate(directory, root=root, hosts=hosts, now=now), True


def create_server_certificate(directory: Path, *, root: bytes, hosts: Sequence[str] = (), now: Instant) -> ServerFiles:
    """Make a serving CA, a key and a certificate, and replace what was there. Raises AuthorityMisconfigured."""
    names = server_names(hosts)
    ca_key, key = generate_key(KeyAlgorithm.ECDSA_P256), generate_key(KeyAlgorithm.ECDSA_P256)
    authority = _make_serving_ca(ca_key, now)
    leaf = _make_leaf(key, names, authority, ca_key, now)
    del ca_key
    files = _files(directory)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    own = authority.public_bytes(Encoding.PEM)
    _replace(files.ca_bundle, own + root, mode=0o644)
    _replace(files.key, encode_key(key, passphrase=None), mode=0o600)
    _replace(files.certificate, leaf.public_bytes(Encoding.PEM) + own, mode=0o644)
    return files


def read_root(path: Path) -> bytes:
    """The certificates of a PEM file, and nothing else that it may hold. Raises AuthorityMisconfigured."""
    try:
        found = x509.load_pem_x509_certificates(read_file(path, what="root certificate"))
    except ValueError as error:
        raise AuthorityMisconfigured(f"{path} holds no certificate in PEM", "name the issuing root") from error
    return b"".join(one.public_bytes(Encoding.PEM) for one in found)


def server_names(hosts: Sequence[str]) -> tuple[Identifier, ...]:
    """The hosts, and this machine as it calls itself. Raises AuthorityMisconfigured for what is no host."""
    names = [_host(one) for one in (*hosts, *ALWAYS_NAMED)]
    return tuple(dict.fromkeys(names))


def _host(text: str) -> Identifier:
    try:
        return Identifier(IdentifierType.IP, parse_ip_address(text))
    except Problem:
        pass  # not an address, so it must be a name
    try:
        return Identifier(IdentifierType.DNS, parse_dns_name(text, allow_wildcard=False))
    except Problem as problem:
        message = f"{text[:80]!a} is neither a host name nor an address"
        raise AuthorityMisconfigured(message, "give the name that clients connect to") from problem


def _files(directory: Path) -> ServerFiles:
    return ServerFiles(
        certificate=directory / "server.pem", key=directory / "server.key", ca_bundle=directory / "ca-bundle.pem"
    )


def _is_good(files: ServerFiles, names: tuple[Identifier, ...], now: Instant) -> bool:
    """Whether the files belong together, name the hosts, and last. A crash while renewing leaves some that do not."""
    try:
        leaf, authority = x509.load_pem_x509_certificates(files.certificate.read_bytes())
        key = load_pem_private_key(files.key.read_bytes(), None)
        bundle = x509.load_pem_x509_certificates(files.ca_bundle.read_bytes())
        leaf.verify_directly_issued_by(authority)
        named = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    lasts = leaf.not_valid_after_utc.timestamp() * SECOND > now + RENEW_BEFORE
    together = key.public_key() == leaf.public_key() and authority in bundle
    return lasts and together and set(_general_names(names)) <= set(named)


def _general_names(names: tuple[Identifier, ...]) -> list[x509.GeneralName]:
    return [
        x509.IPAddress(ipaddress.ip_address(one.value)) if one.type == IdentifierType.IP else x509.DNSName(one.value)
        for one in names
    ]


def _make_serving_ca(key: PrivateKey, now: Instant) -> x509.Certificate:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    subject = _name(f"acme-ra serving CA {identifier.digest[:3].hex()}")
    builder = (
        _dated(now)
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(identifier.digest, None, None), critical=False)
    )
    return builder.sign(key, **signature_options(MemorySigner(key)))


def _make_leaf(
    key: PrivateKey, names: tuple[Identifier, ...], authority: x509.Certificate, ca_key: PrivateKey, now: Instant
) -> x509.Certificate:
    above = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    builder = (
        _dated(now)
        .subject_name(_name("acme-ra server"))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(above.digest, None, None), critical=False)
    )
    return builder.sign(ca_key, **signature_options(MemorySigner(ca_key)))


def _dated(now: Instant) -> x509.CertificateBuilder:
    start = to_datetime(now - HOUR)
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(milliseconds=LIFETIME) - timedelta(seconds=1))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_encipherment=False,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _replace(path: Path, content: bytes, *, mode: int) -> None:
    """Put a file in place in one step, so that a reader finds the old or the new one."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_new(fresh, content, mode=mode)
    os.replace(fresh, path)
