"""The tls-alpn-01 challenge (RFC 8737, RFC 8738 §6)."""

import asyncio
import hashlib
import ipaddress
import ssl
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.problems import IncorrectResponse, TLSFailed
from acme_ra.validation.contract import ValidationTarget
from acme_ra.validation.egress import TLS, Attempt, Dialer, place
from acme_ra.validation.settings import ValidationSettings

ALPN = "acme-tls/1"
ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
_DRAFT_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.30.1")
_VERSIONS = ("TLSv1.2", "TLSv1.3")


class TLSALPN01:
    """Makes a TLS handshake for `acme-tls/1` and reads the certificate that the applicant's server shows."""

    type = "tls-alpn-01"
    identifier_types = frozenset({IdentifierType.DNS, IdentifierType.IP})
    proves_wildcards = False

    def __init__(self, settings: ValidationSettings, dialer: Dialer) -> None:
        self._settings = settings
        self._dialer = dialer
        self._context = _context()

    async def validate(self, target: ValidationTarget) -> None:
        """See ChallengeValidator."""
        port = self._settings.tls_alpn_port
        async with Attempt(target, seconds=self._settings.timeout / 1000) as attempt:
            connection, _ = await self._dialer.connect(
                asyncio.Protocol,
                target.identifier,
                port,
                attempt,
                tls=TLS(self._context, server_name(target.identifier)),
            )
            try:
                handshake = connection.transport.get_extra_info("ssl_object")
                where = f"{target.identifier}: {place(connection.address, port)}"
                _check_handshake(handshake, where)
                chain = _shown_chain(handshake)
            finally:
                connection.transport.abort()  # The handshake was all (RFC 8737 §3).
        check_certificate(chain, target, where)


def server_name(identifier: Identifier) -> str:
    """What SNI carries: the name, or an address's reverse-DNS name (RFC 8738 §6)."""
    if identifier.type == IdentifierType.DNS:
        return identifier.value
    return ipaddress.ip_address(identifier.value).reverse_pointer


def _check_handshake(handshake: ssl.SSLObject, where: str) -> None:
    chosen = handshake.selected_alpn_protocol()
    if chosen != ALPN:
        raise TLSFailed(
            f"{where} did not agree to the protocol {ALPN} (ALPN); the ACME client's own server must answer there, "
            "not a web server or a proxy that ends TLS"
        )
    if handshake.version() not in _VERSIONS:
        raise TLSFailed(f"{where} spoke {handshake.version()}; at least TLS 1.2 is needed (RFC 8737 §3)")


def check_certificate(chain: list[bytes], target: ValidationTarget, where: str) -> None:
    """Raises IncorrectResponse unless the chain is one self-signed certificate with just what RFC 8737 §3 asks."""
    if len(chain) != 1:
        raise IncorrectResponse(f"{where} showed {len(chain)} certificates; expected one that is self-signed")
    try:
        certificate = x509.load_der_x509_certificate(chain[0])
        extensions = certificate.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, UnsupportedAlgorithm) as error:
        raise IncorrectResponse(f"{where} showed a certificate that cannot be read") from error
    _check_names(extensions, target.identifier, where)
    _check_digest(extensions, target, where)
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise IncorrectResponse(f"{where} showed a certificate that is not self-signed") from error


def _check_names(extensions: x509.Extensions, identifier: Identifier, where: str) -> None:
    try:
        names = list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound as error:
        raise IncorrectResponse(f"{where} showed a certificate without a subject alternative name") from error
    expected: x509.GeneralName
    if identifier.type == IdentifierType.IP:
        expected = x509.IPAddress(ipaddress.ip_address(identifier.value))
        matches = names == [expected]
    else:
        matches = len(names) == 1 and isinstance(names[0], x509.DNSName) and names[0].value.lower() == identifier.value
    if not matches:
        shown = ", ".join(ascii(str(name.value))[:80] for name in names[:3])
        raise IncorrectResponse(
            f"{where} showed a certificate for {shown or 'no name'}; expected exactly one {identifier.type} name, "
            f"{identifier}"
        )


def _check_digest(extensions: x509.Extensions, target: ValidationTarget, where: str) -> None:
    found = [extension for extension in extensions if extension.oid == ACME_IDENTIFIER]
    if not found:
        draft = any(extension.oid == _DRAFT_IDENTIFIER for extension in extensions)
        hint = "; it has the draft's 1.3.6.1.5.5.7.1.30.1, so the ACME client is too old" if draft else ""
        raise IncorrectResponse(f"{where} showed a certificate without the acmeIdentifier extension{hint}")
    extension = found[0]
    if not extension.critical:
        raise IncorrectResponse(f"{where} showed a certificate whose acmeIdentifier is not critical (RFC 8737 §3)")
    digest = hashlib.sha256(target.key_authorization.encode("ascii")).digest()
    raw = extension.value.value if isinstance(extension.value, x509.UnrecognizedExtension) else b""
    if raw != b"\x04\x20" + digest:  # DER: an OCTET STRING of 32 bytes
        raise IncorrectResponse(
            f"{where} showed a certificate whose acmeIdentifier is {raw[:34].hex() or 'unreadable'}; "
            f"expected 0420{digest.hex()}. Check that the ACME client that made this order answers there"
        )


def _shown_chain(handshake: Any) -> list[bytes]:
    """Every certificate that the peer sent, in DER. Public from Python 3.13 on, a private method before."""
    if hasattr(handshake, "get_unverified_chain"):
        return [bytes(der) for der in handshake.get_unverified_chain() or ()]
    return [ssl.PEM_cert_to_DER_cert(c.public_bytes()) for c in handshake._sslobj.get_unverified_chain() or ()]


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # The certificate is self-signed; check_certificate reads it.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([ALPN])
    return context
