"""One connection of a client (RFC 9112): requests in, answers out in the same order, every wait with an end.

llhttp reads the requests, strictly: two lengths, a length and chunks, folded lines, bare line ends and white space
before a colon are errors, so that no proxy in front can see other requests here than we do (RFC 9112 §11.2).

A request is handled from the moment its head is complete; nearly always its body is then here too. While one is being
handled, nothing more is read but its body.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, cast

import httptools

from acme_ra.acme.http.answer import Answer
from acme_ra.acme.http.request import Request

if TYPE_CHECKING:
    from acme_ra.acme.http.server import HTTPServer

#: Bytes of a request line and its headers, and of trailers.
MAX_HEAD: Final = 32 * 1024
#: Bytes that are parsed at once: a head is at most so much longer than it may be, and requests that wait are no more.
_SLICE: Final = 16 * 1024
#: Seconds for a client to take something of an answer that is too long for the socket's buffer; and how much at least.
_DRAINING: Final = 60.0
_DRAINED: Final = 16 * 1024
#: Seconds for a client to see why it was refused while it still sends.
_LINGERING: Final = 5.0


class Connection(asyncio.Protocol):
    """What the server makes for each connection."""

    def __init__(self, server: "HTTPServer") -> None:
        self._server = server
        self._loop = server.loop
        self._transport: asyncio.Transport | None = None
        self._remote = ""
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._head = 0  # bytes of the head, or of what frames a body, that were parsed so far
        self._reading: Request | None = None  # its head is complete, its body is not
        self._waiting: deque[Request] = deque()
        self._rest = b""  # not parsed before those are answered
        self._handling: asyncio.Task[None] | None = None
        self._refusal: Answer | None = None  # to what could not be read, once everything before it is answered
        self._last = False  # nothing more is read from this connection
        self._paused = False  # reading
        self._full = False  # the client does not read its answers
        self._unsent = 0  # of them, when that was last looked at
        #: When this connection is given up, on the loop's clock; 0 while it is our turn.
        self.deadline = 0.0

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._remote = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        self._server.connections.add(self)
        self.deadline = self._loop.time() + self._server.idle

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._parser = None  # it holds this object: let both go
        self._waiting.clear()
        if self._reading is not None:
            self._reading.broken = True
            self._reading.arrived()
        if self._handling is None:
            self._server.gone(self)

    def pause_writing(self) -> None:
        self._full = True
        self._pause_reading()
        self._drain()

    def resume_writing(self) -> None:
        self._full = False
        if self._handling is not None:
            self.deadline = 0.0
        elif not self._last:
            self._go_on()

    def data_received(self, data: bytes) -> None:
        if self._last:
            return  # thrown away, until the client has seen the answer or the deadline has passed
        if self._rest:
            self._rest += data
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        """Parse, up to where more than one request waits."""
        if len(data) <= _SLICE:
            self._feed(data)
        else:
            for start in range(0, len(data), _SLICE):
                self._feed(data[start : start + _SLICE])
                if len(self._waiting) > 1:
                    self._rest = data[start + _SLICE :]
                    break
        reading = self._reading
        if reading is not None:
            reading.arrived()
            if len(reading.body) > self._server.max_unread:
                self._pause_reading()
        if self._handling is None:
            self._handle_next()
        if self._waiting or self._rest:
            self._pause_reading()

    # httptools' side

    def on_message_begin(self) -> None:
        self._target, self._headers = b"", {}

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reading is not None:
            return  # a trailer
        name = name.lower()
        if name == b"host" and name in self._headers:
            self._refuse(400, "more than one Host (RFC 9112 section 3.2)")
        self._headers.setdefault(name, value)

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser is None or self._last:
            return
        version, headers = parser.get_http_version(), self._headers
        old = version == "1.0"
        coding = headers.get(b"transfer-encoding")
        if version != "1.1" and not old:
            self._refuse(505, "this version of HTTP is not spoken here")
        elif not old and b"host" not in headers:
            self._refuse(400, "no Host (RFC 9112 section 3.2)")
        elif coding is not None and (old or coding.lower() != b"chunked"):
            self._refuse(501, "no Transfer-Encoding but chunked is understood, and that in HTTP/1.1")
        else:
            method, target = parser.get_method().decode("ascii"), self._target.decode("latin-1")
            request = Request(method, target, headers, remote=self._remote, old=old, write=self._write)
            request.keep_alive = parser.should_keep_alive()
            self._head = 0
            self._reading = request
            self._waiting.append(request)

    def on_body(self, body: bytes) -> None:
        if self._reading is not None:
            self._reading.body += body
            self._head = 0

    def on_message_complete(self) -> None:
        reading, self._reading = self._reading, None
        self._head = 0
        if reading is not None:
            reading.complete = True
            reading.arrived()

    # Reading.

    def _feed(self, data: bytes) -> None:
        parser = self._parser
        if parser is None or self._last:
            return
        self._head += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._last = True  # answered as if it were not there (RFC 9110 §7.8); what follows is not read
        except httptools.HttpParserError:
            self._refuse(400, "this is no HTTP request as RFC 9112 has it")
        if self._head > MAX_HEAD:
            self._refuse(431, f"the headers are too long; at most {MAX_HEAD} bytes are accepted")

    def _refuse(self, status: int, why: str) -> None:
        """Answer what cannot be read, once everything before it is answered, and read no more.

        Its bytes are shown to nobody, nor logged: they may hold a secret.
        """
        if self._last:
            return
        self._last = True
        reading, self._reading = self._reading, None
        if reading is not None:
            # The head was good, so its handler answers; it learns that the body is not to be had.
            reading.broken = True
            reading.arrived()
            return
        self._refusal = self._server.refusal(status, why, self._remote)

    # Handling.

    def _handle_next(self) -> None:
        if self._waiting:
            self.deadline = 0.0
            self._handling = self._loop.create_task(self._handle(self._waiting.popleft()))
        elif self._refusal is not None:
            self._write(self._refusal.encode(keep_alive=False))
            self._linger()
        elif self._head:
            # Part of a head is here: it has so much time in all, however it is dripped.
            self.deadline = min(self.deadline, self._loop.time() + self._server.patience)

    async def _handle(self, request: Request) -> None:
        server = self._server
        try:
            answer = await server.handler(request)
            end = self._last and not self._waiting and self._refusal is None
            keep_alive = request.keep_alive and request.complete and not end and not server.closing
            encoded = answer.encode(head=request.method == "HEAD", keep_alive=keep_alive, old=request.old)
        except Exception as error:
            server.failed(error)
            self.abort()
            return
        finally:
            self._handling = None
            server.answered()
            if self._transport is None:
                server.gone(self)
        self._write(encoded)
        if keep_alive:
            self._go_on()
        elif request.complete and not self._last:
            self._close()
        else:
            self._linger()

    def _go_on(self) -> None:
        """After an answer: the next request, if it is here already. Who reads no answers is sent none."""
        if self._full:
            return
        self.deadline = self._loop.time() + self._server.idle
        if self._waiting or self._refusal is not None:
            self._handle_next()
            return
        if self._rest:
            rest, self._rest = self._rest, b""
            self._take(rest)
        if self._paused and not self._waiting and not self._rest:
            self._resume_reading()

    # Ending.

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        return self._handling is not None or bool(self._waiting)

    def expire(self) -> None:
        """The deadline has passed."""
        unsent = 0 if self._transport is None else self._transport.get_write_buffer_size()
        if unsent and self._unsent - unsent >= _DRAINED:
            self._drain()  # slow, and still reading
        elif self._last or self._full:
            self.abort()
        else:
            self._close()

    def shut(self) -> None:
        """The server ends: what is idle goes at once, what is under way after its answer."""
        if not self.busy:
            self._close()

    def cancel(self) -> None:
        """The server has waited long enough."""
        if self._handling is not None:
            self._handling.cancel()
        self.abort()

    def abort(self) -> None:
        self._last = True
        if self._transport is not None:
            self._transport.abort()

    def _close(self) -> None:
        self._last = True
        if self._transport is not None:
            self._drain()
            self._transport.close()

    def _drain(self) -> None:
        """What is written gets its time to arrive."""
        if self._transport is not None:
            self._unsent = self._transport.get_write_buffer_size()
        self.deadline = self._loop.time() + (_DRAINING if self._unsent else self._server.patience)

    def _linger(self) -> None:
        """Close, but let the client read why first: with something unread, a close would take the answer back."""
        self._last = True
        self._waiting.clear()
        self._rest = b""
        self._refusal = None
        if self._transport is not None and not self._transport.is_closing():
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self._resume_reading()
            self.deadline = self._loop.time() + _LINGERING

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _pause_reading(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
