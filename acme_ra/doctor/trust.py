"""Which CA certificates clients need for the server's own certificate, and whether they accept it (RFC 5280 §6)."""

import ssl
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from acme_ra.config.settings import TLSSettings
from acme_ra.issuance.issuer import is_self_signed
from acme_ra.listener import server_context

BUNDLE = "ca-bundle.pem"
_MOST_STEPS = 20


class NotTrusted(Exception):
    """A client would not accept the server's certificate; the text is the client's own."""


def find_bundle(tls: TLSSettings) -> bytes:
    """PEM for clients: the bundle beside the server's certificate, or the root that its file ends with; else empty.

    Raises OSError and ValueError for files that cannot be read.
    """
    beside = tls.certificate.with_name(BUNDLE)
    if beside.is_file():
        return beside.read_bytes()
    chain = x509.load_pem_x509_certificates(tls.certificate.read_bytes())
    return b"".join(one.public_bytes(Encoding.PEM) for one in chain[1:] if is_self_signed(one))


def client_context(bundle: bytes) -> ssl.SSLContext:
    """How a client looks at a server: with this bundle alone, or with the system's trust when it is empty.

    Raises ValueError for a bundle that holds no certificate.
    """
    if not bundle:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=bundle.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise ValueError("the CA bundle is not PEM with certificates in it") from error
    if not context.cert_store_stats()["x509"]:
        raise ValueError("the CA bundle has no certificate in it")
    return context


def check_trust(certificate: Path, key: Path, *, host: str, bundle: bytes) -> None:
    """Shake hands with the server's files in memory, as a client that connects to `host`.

    Raises NotTrusted, TLSUnusable for the server's files, ValueError for the bundle.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context(bundle).wrap_bio(to_client, to_server, server_hostname=host)
    server = server_context(certificate, key).wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_MOST_STEPS):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass  # it waits for the server's next flight
        except ssl.SSLCertVerificationError as error:
            raise NotTrusted(error.verify_message) from error
        except ssl.SSLError as error:
            raise NotTrusted(tls_reason(error)) from error
        else:
            return
        with suppress(ssl.SSLWantReadError):  # it waits for the client's
            server.do_handshake()
    raise NotTrusted("the TLS handshake does not end")


def tls_reason(error: ssl.SSLError) -> str:
    """OpenSSL's reason in plain words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.reason or "TLS failed").replace("_", " ").lower()
