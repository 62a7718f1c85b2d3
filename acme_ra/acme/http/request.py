"""A request as the edge reads it (RFC 9112 §3): its head as it was sent, its body as far as it is here."""

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Request:
    """One request. `headers` has lower-case names; of a header that occurs twice it has the first."""

    __slots__ = (
        "_awaited",
        "_write",
        "body",
        "broken",
        "complete",
        "headers",
        "keep_alive",
        "method",
        "old",
        "path",
        "remote",
        "target",
    )

    def __init__(
        self,
        method: str,
        target: str,
        headers: dict[bytes, bytes],
        *,
        remote: str = "",
        old: bool = False,
        write: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        """`old` says that this is HTTP/1.0; `write` sends an interim answer."""
        self.method = method
        #: Path and query. Proxies may send the whole URL (RFC 9112 §3.2.2).
        self.target = target if target.startswith("/") else _origin_form(target)
        #: The path as it was sent, nothing decoded.
        self.path = self.target.partition("?")[0]
        self.headers = headers
        self.remote = remote
        self.old = old
        self.keep_alive = not old
        self.body = bytearray()
        self.complete = False  # all of the body is here
        self.broken = False  # and never will be
        self._awaited: asyncio.Future[None] | None = None
        self._write = write

    def header(self, name: bytes, default: str = "") -> str:
        """A header's value; `name` in lower case."""
        value = self.headers.get(name)
        return default if value is None else value.decode("latin-1")

    @property
    def content_length(self) -> int:
        """What the client announced; 0 where it did not. The parser let nothing but digits through."""
        return int(self.headers.get(b"content-length", b"0"))

    def go_on(self) -> None:
        """Tell a client that waits for it to send the body (RFC 9110 §10.1.1)."""
        if not self.old and self.header(b"expect").lower() == "100-continue":
            self._write(_CONTINUE)

    async def more(self) -> None:
        """Wait until more of the body is here, or it is known that no more will come."""
        if not self.complete and not self.broken:
            self._awaited = asyncio.get_running_loop().create_future()
            await self._awaited

    def arrived(self) -> None:
        """More of the body is here, or nothing more will come."""
        awaited, self._awaited = self._awaited, None
        if awaited is not None and not awaited.done():
            awaited.set_result(None)


def _origin_form(target: str) -> str:
    try:
        parts = urlsplit(target)
    except ValueError:
        return target
    if not parts.netloc:
        return target
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
