"""Certificate signing requests: bytes in, checked facts out (RFC 8555 §7.4, RFC 2986).

A CSR proves possession of a key and repeats the order's names. Nothing else in it reaches a certificate.
"""

import hashlib

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, NameOID, SignatureAlgorithmOID

from acme_ra.core.identifiers import Identifier, IdentifierType, parse_dns_name, parse_ip_address
from acme_ra.core.keys import LEAF_ALGORITHMS, SubjectKey, check_public_key
from acme_ra.core.problems import BadCSR, BadPublicKey, Problem

MAX_CSR = 16 * 1024
MAX_NAMES = 100
_SIGNATURE_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_ECDSA = {
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: ec.ECDSA(hashes.SHA256()),
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: ec.ECDSA(hashes.SHA384()),
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: ec.ECDSA(hashes.SHA512()),
}
#: Extensions that clients ask for out of habit; they are read as harmless and never copied.
_IGNORED_EXTENSIONS = frozenset(
    {
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.TLS_FEATURE,
    }
)


class VerifiedCSR(msgspec.Struct, frozen=True):
    """What a CSR proved: this key asks for these names. `digest` is the SHA-256 of its DER in hex."""

    key: SubjectKey
    identifiers: frozenset[Identifier]
    digest: str
    common_name: str = ""


def parse_csr(unverified: bytes) -> VerifiedCSR:
    """Check the signature, the key and every name. Raises BadCSR with the part that is wrong and the fix."""
    if len(unverified) > MAX_CSR:
        raise BadCSR(f"the CSR has {len(unverified)} bytes; at most {MAX_CSR} are accepted")
    try:
        csr = x509.load_der_x509_csr(unverified)
        public_key = csr.public_key()
        signature_hash = csr.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadCSR("the CSR is not a DER PKCS#10 request with a supported key and signature") from error
    key = _check_key(public_key)
    if signature_hash is not None and not isinstance(signature_hash, _SIGNATURE_HASHES):
        raise BadCSR(f"the CSR is signed with {signature_hash.name}; use SHA-256, SHA-384 or SHA-512")
    if not _signature_is_valid(csr, public_key):
        raise BadCSR("the CSR's signature does not match its public key")
    identifiers = _read_extensions(csr)
    common_name = _read_common_name(csr, identifiers)
    return VerifiedCSR(key, frozenset(identifiers), hashlib.sha256(unverified).hexdigest(), common_name)


def _check_key(public_key: object) -> SubjectKey:
    try:
        key = check_public_key(public_key)
    except BadPublicKey as problem:
        raise BadCSR(f"the CSR's key: {problem.detail}") from problem
    if key.algorithm not in LEAF_ALGORITHMS:
        raise BadCSR(f"the CSR's key is {key.algorithm}; use ECDSA P-256 or P-384, RSA 2048 to 4096, or Ed25519")
    return key


def _signature_is_valid(csr: x509.CertificateSigningRequest, public_key: object) -> bool:
    try:
        if isinstance(public_key, ec.EllipticCurvePublicKey):
            # `is_signature_valid` decodes the key a second time, which for ECDSA costs as much as the signature.
            public_key.verify(csr.signature, csr.tbs_certrequest_bytes, _ECDSA[csr.signature_algorithm_oid])
            return True
        return csr.is_signature_valid
    except KeyError:
        return False  # an EC key, and a signature that is not ECDSA
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False


def _read_extensions(csr: x509.CertificateSigningRequest) -> set[Identifier]:
    try:
        extensions = list(csr.extensions)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise BadCSR("the CSR's extensions cannot be read, or one occurs twice") from error
    identifiers: set[Identifier] = set()
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            identifiers = _read_names(value)
        elif isinstance(value, x509.BasicConstraints):
            if value.ca:
                raise BadCSR("the CSR asks for a CA certificate; remove CA:TRUE from its basic constraints")
        elif extension.oid not in _IGNORED_EXTENSIONS:
            raise BadCSR(f"the CSR asks for extension {extension.oid.dotted_string}, which is not accepted; remove it")
    return identifiers


def _read_names(names: x509.SubjectAlternativeName) -> set[Identifier]:
    if len(names) > MAX_NAMES:
        raise BadCSR(f"the CSR has {len(names)} names; at most {MAX_NAMES} are accepted")
    identifiers: set[Identifier] = set()
    for name in names:
        try:
            if isinstance(name, x509.DNSName):
                identifiers.add(Identifier(IdentifierType.DNS, parse_dns_name(name.value, allow_wildcard=True)))
            elif isinstance(name, x509.IPAddress):
                identifiers.add(Identifier(IdentifierType.IP, parse_ip_address(str(name.value))))
            else:
                kind = type(name).__name__
                raise BadCSR(f"the CSR has a subject alternative name of type {kind}; only DNS and IP are accepted")
        except BadCSR:
            raise
        except Problem as problem:
            raise BadCSR(f"a name in the CSR is not accepted: {problem.detail}") from problem
    return identifiers


def _read_common_name(csr: x509.CertificateSigningRequest, identifiers: set[Identifier]) -> str:
    """A common name must be one of the names; where the CSR has no SAN at all, it is the name (RFC 8555 §7.4)."""
    try:
        values = [attribute.value for attribute in csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except ValueError as error:
        raise BadCSR("the CSR's subject cannot be read") from error
    if not values:
        return ""
    if len(values) > 1 or not isinstance(values[0], str):
        raise BadCSR("the CSR's subject has several common names; use one or none")
    named = _as_identifier(values[0])
    if named is None or (identifiers and named not in identifiers):
        raise BadCSR("the CSR's common name is not one of its subject alternative names")
    identifiers.add(named)
    return named.value


def _as_identifier(text: str) -> Identifier | None:
    try:
        return Identifier(IdentifierType.IP, parse_ip_address(text))
    except Problem:
        pass
    try:
        return Identifier(IdentifierType.DNS, parse_dns_name(text, allow_wildcard=True))
    except Problem:
        return None
