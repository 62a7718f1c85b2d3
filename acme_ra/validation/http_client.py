"""A small HTTP/1.1 client for validation: one GET, one answer, capped and closed (RFC 9112)."""

import asyncio
from typing import NamedTuple, cast

import httptools

from acme_ra import __version__
from acme_ra.core.problems import ConnectionFailed, IncorrectResponse
from acme_ra.validation.contract import excerpt

USER_AGENT = f"acme-ra/{__version__} (ACME validation)"
_MAX_INTERIM = 8  # 1xx answers before the real one


class HTTPResponse(NamedTuple):
    """`body` has at most the allowed size plus what came with it in one packet; `truncated` says there was more."""

    status: int
    location: bytes | None
    body: bytes
    truncated: bool


def build_request(host: str, target: str) -> bytes:
    """A GET. Both arguments were checked to be printable ASCII without blanks."""
    return (
        f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\n"
        "Accept: */*\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
    ).encode("ascii")


class HTTPExchange(asyncio.Protocol):
    """Sends a request when connected and settles `response`; the transport is the dialler's to close.

    The future ends in an HTTPResponse, or in IncorrectResponse or ConnectionFailed, whose detail tells the part after
    "the server …".
    """

    def __init__(self, request: bytes, *, max_header: int, max_body: int) -> None:
        self.response: asyncio.Future[HTTPResponse] = asyncio.get_running_loop().create_future()
        self._request = request
        self._max_header = max_header
        self._max_body = max_body
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._first = b""
        self._received = 0
        self._interim = 0
        self._in_body = False
        self._status = 0
        self._location: bytes | None = None
        self._body = bytearray()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.WriteTransport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        if len(self._first) < 64:
            self._first += data[:65]
        if not self._in_body:
            # What may still be header goes in apart, so that its cap does not depend on how packets are cut.
            room = self._max_header - self._received
            self._received += len(data)
            self._feed(data[:room])
            if not self._in_body and len(data) > room:
                self._fail(IncorrectResponse(f"sent more than {self._max_header} bytes of header"))
            data = data[room:]
        if data:
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(IncorrectResponse("wants to switch protocols"))
        except httptools.HttpParserError:
            self._fail(IncorrectResponse(f"does not speak HTTP/1.1; it sent {excerpt(self._first)}"))

    def eof_received(self) -> None:
        self._ended()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended()

    # httptools' side

    def on_status(self, _reason: bytes) -> None:
        self._status = self._parser.get_status_code() if self._parser is not None else 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._location is None and len(name) == 8 and name.lower() == b"location":
            self._location = value

    def on_headers_complete(self) -> None:
        if self._parser is None:
            return
        self._status = self._parser.get_status_code()
        self._in_body = self._status >= 200

    def on_body(self, body: bytes) -> None:
        if self._parser is None:
            return
        self._body += body
        if len(self._body) > self._max_body:
            self._finish(truncated=True)

    def on_message_complete(self) -> None:
        if self._in_body:
            self._finish(truncated=False)
            return
        self._interim += 1
        self._location = None
        if self._interim > _MAX_INTERIM:
            self._fail(IncorrectResponse(f"sent more than {_MAX_INTERIM} interim answers"))

    # endings

    def _ended(self) -> None:
        if self._in_body:
            self._finish(truncated=False)  # Without a length, the end of the connection is the end of the body.
        elif self._received:
            self._fail(ConnectionFailed("closed the connection in the middle of its answer"))
        else:
            self._fail(ConnectionFailed("closed the connection without an answer"))

    def _finish(self, *, truncated: bool) -> None:
        self._parser = None  # It holds this object: let both go.
        if not self.response.done():
            body = bytes(self._body[: self._max_body])
            self.response.set_result(HTTPResponse(self._status, self._location, body, truncated))

    def _fail(self, problem: IncorrectResponse | ConnectionFailed) -> None:
        self._parser = None
        if not self.response.done():
            self.response.set_exception(problem)
            self.response.exception()  # Whoever waited may be gone: then nobody needs to hear of it.
