"""Answers as they leave: one write, with the framing that the request asks for."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.http_writer import HttpVersion10, HttpVersion11
from multidict import CIMultiDict

from acme_ra.acme.answer import Answer


class Writer:
    """What the server lends to an answer."""

    def __init__(self) -> None:
        self.written: list[Any] = []

    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        self.written.append((status_line, dict(headers)))

    async def write_eof(self, chunk: bytes) -> None:
        self.written.append(chunk)


async def _sent(answer: Answer, *, method: str = "POST", version: Any = HttpVersion11, keep_alive: bool = True) -> Any:
    writer = Writer()
    request: Any = SimpleNamespace(method=method, version=version, keep_alive=keep_alive, writer=writer)
    await answer.prepare(request)
    await answer.write_eof()
    (line, headers), body = writer.written
    assert headers.pop("Date").endswith(" GMT")
    assert headers.pop("Server") == "acme-ra"
    return line, headers, body


async def test_an_answer_has_its_length_and_its_body():
    """And the connection stays."""
    answer = Answer(b"abc", ("A", "b"), status=201)

    assert await _sent(answer) == ("HTTP/1.1 201 Created", {"A": "b", "Content-Length": "3"}, b"abc")
    assert answer.keep_alive


async def test_head_has_the_length_but_not_the_body():
    """RFC 9110 §9.3.2."""
    assert await _sent(Answer(b"abc"), method="HEAD") == ("HTTP/1.1 200 OK", {"Content-Length": "3"}, b"")


async def test_no_content_has_no_length():
    """RFC 9110 §8.6."""
    assert await _sent(Answer(b"", status=204)) == ("HTTP/1.1 204 No Content", {}, b"")


@pytest.mark.parametrize(
    ("version", "keep_alive", "told"),
    [
        (HttpVersion11, True, None),
        (HttpVersion11, False, "close"),
        (HttpVersion10, True, "keep-alive"),
        (HttpVersion10, False, "close"),
    ],
)
async def test_the_connection_is_told_where_it_is_not_understood(version, keep_alive, told):
    """RFC 9112 §9.3."""
    answer = Answer(b"")

    _, headers, _ = await _sent(answer, version=version, keep_alive=keep_alive)

    assert headers.get("Connection") == told
    assert answer.keep_alive == keep_alive
