"""What was issued is what was approved: checked on the certificate's bytes, whoever signed it.

Nothing here is shared with the builder, so that a mistake there is found here. A difference is a sentence.
"""

import hashlib
import ipaddress
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from acme_ra.core.approval import ApprovedCertificate
from acme_ra.core.clock import SECOND, to_datetime
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.issuance.contract import IssuedChain
from acme_ra.issuance.der import element, elements
from acme_ra.issuance.issuer import Issuer
from acme_ra.issuance.profiles import MAX_COMMON_NAME, Profile

MAX_LEAF = 64 * 1024
_KEY = 6  # the place of the subject's key in a v3 TBSCertificate (RFC 5280 §4.1)
_EXTENSIONS = 0xA3  # the tag of its last field
_NAMES_OID = bytes.fromhex("0603551d11")
_KEY_IDENTIFIER_OID = bytes.fromhex("0603551d0e")
_CRITICAL = bytes.fromhex("0101ff")
_MOST_JUDGED = 64


class _Expected(NamedTuple):
    critical: bool
    value: x509.ExtensionType


@lru_cache(maxsize=256)
def parse_certificate(der: bytes) -> x509.Certificate:
    """Parsed certificates are kept for a while: the same one is read for its ARI id just after it is verified."""
    return x509.load_der_x509_certificate(der)


class Verifier:
    """Compares certificates of one profile, under one issuer, with their Approvals."""

    def __init__(self, profile: Profile, issuer: Issuer) -> None:
        self._profile = profile
        self._issuer = issuer
        self._shared = _shared_extensions(profile, issuer)
        self._judged: set[tuple[bool, tuple[bytes, ...]]] = set()
        self._directory_names = any(one.directory_names for one in issuer.constraints)

    def differences(self, issued: IssuedChain, approved: ApprovedCertificate) -> tuple[str, ...]:
        """Every way in which the certificate is not the approved one; empty when it is."""
        if len(issued.leaf) > MAX_LEAF:
            return (f"the certificate has {len(issued.leaf)} bytes",)
        try:
            certificate = parse_certificate(issued.leaf)
            fields = elements(certificate.tbs_certificate_bytes)
            found = (
                *self._fields(certificate, fields, approved),
                *self._extensions(certificate, fields, approved),
                *self._signature(certificate),
                *self._chains(issued.chains),
            )
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
            return (f"the certificate cannot be read: {type(error).__name__}",)
        return found

    def _fields(
        self, certificate: x509.Certificate, fields: list[bytes], approved: ApprovedCertificate
    ) -> Iterator[str]:
        if certificate.version != x509.Version.v3:
            yield "the version is not 3"
        if certificate.serial_number != int(approved.serial, 16):
            yield f"the serial is {certificate.serial_number:x} instead of {approved.serial}"
        spki = approved.spki
        if fields[_KEY : _KEY + 1] != [spki] or hashlib.sha256(spki).hexdigest() != approved.key_fingerprint:
            yield "the key is not the approved key"
        back = self._profile.settings.backdate if approved.backdated else 0
        start = max(approved.not_before - back, self._issuer.not_before)
        if certificate.not_valid_before_utc != to_datetime(start):
            yield f"notBefore is {certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
        if certificate.not_valid_after_utc != to_datetime(approved.not_after):
            yield f"notAfter is {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
        if certificate.not_valid_after_utc.timestamp() * SECOND > self._issuer.not_after:
            yield "it outlives its issuer"
        if certificate.subject != self._subject(approved.identifiers):
            yield "the subject is not what the profile says"

    def _extensions(
        self, certificate: x509.Certificate, fields: list[bytes], approved: ApprovedCertificate
    ) -> tuple[str, ...]:
        """Certificates of a profile share the bytes of most extensions; those are decoded and compared once."""
        enciphers = approved.algorithm.startswith("rsa-") and "server auth" in self._profile.settings.usages
        own = {_names_extension(approved.identifiers, critical=not certificate.subject)}
        if self._profile.settings.include_subject_key_identifier:
            own.add(_key_identifier_extension(approved.spki))
        found = elements(elements(fields[-1])[0]) if fields[-1][0] == _EXTENSIONS else []
        shared = tuple(one for one in found if one not in own)
        judged = (enciphers, shared)
        # Each of its own extensions is there once; so whatever was judged cannot hold another one of its kind.
        complete = len(found) == len(shared) + len(own) and own.issubset(found)
        if complete and judged in self._judged:
            return ()
        differences = tuple(self._decoded_extensions(certificate, approved, enciphers=enciphers))
        if complete and not differences and len(self._judged) < _MOST_JUDGED:
            self._judged.add(judged)
        return differences

    def _decoded_extensions(
        self, certificate: x509.Certificate, approved: ApprovedCertificate, *, enciphers: bool
    ) -> Iterator[str]:
        expected = dict(self._shared[enciphers])
        if self._profile.settings.include_subject_key_identifier:
            digest = hashlib.sha256(approved.spki).digest()[:20]
            expected[x509.SubjectKeyIdentifier.oid] = _Expected(False, x509.SubjectKeyIdentifier(digest))
        named = False
        for extension in certificate.extensions:
            oid = extension.oid
            if oid == x509.SubjectAlternativeName.oid:
                named = True
                yield from _name_differences(extension, approved.identifiers, has_subject=bool(certificate.subject))
                continue
            wanted = expected.pop(oid, None)
            if wanted is None:
                yield f"it has extension {oid.dotted_string}, which the profile does not say"
            elif extension.critical is not wanted.critical or extension.value != wanted.value:
                yield f"extension {oid.dotted_string} is not what the profile says"
        if not named:
            yield "it has no subject alternative names"
        for oid in expected:
            yield f"extension {oid.dotted_string} is missing"

    def _signature(self, certificate: x509.Certificate) -> Iterator[str]:
        """Issuer name, algorithms and signature in one go (RFC 5280 §6.1.3)."""
        try:
            certificate.verify_directly_issued_by(self._issuer.certificate)
        except (ValueError, TypeError):
            yield f"the issuer is not '{self._issuer.subject}'"
        except (InvalidSignature, UnsupportedAlgorithm):
            yield "the signature is not the issuer's"

    def _chains(self, chains: tuple[bytes, ...]) -> Iterator[str]:
        if not chains:
            yield "there is no chain"
        for chain in chains:
            if not _begins_with(chain, self._issuer):
                yield "a chain does not begin with the issuer"

    def _subject(self, identifiers: tuple[Identifier, ...]) -> x509.Name:
        if self._profile.settings.include_common_name and not self._directory_names:
            for one in identifiers:
                if one.type == IdentifierType.DNS and len(one.value) <= MAX_COMMON_NAME:
                    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one.value)])
        return x509.Name([])


def _names_extension(identifiers: tuple[Identifier, ...], *, critical: bool) -> bytes:
    """RFC 5280 §4.2.1.6 in DER, the names in their order."""
    names = b"".join(
        element(0x82, one.value.encode("ascii"))
        if one.type == IdentifierType.DNS
        else element(0x87, ipaddress.ip_address(one.value).packed)
        for one in identifiers
    )
    value = element(0x04, element(0x30, names))
    return element(0x30, _NAMES_OID + (_CRITICAL if critical else b"") + value)


def _key_identifier_extension(spki: bytes) -> bytes:
    """RFC 5280 §4.2.1.2 in DER: SHA-256 of the key, cut to 20 octets (RFC 7093 §2)."""
    digest = hashlib.sha256(spki).digest()[:20]
    return element(0x30, _KEY_IDENTIFIER_OID + element(0x04, element(0x04, digest)))


def _name_differences(
    extension: x509.Extension[x509.ExtensionType], identifiers: tuple[Identifier, ...], *, has_subject: bool
) -> Iterator[str]:
    names = extension.value
    assert isinstance(names, x509.SubjectAlternativeName)
    missing = list(identifiers)
    for name in names:
        found = _identifier(name)
        if found in missing:
            missing.remove(found)
        else:
            yield f"it has the name {str(name.value)[:253]!a}, which was not approved"
    for identifier in missing:
        yield f"the name {identifier} is missing"
    if extension.critical is has_subject:
        yield "the names must be critical if and only if there is no subject"


def _identifier(name: x509.GeneralName) -> Identifier | None:
    if isinstance(name, x509.DNSName):
        return Identifier(IdentifierType.DNS, name.value)
    if isinstance(name, x509.IPAddress) and isinstance(name.value, ipaddress.IPv4Address | ipaddress.IPv6Address):
        return Identifier(IdentifierType.IP, str(name.value))
    return None


@lru_cache(maxsize=64)
def _begins_with(chain: bytes, issuer: Issuer) -> bool:
    """A cross certificate has another issuer, but the same subject and key."""
    try:
        first = x509.load_pem_x509_certificates(chain)[0]
        return first.subject == issuer.name and first.public_key() == issuer.public_key
    except (ValueError, UnsupportedAlgorithm):
        return False


def _shared_extensions(profile: Profile, issuer: Issuer) -> dict[bool, dict[x509.ObjectIdentifier, _Expected]]:
    """All but names and subject key identifier, by whether the key also enciphers keys."""
    settings = profile.settings
    common: list[tuple[bool, x509.ExtensionType]] = [
        (True, x509.BasicConstraints(ca=False, path_length=None)),
        (False, x509.ExtendedKeyUsage(profile.usage_oids)),
        (False, x509.AuthorityKeyIdentifier(issuer.key_identifier, None, None)),
    ]
    if settings.policies:
        policies = [x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in settings.policies]
        common.append((False, x509.CertificatePolicies(policies)))
    aia = issuer.certificate_url if settings.aia_url is None else settings.aia_url
    if aia:
        location = x509.UniformResourceIdentifier(aia)
        access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, location)
        common.append((False, x509.AuthorityInformationAccess([access])))
    crl = issuer.crl_url if settings.crl_url is None else settings.crl_url
    if crl:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl)], None, None, None)
        common.append((False, x509.CRLDistributionPoints([point])))
    table: dict[bool, dict[x509.ObjectIdentifier, _Expected]] = {}
    for enciphers in (False, True):
        usage = x509.KeyUsage(True, False, enciphers, False, False, False, False, False, False)
        every: list[tuple[bool, x509.ExtensionType]] = [(True, usage), *common]
        table[enciphers] = {value.oid: _Expected(critical, value) for critical, value in every}
    return table
