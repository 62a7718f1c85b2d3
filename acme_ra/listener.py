"""Sockets and TLS of the listener: one port shared by all workers, tickets that any of them accepts (RFC 8446)."""

import errno
import socket
import ssl
from pathlib import Path

from acme_ra.core.endpoint import Endpoint

_BACKLOG = 1024


class ListenFailed(Exception):
    """The message names the endpoint, why it cannot be used, and the fix."""


class TLSUnusable(Exception):
    """The message names the certificate or key file, and what is wrong with it."""


def reserve(endpoint: Endpoint) -> socket.socket:
    """Bind without listening: keeps the port for the workers, and chooses one when it is 0. Raises ListenFailed."""
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenFailed(f"{endpoint}: the host is not known here; use an address of this machine") from error
    family, _, _, _, address = found[0]
    try:
        if endpoint.port:
            # SO_REUSEPORT would let a second server of the same user in; this bind notices it.
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        return _bound(family, address)
    except OSError as error:
        raise ListenFailed(_explain(endpoint, error)) from error


def listen_beside(reserved: socket.socket) -> socket.socket:
    """A listening socket of its own on the reserved port; the kernel spreads connections over all of them."""
    listening = _bound(reserved.family, reserved.getsockname())
    listening.listen(_BACKLOG)
    listening.setblocking(False)
    return listening


def listen_alone(endpoint: Endpoint) -> socket.socket:
    """A listening socket for one process. Raises ListenFailed."""
    listening = reserve(endpoint)
    listening.listen(_BACKLOG)
    listening.setblocking(False)
    return listening


def endpoint_of(reserved: socket.socket) -> Endpoint:
    host, port = reserved.getsockname()[:2]
    return Endpoint(host, port)


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or later with session tickets. Made before the fork, so that workers share the ticket keys.

    Raises TLSUnusable.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.set_alpn_protocols(["http/1.1"])
    _load(context, certificate, key)
    return context


def reload_context(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Use a new certificate for new connections. Raises TLSUnusable and keeps the old one."""
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, key)
    _load(context, certificate, key)


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    for file in (certificate, key):
        try:
            with file.open("rb"):
                pass
        except OSError as error:
            raise TLSUnusable(f"{file}: cannot be read ({error.strerror}); correct server.tls") from error
    try:
        # A password prompt would stop a server for ever; an encrypted key is refused instead.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except (ssl.SSLError, OSError) as error:
        raise TLSUnusable(
            f"{certificate}, {key}: not a PEM certificate and its unencrypted key; correct server.tls"
        ) from error


def _bound(family: int, address: object) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound.bind(address)  # type: ignore[arg-type]
    except OSError:
        bound.close()
        raise
    return bound


def _explain(endpoint: Endpoint, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{endpoint} is in use by another process; stop it, or choose another port (server.listen, --listen)"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{endpoint}: this user may not use that port; choose one above 1023 or grant CAP_NET_BIND_SERVICE"
    return f"{endpoint} cannot be used ({error.strerror}); choose an address of this machine"
