"""Connections: requests in, answers out in order, and an end to every wait. The transport is a double."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from acme_ra.acme.http.answer import Answer
from acme_ra.acme.http.connection import MAX_HEAD, Connection
from acme_ra.acme.http.request import Request
from acme_ra.acme.http.server import HTTPServer

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"


class Transport:
    """What a connection asks of a transport, remembered."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.closed = self.aborted = self.paused = False
        self.unsent = 0

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.7", 1234) if name == "peername" else None

    def write(self, data: bytes) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    @property
    def statuses(self) -> list[int]:
        return [int(part[:3]) for part in bytes(self.written).split(b"HTTP/1.1 ")[1:]]


class Peer:
    """A connection with its server, its transport and what was handled."""

    def __init__(self, handler: Callable[[Request], Awaitable[Answer]] | None = None) -> None:
        self.handled: list[Request] = []

        async def plain(request: Request) -> Answer:
            self.handled.append(request)
            return Answer(request.target.encode())

        self.server = HTTPServer(handler or plain, max_body=1024, idle=75, patience=15)
        self.transport = Transport()
        self.connection = Connection(self.server)
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]

    async def send(self, *parts: bytes) -> Transport:
        for part in parts:
            self.connection.data_received(part)
        await settle()
        return self.transport


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_request_is_handled_as_it_was_sent():
    """The target undecoded, names of headers in lower case, the first of two."""
    peer = Peer()

    await peer.send(b"POST /a%2F?b=%20 HTTP/1.1\r\nHost: x\r\nX-A: One\r\nx-a: Two\r\nContent-Length: 3\r\n\r\nabc")

    (request,) = peer.handled
    assert (request.method, request.target, request.path) == ("POST", "/a%2F?b=%20", "/a%2F")
    assert (request.header(b"x-a"), request.remote, bytes(request.body)) == ("One", "192.0.2.7", b"abc")
    assert peer.transport.statuses == [200]
    assert not peer.transport.closed


async def test_a_request_that_comes_byte_by_byte_is_the_same():
    """Cuts mean nothing."""
    peer = Peer()

    await peer.send(*(bytes([byte]) for byte in POST + b"abc"))

    assert [bytes(request.body) for request in peer.handled] == [b"abc"]
    assert peer.transport.statuses == [200]


async def test_many_requests_at_once_are_answered_in_their_order():
    """One after the other: the second starts when the first is answered."""
    peer = Peer()

    transport = await peer.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(50)))
    for _ in range(50):
        await settle()

    assert [request.target for request in peer.handled] == [f"/{number}" for number in range(50)]
    assert [part.rpartition(b"\r\n")[2] for part in bytes(transport.written).split(b"HTTP/1.1 200 OK")[1:]] == [
        b"/%d" % number for number in range(50)
    ]
    assert not transport.paused


async def test_who_sends_more_requests_than_are_answered_is_not_read_any_further():
    """Nothing is read while one is being handled and another waits."""
    gate = asyncio.Event()

    async def wait(request: Request) -> Answer:
        await gate.wait()
        return Answer(b"")

    peer = Peer(wait)
    transport = await peer.send(GET)
    assert not transport.paused

    await peer.send(GET)
    assert transport.paused

    gate.set()
    for _ in range(5):
        await settle()
    assert transport.statuses == [200, 200]
    assert not transport.paused


async def test_few_requests_wait_however_many_come_at_once():
    """The others stay bytes until their turn: a request takes twenty times the memory of what it was sent in."""
    peer = Peer(lambda _: asyncio.get_running_loop().create_future())

    await peer.send(GET * 20_000)

    assert len(peer.connection._waiting) < 1000
    assert peer.transport.paused


async def test_who_reads_no_answers_is_sent_no_more():
    """The transport says that it is full."""
    peer = Peer()
    peer.connection.pause_writing()

    transport = await peer.send(GET + GET)
    await settle()
    assert transport.statuses == [200]
    assert transport.paused

    peer.connection.resume_writing()
    await settle()
    assert transport.statuses == [200, 200]


async def test_a_handler_starts_before_the_body_is_here():
    """It may refuse a request for its head alone; then the connection ends after it."""

    async def refuse(request: Request) -> Answer:
        assert not request.complete
        return Answer(b"", status=415)

    transport = await Peer(refuse).send(POST + b"a")

    assert transport.statuses == [415]
    assert b"Connection: close" in transport.written


async def test_a_body_is_waited_for():
    """And complete with its last byte."""

    async def read(request: Request) -> Answer:
        while not request.complete:
            await request.more()
        return Answer(bytes(request.body))

    peer = Peer(read)
    await peer.send(POST + b"a")
    assert peer.transport.statuses == []

    transport = await peer.send(b"b", b"c")
    assert transport.written.endswith(b"\r\n\r\nabc")
    assert not transport.closed


async def test_chunks_are_joined_and_trailers_are_not_headers():
    """RFC 9112 §7.1."""
    peer = Peer()

    await peer.send(
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2;ext=1\r\nab\r\n1\r\nc\r\n0\r\nContent-Type: evil\r\n\r\n"
    )

    (request,) = peer.handled
    assert bytes(request.body) == b"abc"
    assert request.header(b"content-type") == ""


async def test_more_of_an_unread_body_than_can_be_needed_is_not_read():
    """It stays in the kernel, where it holds up nobody but its sender."""
    peer = Peer(lambda _: asyncio.get_running_loop().create_future())

    transport = await peer.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n", b"x" * 70_000)

    assert transport.paused


async def test_a_client_that_goes_away_in_the_middle_of_its_body_is_not_waited_for():
    """Its handler learns of it."""
    seen: list[bool] = []

    async def read(request: Request) -> Answer:
        await request.more()
        seen.append(request.broken)
        return Answer(b"")

    peer = Peer(read)
    await peer.send(POST)
    peer.connection.connection_lost(None)
    await settle()

    assert seen == [True]
    assert not peer.server.connections


async def test_a_body_that_is_framed_wrongly_is_broken():
    """Its handler answers, and nothing that follows is read."""
    seen: list[bool] = []

    async def read(request: Request) -> Answer:
        while not request.complete and not request.broken:
            await request.more()
        seen.append(request.broken)
        return Answer(b"", status=400)

    transport = await Peer(read).send(
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"zz\r\n" + GET
    )

    assert seen == [True]
    assert transport.statuses == [400]
    assert b"Connection: close" in transport.written


@pytest.mark.parametrize(
    ("start", "stays"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", False),
        (b"GET / HTTP/1.0\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n", True),
    ],
)
async def test_a_connection_stays_as_long_as_both_want(start, stays):
    """RFC 9112 §9.3."""
    transport = await Peer().send(start + b"\r\n")

    assert transport.statuses == [200]
    assert transport.closed is not stays


async def test_an_upgrade_is_not_taken_up():
    """The request is answered as if it had not asked (RFC 9110 §7.8), and nothing after it is read."""
    peer = Peer()

    transport = await peer.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + GET)

    assert transport.statuses == [200]
    assert len(peer.handled) == 1
    assert b"Connection: close" in transport.written


async def test_what_was_asked_before_a_mistake_is_answered_before_it():
    """Then the mistake is told once, and the connection ends."""
    peer = Peer()

    transport = await peer.send(GET + b"this is not HTTP\r\n\r\n" + GET)
    await settle()
    await peer.send(GET)

    assert transport.statuses == [200, 400]
    assert transport.written.count(b"Connection: close") == 1


async def test_a_head_may_not_be_longer_than_its_cap():
    """431 (RFC 6585 §5), whether in one line or in many, in one piece or dripped."""
    long = b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * (MAX_HEAD + 20_000)
    many = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: a\r\n" * 10_000
    url = b"GET /" + b"a" * (MAX_HEAD + 20_000)
    for head in (long, many, url):
        assert (await Peer().send(head)).statuses == [431]
        assert (await Peer().send(*(head[at : at + 500] for at in range(0, len(head), 500)))).statuses == [431]


async def test_what_frames_a_body_may_not_be_longer_than_its_cap():
    """Extensions of a chunk and trailers go on for ever otherwise."""
    peer = Peer()

    await peer.send(b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;a=" + b"b" * 100_000)

    assert peer.handled[0].broken


async def test_a_handler_that_fails_ends_the_connection_and_nothing_else():
    """Edge answers every fault itself, so this is one of ours."""

    async def fail(_: Request) -> Answer:
        raise RuntimeError("a mistake")

    transport = await Peer(fail).send(GET)

    assert transport.aborted
    assert not transport.written


# Deadlines: `_look` gives up what is past its own.


def _left(peer: Peer) -> float:
    return peer.connection.deadline - peer.server.loop.time()


async def test_an_idle_connection_is_closed_in_the_end():
    """Before its first request and after each."""
    peer = Peer()
    assert 70 < _left(peer) <= 75

    await peer.send(GET)
    assert 70 < _left(peer) <= 75

    peer.connection.expire()
    assert peer.transport.closed


async def test_a_dripped_head_gains_no_time():
    """Slow loris: the deadline is that of the first byte."""
    peer = Peer()
    await peer.send(b"G")
    first = peer.connection.deadline
    assert _left(peer) <= 15

    for byte in GET[1:-1]:
        await peer.send(bytes([byte]))

    assert peer.connection.deadline == first
    peer.connection.expire()
    assert peer.transport.closed


async def test_a_request_under_way_has_no_deadline_here():
    """Its parts have their own."""
    peer = Peer(lambda _: asyncio.get_running_loop().create_future())

    await peer.send(GET)

    assert peer.connection.deadline == 0


async def test_a_connection_that_will_not_close_is_cut():
    """A client that was refused and sends on, or reads nothing."""
    refused = Peer()
    await refused.send(b"nonsense\r\n\r\n", GET * 100)
    assert 0 < _left(refused) <= 5
    refused.connection.expire()
    assert refused.transport.aborted

    deaf = Peer()
    deaf.transport.unsent = 100_000
    deaf.connection.pause_writing()
    assert 15 < _left(deaf) <= 60
    deaf.transport.unsent = 99_000
    deaf.connection.expire()
    assert deaf.transport.aborted


async def test_a_slow_client_that_reads_is_given_time():
    """A long list over a bad line; also when its connection is to be closed afterwards."""
    peer = Peer()
    await peer.send(b"GET / HTTP/1.0\r\n\r\n")
    assert peer.transport.closed
    peer.transport.unsent = 200_000
    peer.connection._drain()

    for unsent in (150_000, 100_000, 50_000):
        peer.transport.unsent = unsent
        peer.connection.expire()
        assert not peer.transport.aborted
        assert 15 < _left(peer) <= 60


# The end of the server.


async def test_the_end_waits_for_what_is_under_way_and_for_nothing_else():
    """Idle connections go at once; an answer that is still to come says that it is the last."""
    gate = asyncio.Event()

    async def wait(_: Request) -> Answer:
        await gate.wait()
        return Answer(b"done")

    peer = Peer(wait)
    idle = Connection(peer.server)
    other = Transport()
    idle.connection_made(other)  # type: ignore[arg-type]
    await peer.send(GET)

    closing = asyncio.ensure_future(peer.server.close(timeout=60))
    await settle()
    assert other.closed
    assert not peer.transport.closed
    idle.connection_lost(None)

    gate.set()
    await settle()
    assert peer.transport.written.endswith(b"done")
    assert b"Connection: close" in peer.transport.written
    peer.connection.connection_lost(None)
    await closing


async def test_the_end_cuts_off_what_takes_too_long():
    """The handler is cancelled."""
    cancelled: list[bool] = []

    async def hang(_: Request) -> Answer:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)
        return Answer(b"")

    peer = Peer(hang)
    await peer.send(GET)
    await peer.server.close(timeout=0)
    await settle()

    assert cancelled == [True]
    assert peer.transport.aborted
