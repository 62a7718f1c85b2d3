"""HTTP answers: all bytes are known before the first is sent (RFC 9112 §4, §6)."""

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

#: `Server` tells neither library nor version.
_STARTS: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\nServer: acme-ra\r\nDate: " for status in HTTPStatus
}


class Answer:
    """Bytes with their headers. Nothing of it is streamed, compressed or a cookie."""

    __slots__ = ("content", "headers", "status")

    def __init__(self, content: bytes, *headers: tuple[str, str], status: int = 200) -> None:
        self.content = content
        self.headers = list(headers)
        self.status = status

    def add(self, name: str, value: str) -> None:
        """One more header line; a name may have several."""
        self.headers.append((name, value))

    def encode(self, *, head: bool = False, keep_alive: bool = True, old: bool = False) -> bytes:
        """As it goes over the wire: `head` is without content, `old` for HTTP/1.0.

        Raises ValueError for a header that would be more than one line.
        """
        lines = [f"{_STARTS[self.status]}{_date(int(time.time()))}"]
        if self.status != HTTPStatus.NO_CONTENT:
            lines.append(f"Content-Length: {len(self.content)}")
        if not keep_alive:
            lines.append("Connection: close")
        elif old:
            lines.append("Connection: keep-alive")
        for name, value in self.headers:
            lines.append(f"{name}: {value}")
        text = "\r\n".join(lines)
        # The first of the lines is three. What has other line ends would split the answer.
        if text.count("\n") != len(lines) + 1 or text.count("\r") != len(lines) + 1:
            raise ValueError("a header of an answer holds a line end")
        encoded = f"{text}\r\n\r\n".encode("latin-1")
        return encoded if head else encoded + self.content


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
