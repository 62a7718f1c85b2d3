"""Requests that two readers could read differently are read by none (RFC 9112 §11.2): each ends its connection.

The bytes go through a real socket; behind the hostile request another one is hidden, which must never be handled.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from acme_ra.acme.http.answer import Answer
from acme_ra.acme.http.request import Request
from acme_ra.acme.http.server import HTTPServer
from tests.support.both_loops import on_both_loops

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"POST /a HTTP/1.1\r\nHost: x\r\n"

HOSTILE = {
    "length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 0\r\nContent-Length: 33\r\n\r\n",
    "one length twice": HEAD + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a list of lengths": HEAD + b"Content-Length: 0, 0\r\n\r\n",
    "a length with a sign": HEAD + b"Content-Length: +0\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "a length in hex": HEAD + b"Content-Length: 0x0\r\n\r\n",
    "an endless length": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "an empty length": HEAD + b"Content-Length:\r\n\r\n",
    "a blank before the colon": HEAD + b"Content-Length : 0\r\n\r\n",
    "a folded line": HEAD + b"X: a\r\n Content-Length: 5\r\n\r\n",
    "a header before the first": b"POST /a HTTP/1.1\r\n Host: x\r\n\r\n",
    "bare LF in the head": b"POST /a HTTP/1.1\nHost: x\n\n",
    "bare LF after a header": HEAD + b"X: a\nContent-Length: 5\r\n\r\n",
    "bare LF at the end of the head": HEAD + b"X: a\r\n\n",
    "bare CR in a header": HEAD + b"X: a\rContent-Length: 5\r\n\r\n",
    "NUL in a header": HEAD + b"X: a\0b\r\n\r\n",
    "NUL in a header's name": HEAD + b"Content-Length\0: 5\r\n\r\n",
    "a header without colon": HEAD + b"Content-Length\r\n\r\n",
    "a header without name": HEAD + b": 5\r\n\r\n",
    "an unknown coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "identity": HEAD + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunked is not last": HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "another coding below": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, then identity": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a blank in the coding": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/0.9": b"GET /a\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": b"GET /a HTTP/1.2\r\nHost: x\r\n\r\n",
    "no Host": b"GET /a HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "a control character in the path": b"GET /a\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method of its own": b"SMUGGLE /a HTTP/1.1\r\nHost: x\r\n\r\n",
}
CHUNKS = {
    "bare LF after a size": b"1\na\r\n0\r\n\r\n",
    "bare LF after a chunk": b"1\r\na\n0\r\n\r\n",
    "bare LF in an extension": b"1;a\nb\r\na\r\n0\r\n\r\n",
    "a blank after a size": b"1 \r\na\r\n0\r\n\r\n",
    "a negative size": b"-1\r\na\r\n0\r\n\r\n",
    "a size with 0x": b"0x1\r\na\r\n0\r\n\r\n",
    "a size that wraps": b"10000000000000001\r\na\r\n0\r\n\r\n",
    "more than the size": b"1\r\nab\r\n0\r\n\r\n",
    "a length in the trailer": b"1\r\na\r\n0\r\nContent-Length: 33\r\n\r\n",
}


@asynccontextmanager
async def _serving(handled: list[str]) -> AsyncIterator[int]:
    async def handle(request: Request) -> Answer:
        handled.append(request.target)
        while not request.complete and not request.broken:
            await request.more()
        return Answer(b"", status=400 if request.broken else 200)

    server = HTTPServer(handle, max_body=1024)
    listening = socket.create_server(("127.0.0.1", 0))
    await server.start(listening)
    try:
        yield listening.getsockname()[1]
    finally:
        await server.close(timeout=5)


async def _told(port: int, sent: bytes) -> bytes:
    """All that the server says until it ends the connection."""
    async with asyncio.timeout(120):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        try:
            return await reader.read()
        finally:
            writer.close()


@pytest.mark.parametrize("name", HOSTILE)
@on_both_loops
async def test_an_ambiguous_head_is_refused_and_ends_the_connection(name):
    """One refusal, no handler, nothing of what is hidden behind."""
    handled: list[str] = []
    async with _serving(handled) as port:
        told = await _told(port, HOSTILE[name] + HIDDEN)

    assert told.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
    assert told.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in told
    assert handled == []


@pytest.mark.parametrize("name", CHUNKS)
@on_both_loops
async def test_an_ambiguous_body_is_refused_and_ends_the_connection(name):
    """Its head was good, so its handler answers; nothing behind it is handled."""
    handled: list[str] = []
    async with _serving(handled) as port:
        told = await _told(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS[name] + HIDDEN)

    assert told.startswith(b"HTTP/1.1 400 ")
    assert told.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in told
    assert "/hidden" not in handled


@on_both_loops
async def test_what_follows_the_last_request_is_not_handled():
    """After Connection: close there is nothing more (RFC 9112 §9.6)."""
    handled: list[str] = []
    async with _serving(handled) as port:
        told = await _told(port, b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + HIDDEN)

    assert told.count(b"HTTP/1.1 200 ") == 1
    assert handled == ["/a"]


@on_both_loops
async def test_a_refusal_does_not_show_what_was_sent(capsys):
    """Neither to the client nor in the log: it may hold a secret."""
    async with _serving([]) as port:
        told = await _told(port, b"POST /a HTTP/1.1\r\nHost: x\r\nX: hunter2\nY: hunter2\r\n\r\n")

    assert b"hunter2" not in told
    assert "hunter2" not in capsys.readouterr().out


@on_both_loops
async def test_thousands_of_requests_in_one_packet_are_answered_one_by_one():
    """Neither memory nor order suffers."""
    handled: list[str] = []
    async with _serving(handled) as port:
        last = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        told = await _told(port, b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n" * 3000 + last)

    assert told.count(b"HTTP/1.1 200 ") == 3001
    assert handled == ["/a"] * 3000 + ["/last"]
