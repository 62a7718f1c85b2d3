"""Answers that are complete when they are made, and leave in one piece (RFC 9110 §6.6.1, RFC 9112)."""

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

#: Told instead of the HTTP library's name and version.
SERVER: Final = ("Server", "acme-ra")
_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus}


class Answer(web.StreamResponse):
    """Bytes with their headers. Nothing of it is streamed, compressed or a cookie, and none of that is looked for."""

    def __init__(self, content: bytes, *headers: tuple[str, str], status: int = 200) -> None:
        super().__init__(status=status, headers=(SERVER, *headers))
        self._content = content
        self._persistent = False

    @property
    def keep_alive(self) -> bool:
        return self._persistent

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Called by the server once, with what is needed to send all of it."""
        headers, writer = self.headers, request.writer
        self._persistent = request.keep_alive
        if self.status != HTTPStatus.NO_CONTENT:
            headers["Content-Length"] = str(len(self._content))
        headers["Date"] = _date(int(time.time()))
        if not self._persistent:
            headers["Connection"] = "close"
        elif request.version < (1, 1):
            headers["Connection"] = "keep-alive"
        await writer.write_headers(_STATUS_LINES[self.status], headers)
        await writer.write_eof(b"" if request.method == "HEAD" else self._content)
        return writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to be sent."""


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
