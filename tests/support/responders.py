"""Servers that answer http-01 (RFC 8555 §8.3) and tls-alpn-01 (RFC 8737) for clients which only write files."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ACME_TLS = "acme-tls/1"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing; the server under test logs what it asked for."""


@contextmanager
def webroot(directory: Path, port: int) -> Iterator[Path]:
    """Serves `directory`; yields the folder for challenge files, which is made."""
    challenges = directory / ".well-known" / "acme-challenge"
    challenges.mkdir(parents=True, exist_ok=True)
    httpd = ThreadingHTTPServer(("127.0.0.1", port), partial(_Quiet, directory=str(directory)))
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield challenges
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@contextmanager
def alpn_responder(certificates: Path, port: int) -> Iterator[None]:
    """Answers acme-tls/1 with NAME.crt.pem and NAME.key.pem of `certificates`, as dehydrated writes them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols([ACME_TLS])

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        certificate = certificates / f"{name}.crt.pem"
        if name is None or not certificate.exists():
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own.set_alpn_protocols([ACME_TLS])
        own.load_cert_chain(certificate, certificates / f"{name}.key.pem")
        connection.context = own
        return None

    context.sni_callback = choose
    listener = socket.create_server(("127.0.0.1", port))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # closed: the test is over
            connection.settimeout(10)
            with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as shaken:
                shaken.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
