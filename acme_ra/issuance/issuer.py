"""An issuing certificate and its chain: read, ordered and checked (RFC 5280 §6.1)."""

from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from acme_ra.core.clock import SECOND, Instant, to_rfc3339
from acme_ra.core.keys import KeyAlgorithm, PublicKey, check_public_key
from acme_ra.core.problems import BadPublicKey
from acme_ra.issuance.names import NameConstraints

_DECENT_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
MAX_CHAIN = 6


class AuthorityMisconfigured(Exception):
    """An authority's files or settings are wrong. For the operator: what, where, and the fix; never a secret."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(f"{message}; {fix}")
        self.message = message
        self.fix = fix


class Issuer:
    """Who issues: everything about the CA certificate that leaf certificates depend on, read once."""

    def __init__(
        self,
        certificate: x509.Certificate,
        *,
        chain: Sequence[x509.Certificate] = (),
        crl_url: str = "",
        certificate_url: str = "",
    ) -> None:
        """`chain` goes on above `certificate` up to the root. The URLs are used where a profile names none."""
        self.certificate = certificate
        self.chain = tuple(chain)
        self.name = certificate.subject
        self.public_key = _public_key(certificate)
        self.algorithm: KeyAlgorithm = check_public_key(self.public_key).algorithm
        self.key_identifier = key_identifier_of(certificate)
        self.not_before: Instant = int(certificate.not_valid_before_utc.timestamp()) * SECOND
        self.not_after: Instant = min(
            int(one.not_valid_after_utc.timestamp()) * SECOND for one in (certificate, *self.chain)
        )
        self.constraints = tuple(NameConstraints.of(one) for one in (certificate, *self.chain))
        self.path_length = basic_constraints_of(certificate).path_length
        self.extended_usages = _extended_usages((certificate, *self.chain))
        self.signs_crls = _key_usage(certificate).crl_sign
        self.crl_url = crl_url if self.signs_crls else ""
        self.certificate_url = certificate_url

    @property
    def subject(self) -> str:
        return self.name.rfc4514_string()


def load_certificates(pem: bytes, *, what: str) -> list[x509.Certificate]:
    """All certificates of a PEM file. Raises AuthorityMisconfigured that names `what`."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        fix = "give a file of '-----BEGIN CERTIFICATE-----' blocks"
        raise AuthorityMisconfigured(f"{what} is not PEM with certificates in it", fix) from error


def order_chain(first: x509.Certificate, pool: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """What stands above `first`, up to a self-signed root, every link's signature checked.

    Raises AuthorityMisconfigured that names the certificate whose issuer is absent or did not sign it.
    """
    chain: list[x509.Certificate] = []
    current = first
    _check_signature_hash(current)  # first, because a weak signature is not even verified
    while not is_self_signed(current):
        parent = next((one for one in pool if one not in chain and one != current and signed_by(current, one)), None)
        subject = current.subject.rfc4514_string()
        if parent is None:
            wanted = current.issuer.rfc4514_string()
            message = f"the chain of '{subject}' is broken: no given certificate of '{wanted}' has signed it"
            raise AuthorityMisconfigured(message, "add the right certificate, up to and with the root")
        chain.append(parent)
        if len(chain) > MAX_CHAIN:
            raise AuthorityMisconfigured(f"the chain of '{subject}' is too long", f"use at most {MAX_CHAIN} above it")
        current = parent
        _check_signature_hash(current)
    return tuple(chain)


def check_issuer(certificate: x509.Certificate, chain: Sequence[x509.Certificate], public_key: PublicKey) -> None:
    """Whether these may issue together. Raises AuthorityMisconfigured. Time is checked by `check_time`."""
    subject = certificate.subject.rfc4514_string()
    if not certificate.subject:
        raise AuthorityMisconfigured("the CA certificate has no subject", "use one that has (RFC 5280 §4.1.2.6)")
    if spki_of(_public_key(certificate)) != spki_of(public_key):
        message = f"the key does not belong to the certificate '{subject}'"
        raise AuthorityMisconfigured(message, "give the private key that its certificate request was made with")
    for below, one in enumerate((certificate, *chain)):
        _check_ca(one, below=below)
    key_identifier_of(certificate)


def check_time(certificates: Sequence[x509.Certificate], now: Instant) -> None:
    """Raises AuthorityMisconfigured for the first certificate that is expired or not valid yet."""
    for one in certificates:
        subject = one.subject.rfc4514_string()
        starts = int(one.not_valid_before_utc.timestamp()) * SECOND
        ends = int(one.not_valid_after_utc.timestamp()) * SECOND
        if now > ends:
            raise AuthorityMisconfigured(f"'{subject}' expired at {to_rfc3339(ends)}", "get it renewed first")
        if now < starts:
            message = f"'{subject}' is not valid before {to_rfc3339(starts)}"
            raise AuthorityMisconfigured(message, "wait, or set this machine's clock right")


def is_self_signed(certificate: x509.Certificate) -> bool:
    return certificate.issuer == certificate.subject and signed_by(certificate, certificate)


def spki_of(public_key: PublicKey) -> bytes:
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_identifier_of(certificate: x509.Certificate) -> bytes:
    """The CA's own subject key identifier. Raises AuthorityMisconfigured when it has none."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound as error:
        message = f"'{certificate.subject.rfc4514_string()}' has no subject key identifier"
        raise AuthorityMisconfigured(message, "issue it with one (RFC 5280 §4.2.1.2)") from error


def basic_constraints_of(certificate: x509.Certificate) -> x509.BasicConstraints:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return x509.BasicConstraints(ca=False, path_length=None)


def _check_ca(certificate: x509.Certificate, *, below: int) -> None:
    """`below` CA certificates stand between this one and the leaf."""
    subject = certificate.subject.rfc4514_string()
    basic = basic_constraints_of(certificate)
    if not basic.ca:
        raise AuthorityMisconfigured(f"'{subject}' is not a CA certificate", "use one with CA:TRUE")
    if not _key_usage(certificate).key_cert_sign:
        raise AuthorityMisconfigured(f"'{subject}' may not sign certificates", "use one with key usage keyCertSign")
    if basic.path_length is not None and basic.path_length < below:
        message = f"the path length {basic.path_length} of '{subject}' forbids {below} CA certificates below it"
        raise AuthorityMisconfigured(message, "have it issued with a longer one, or use a CA higher up")
    _check_signature_hash(certificate)
    try:
        check_public_key(certificate.public_key())
    except BadPublicKey as problem:
        raise AuthorityMisconfigured(f"the key of '{subject}': {problem.detail}", "use another CA") from problem


def _check_signature_hash(certificate: x509.Certificate) -> None:
    subject = certificate.subject.rfc4514_string()
    fix = "have it issued again with SHA-256 or better"
    try:
        algorithm = certificate.signature_hash_algorithm  # None for Ed25519
    except UnsupportedAlgorithm as error:
        raise AuthorityMisconfigured(f"'{subject}' is signed with an unsupported algorithm", fix) from error
    if algorithm is not None and not isinstance(algorithm, _DECENT_HASHES):
        raise AuthorityMisconfigured(f"'{subject}' is signed with {algorithm.name}", fix)


def signed_by(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    """Whether issuer name and signature are those of `by` (RFC 5280 §6.1.3)."""
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _public_key(certificate: x509.Certificate) -> PublicKey:
    key = certificate.public_key()
    if not isinstance(key, PublicKey):
        subject = certificate.subject.rfc4514_string()
        raise AuthorityMisconfigured(f"the key of '{subject}' is of no supported type", "use ECDSA, RSA or Ed25519")
    return key


def _key_usage(certificate: x509.Certificate) -> x509.KeyUsage:
    """Without the extension nothing is allowed: a CA certificate must carry it (RFC 5280 §4.2.1.3)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return x509.KeyUsage(False, False, False, False, False, False, False, False, False)


def _extended_usages(certificates: Sequence[x509.Certificate]) -> frozenset[x509.ObjectIdentifier] | None:
    """The usages that every certificate of the chain leaves open; None means any."""
    allowed: frozenset[x509.ObjectIdentifier] | None = None
    for one in certificates:
        try:
            usages = frozenset(one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        except x509.ExtensionNotFound:
            continue
        if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages:
            continue
        allowed = usages if allowed is None else allowed & usages
    return allowed
