"""Who takes all day holds a connection for a moment only; the others are served meanwhile (slow loris)."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from acme_ra.acme.http.answer import Answer
from acme_ra.acme.http.request import Request
from acme_ra.acme.http.server import HTTPServer
from acme_ra.core.clock import SystemClock
from acme_ra.core.endpoint import Endpoint
from acme_ra.issuance.serving import create_server_certificate
from acme_ra.listener import listen_alone, server_context
from tests.support.both_loops import on_both_loops

GET = b"GET /quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's side and a client's."""
    files = create_server_certificate(tmp_path, root=b"", now=SystemClock().now())
    return server_context(files.certificate, files.key), ssl.create_default_context(cafile=str(files.ca_bundle))


@asynccontextmanager
async def _serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def handle(request: Request) -> Answer:
        return Answer(request.path.encode())

    server = HTTPServer(handle, max_body=1024, patience=0.3)
    listening = listen_alone(Endpoint("127.0.0.1", 0))
    await server.start(listening, tls=tls)
    try:
        yield listening.getsockname()[1]
    finally:
        await server.close(timeout=5)


async def _drip(writer: asyncio.StreamWriter) -> None:
    """A header that never ends, a byte at a time."""
    try:
        writer.write(b"GET / HTTP/1.1\r\nX: ")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)
    except OSError:
        return


async def _ended(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


@pytest.mark.parametrize("encrypted", [False, True])
@on_both_loops
async def test_a_dripped_head_is_cut_off(encrypted, tls):
    """However alive the client seems; another client is answered in the meantime."""
    serving, trusting = tls if encrypted else (None, None)
    async with asyncio.timeout(60), _serving(serving) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        dripping = asyncio.ensure_future(_drip(writer))
        other, asking = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        asking.write(GET)

        assert (await other.read()).endswith(b"/quick")
        assert await _ended(reader) == b""
        dripping.cancel()
        for each in (writer, asking):
            each.close()


@on_both_loops
async def test_a_handshake_that_does_not_come_is_cut_off(tls):
    """A connection that says nothing to a TLS server costs it a socket, and not for long."""
    async with asyncio.timeout(60), _serving(tls[0]) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        assert await _ended(reader) == b""
        writer.close()


@on_both_loops
async def test_who_reads_no_answers_is_not_read_any_further():
    """A deaf client that goes on asking is held back by its own socket, and memory is not filled with answers."""
    async with asyncio.timeout(60), _serving() as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        asked = GET.replace(b"Connection: close\r\n", b"") * 1000

        async def ask() -> int:
            sent = 0
            while sent < 200_000_000:
                writer.write(asked)
                sent += len(asked)
                try:
                    async with asyncio.timeout(2):
                        await writer.drain()
                except TimeoutError:
                    break
            return sent

        assert await ask() < 200_000_000
        writer.transport.abort()  # type: ignore[attr-defined]
