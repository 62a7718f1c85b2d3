"""Servers on loopback that play the applicant's side of a challenge, honest or hostile, in the test's own loop."""

import asyncio
import datetime
import hashlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.validation.contract import ValidationTarget
from acme_ra.validation.settings import ValidationSettings

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
TOKEN = "tBx6-token_0123456789abcdef"
KEY_AUTHORIZATION = f"{TOKEN}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
ACME_IDENTIFIER = "1.3.6.1.5.5.7.1.31"
NAME = "shop.example.test"


def target(value: str = NAME, *, networks: Sequence[Any] = LOOPBACK) -> ValidationTarget:
    """What registration would ask to be proved."""
    try:
        kind = IdentifierType.IP if ipaddress.ip_address(value) else IdentifierType.DNS
    except ValueError:
        kind = IdentifierType.DNS
    return ValidationTarget(Identifier(kind, value), TOKEN, KEY_AUTHORIZATION, tuple(networks))


def settings(resolver: str = "127.0.0.1:9", **values: Any) -> ValidationSettings:
    """Port 9 of loopback stands for a resolver that is not asked. Nothing ends by itself unless a test says when."""
    return ValidationSettings(**{"resolvers": [resolver], "timeout": 120_000, "dns_timeout": 60_000, **values})


class Listener:
    """What connected to a port: requests are the bytes of each connection's first packet."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.open = 0
        self.requests: list[bytes] = []
        self.server_names: list[str | None] = []


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]


@asynccontextmanager
async def http_peer(
    answer: bytes | Handler | Sequence[bytes],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Listener]:
    """Answers each request with the given bytes, with the next of several, or as a handler pleases."""
    listener = Listener()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        listener.connections += 1
        listener.open += 1
        try:
            request = await reader.read(4096)
            listener.requests.append(request)
            if callable(answer):
                await answer(reader, writer, request)
            else:
                some = [answer] if isinstance(answer, bytes) else answer
                writer.write(some[min(listener.connections, len(some)) - 1])
                await writer.drain()
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            listener.open -= 1
            writer.transport.abort()

    server = await asyncio.start_server(serve, host, port, ssl=tls)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def http_response(body: str | bytes, status: str = "200 OK", headers: str = "") -> bytes:
    raw = body.encode() if isinstance(body, str) else body
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(raw)}\r\n{headers}\r\n".encode() + raw


def redirect(location: str, status: str = "302 Found") -> bytes:
    return http_response("", status, f"Location: {location}\r\n")


def alpn_extension(
    key_authorization: str = KEY_AUTHORIZATION, *, oid: str = ACME_IDENTIFIER, critical: bool = True
) -> tuple[x509.UnrecognizedExtension, bool]:
    digest = hashlib.sha256(key_authorization.encode()).digest()
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x04\x20" + digest), critical


def certificate(
    folder: Path,
    names: Sequence[x509.GeneralName],
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    *,
    key: Any = None,
    issuer_key: Any = None,
    issuer_name: str = "acme",
    subject_name: str = "acme",
) -> Path:
    """A PEM file with key and certificate whose notBefore is its notAfter, as some clients make them."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject_name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer_name)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    signed = builder.sign(issuer_key or key, hashes.SHA256())
    path = folder / f"{x509.random_serial_number()}.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + signed.public_bytes(Encoding.PEM)
    )
    return path


@asynccontextmanager
async def tls_peer(
    pem: Path,
    *,
    alpn: Sequence[str] = ("acme-tls/1",),
    chain: Path | None = None,
    maximum: ssl.TLSVersion | None = None,
) -> AsyncIterator[Listener]:
    """Shows one certificate to whoever comes, and notes the names that SNI asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if chain is not None:
        joined = pem.with_suffix(".chain.pem")
        joined.write_bytes(pem.read_bytes() + chain.read_bytes())
        pem = joined
    if maximum is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = maximum
        context.maximum_version = maximum
    context.load_cert_chain(pem)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    async with http_peer(http_response("nothing"), tls=context) as listener:
        listener.server_names = names
        yield listener
