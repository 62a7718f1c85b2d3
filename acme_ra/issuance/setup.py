"""Making and importing authorities: what `acme-ra ca init` and `acme-ra ca import` do (RFC 5280 §4.2).

CA certificates are made here and nowhere else; the server itself never signs one.
"""

import ipaddress
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from acme_ra.core.clock import DAY, HOUR, Instant, to_datetime
from acme_ra.core.identifiers import parse_dns_name
from acme_ra.core.keys import KeyAlgorithm, PublicKey
from acme_ra.core.problems import Problem
from acme_ra.issuance.issuer import (
    AuthorityMisconfigured,
    check_issuer,
    check_time,
    key_identifier_of,
    load_certificates,
    order_chain,
)
from acme_ra.issuance.names import Network
from acme_ra.issuance.signers.contract import PrivateKey, signature_options
from acme_ra.issuance.signers.file import encode_key, load_key, read_file, write_new
from acme_ra.issuance.signers.memory import MemorySigner, generate_key

CA_ALGORITHMS = (KeyAlgorithm.ECDSA_P256, KeyAlgorithm.ECDSA_P384)
CLOCK_SKEW = 1 * HOUR
YEAR = 365 * DAY
_EVERY_ADDRESS: tuple[Network, ...] = (ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0"))


class Constraints(msgspec.Struct, frozen=True, kw_only=True):
    """What an intermediate may sign. Once one kind of name is permitted, the other kind is not, unless listed too."""

    permitted_dns: tuple[str, ...] = ()
    permitted_ip: tuple[Network, ...] = ()
    excluded_dns: tuple[str, ...] = ()
    excluded_ip: tuple[Network, ...] = ()

    def extension(self) -> x509.NameConstraints | None:
        """RFC 5280 §4.2.1.10; None without constraints. Raises AuthorityMisconfigured for what is no domain."""
        permitted_dns, excluded_dns = _domains(self.permitted_dns), _domains(self.excluded_dns)
        excluded_ip = self.excluded_ip
        if permitted_dns and not self.permitted_ip:
            excluded_ip = _EVERY_ADDRESS
        if self.permitted_ip and not permitted_dns:
            excluded_dns = ("",)
        permitted = [*map(x509.DNSName, permitted_dns), *map(x509.IPAddress, self.permitted_ip)]
        excluded = [*map(x509.DNSName, excluded_dns), *map(x509.IPAddress, excluded_ip)]
        if not permitted and not excluded:
            return None
        return x509.NameConstraints(permitted or None, excluded or None)


class NewAuthority(msgspec.Struct, frozen=True, kw_only=True):
    """What `ca init` is asked for. Lifetimes in milliseconds."""

    directory: Path
    name: str = "intermediate"
    organization: str = "acme-ra"
    algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA_P256
    constraints: Constraints = Constraints()
    root_lifetime: int = 10 * YEAR
    lifetime: int = 5 * YEAR


class AuthorityFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Where an authority was written. `root_key` should be moved to where no server can read it."""

    certificate: Path
    key: Path
    root: Path
    root_key: Path | None = None


def init_authority(
    new: NewAuthority, *, passphrase: bytes, now: Instant, root_passphrase: bytes | None = None
) -> AuthorityFiles:
    """Make a root and an intermediate below it, keys encrypted. Raises AuthorityMisconfigured; overwrites nothing."""
    _check_new(new)
    constraints = new.constraints.extension()
    root_key, key = generate_key(new.algorithm), generate_key(new.algorithm)
    root = _make_ca(
        root_key.public_key(),
        subject=_subject(new.organization, "root", root_key),
        lifetime=new.root_lifetime,
        now=now,
        path_length=1,
        signed_by=root_key,
    )
    intermediate = _make_ca(
        key.public_key(),
        subject=_subject(new.organization, new.name, key),
        lifetime=min(new.lifetime, new.root_lifetime),
        now=now,
        path_length=0,
        signed_by=root_key,
        issuer=root,
        constraints=constraints,
    )
    files = AuthorityFiles(
        certificate=new.directory / f"{new.name}.pem",
        key=new.directory / f"{new.name}.key",
        root=new.directory / "root.pem",
        root_key=new.directory / "root.key",
    )
    assert files.root_key is not None
    _write_all(
        new.directory,
        {
            files.root_key: encode_key(root_key, passphrase=root_passphrase or passphrase),
            files.key: encode_key(key, passphrase=passphrase),
            files.root: root.public_bytes(Encoding.PEM),
            files.certificate: intermediate.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM),
        },
    )
    return files


class BroughtAuthority(msgspec.Struct, frozen=True, kw_only=True):
    """What `ca import` is given: PEM files. The chain may be in the certificate's file."""

    certificate: Path
    key: Path
    chain: Path | None = None
    key_passphrase: bytes | None = None

    def __repr__(self) -> str:
        return f"BroughtAuthority({self.certificate})"


def import_authority(
    brought: BroughtAuthority, *, directory: Path, name: str, passphrase: bytes, now: Instant
) -> AuthorityFiles:
    """Check a CA that was made elsewhere, and write it down with its key encrypted anew.

    Raises AuthorityMisconfigured when the key is another one's, the chain reaches no root, the certificate is no CA,
    may not sign, has expired, or is signed with a weak algorithm.
    """
    _check_name(name)
    first, *pool = load_certificates(read_file(brought.certificate, what="certificate"), what=str(brought.certificate))
    if brought.chain is not None:
        pool += load_certificates(read_file(brought.chain, what="chain"), what=str(brought.chain))
    key = load_key(brought.key, passphrase=brought.key_passphrase)
    chain = order_chain(first, pool)
    check_issuer(first, chain, key.public_key())
    check_time((first, *chain), now)
    files = AuthorityFiles(
        certificate=directory / f"{name}.pem", key=directory / f"{name}.key", root=directory / f"{name}-root.pem"
    )
    everything = (first, *chain)
    _write_all(
        directory,
        {
            files.key: encode_key(key, passphrase=passphrase),
            files.root: everything[-1].public_bytes(Encoding.PEM),
            files.certificate: b"".join(one.public_bytes(Encoding.PEM) for one in everything),
        },
    )
    return files


def _make_ca(
    public_key: PublicKey,
    *,
    subject: x509.Name,
    lifetime: int,
    now: Instant,
    path_length: int,
    signed_by: PrivateKey,
    issuer: x509.Certificate | None = None,
    constraints: x509.NameConstraints | None = None,
) -> x509.Certificate:
    """A CA certificate; self-signed without `issuer`."""
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
    authority = identifier.digest if issuer is None else key_identifier_of(issuer)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(to_datetime(now - CLOCK_SKEW))
        .not_valid_after(to_datetime(now - CLOCK_SKEW + lifetime) - timedelta(seconds=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_ca_key_usage(), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(authority, None, None), critical=False)
    )
    if issuer is not None:
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = builder.add_extension(usages, critical=False)
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    return builder.sign(signed_by, **signature_options(MemorySigner(signed_by)))


def _ca_key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        key_encipherment=False,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(organization: str, role: str, key: PrivateKey) -> x509.Name:
    """The suffix keeps two CAs of one organization apart, whose names would else lead to the wrong key."""
    suffix = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest[:3].hex()
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{organization} {role} {suffix}"[-64:]),
        ]
    )


def _check_new(new: NewAuthority) -> None:
    _check_name(new.name)
    if new.name == "root":
        raise AuthorityMisconfigured("an intermediate cannot be called root", "choose another name")
    if new.algorithm not in CA_ALGORITHMS:
        raise AuthorityMisconfigured(f"CA keys are not made as {new.algorithm}", f"use {' or '.join(CA_ALGORITHMS)}")
    if not 1 <= len(new.organization) <= 40 or not new.organization.isprintable():
        raise AuthorityMisconfigured("the organization is empty, too long or not printable", "use 1 to 40 characters")
    if new.lifetime < DAY or new.root_lifetime > 40 * YEAR:
        raise AuthorityMisconfigured("the lifetimes are too short or too long", "use a day to 40 years")


def _check_name(name: str) -> None:
    if not name or len(name) > 63 or not name.isascii() or not name.replace("-", "").isalnum() or name != name.lower():
        message = f"{name[:64]!a} is not a name for an authority"
        raise AuthorityMisconfigured(message, "use lower-case letters, digits and hyphens")


def _domains(names: Sequence[str]) -> tuple[str, ...]:
    """A constraint covers a domain and all below it; a leading dot or `*.`, as others write it, is dropped."""
    domains = []
    for name in names:
        try:
            domains.append(parse_dns_name(name.removeprefix("*").removeprefix("."), allow_wildcard=False))
        except Problem as problem:
            message = f"the name constraint {name[:80]!a} is not a domain: {problem.detail}"
            raise AuthorityMisconfigured(message, "write it like example.com") from problem
    return tuple(domains)


def _write_all(directory: Path, contents: dict[Path, bytes]) -> None:
    """All of the files or, where one exists already, none. Keys are for their user only."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in contents:
        if path.exists():
            raise AuthorityMisconfigured(f"{path} exists already", "choose another directory or name, or move it")
    for path, content in contents.items():
        write_new(path, content, mode=0o600 if path.suffix == ".key" else 0o644)
