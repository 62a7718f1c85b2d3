"""The HTTP client's protocol, fed byte by byte without a socket."""

import asyncio

import pytest

from acme_ra.core.problems import ConnectionFailed, IncorrectResponse
from acme_ra.validation.http_client import HTTPExchange


class Wire(asyncio.WriteTransport):
    """Takes what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data


def exchange(*packets: bytes, end: bool = False) -> HTTPExchange:
    protocol = HTTPExchange(b"GET", max_header=1024, max_body=256)
    protocol.connection_made(Wire())
    for packet in packets:
        protocol.data_received(packet)
    if end:
        protocol.eof_received()
        protocol.connection_lost(None)
    return protocol


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_an_answer_is_read_whatever_its_packets(size):
    """A length, chunks, or the end of the connection may end the body; interim answers are passed over."""
    answers = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nok",
        b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ]
    for answer in answers:
        protocol = exchange(*(answer[i : i + size] for i in range(0, len(answer), size)), end=True)

        assert (await protocol.response)[::2] == (200, b"ok")


async def test_a_redirect_shows_where_to():
    """The first Location counts, and no body is waited for beyond its length."""
    protocol = exchange(b"HTTP/1.1 302 Found\r\nlocation: /a\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n")

    assert (await protocol.response)[:2] == (302, b"/a")


@pytest.mark.parametrize(
    ("packets", "problem", "told"),
    [
        ((), ConnectionFailed, "without an answer"),
        ((b"HTTP/1.1 200",), ConnectionFailed, "in the middle"),
        ((b"SSH-2.0-OpenSSH\x1b[31m\r\n",), IncorrectResponse, r"'SSH-2\.0-OpenSSH\\x1b\[31m"),
        ((b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 2000,), IncorrectResponse, "more than 1024 bytes of header"),
        (
            (b"HTTP/1.1 200 OK\r\n", *[b"X: yyyyyyyyyyyy\r\n"] * 100),
            IncorrectResponse,
            "more than 1024 bytes of header",
        ),
        ((b"HTTP/1.1 100 Continue\r\n\r\n" * 20,), IncorrectResponse, "interim"),
        ((b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",), IncorrectResponse, "switch"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",), IncorrectResponse, "HTTP/1.1"),
        ((b"\x15\x03\x01\x00\x02\x02",), IncorrectResponse, "HTTP/1.1"),
    ],
)
async def test_what_is_no_answer_is_told(packets, problem, told):
    """The problem shows what came, printable and short."""
    with pytest.raises(problem, match=told):
        await exchange(*packets, end=True).response


@pytest.mark.parametrize("length", [b"Content-Length: 9999999999\r\n", b"", b"Transfer-Encoding: chunked\r\n"])
async def test_a_body_is_read_only_up_to_the_cap(length):
    """An endless body ends at the cap, and the rest is not kept."""
    chunk = b"64\r\n" + b"x" * 100 + b"\r\n" if b"chunked" in length else b"x" * 100
    protocol = exchange(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n", *[chunk] * 50)

    response = await protocol.response
    assert response.truncated
    assert len(response.body) == 256
