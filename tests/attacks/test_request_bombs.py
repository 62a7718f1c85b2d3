"""Parser bombs at the edge: each hostile body is refused in under 100 ms and 50 MB (THREATS.md)."""

import gzip
import tracemalloc
import zlib
from functools import partial
from typing import Any

import pytest

from acme_ra.acme.jwk import parse_jwk
from acme_ra.acme.jws import parse_jws
from acme_ra.core.problems import Problem
from tests.acme.client import Member, Signer, b64, dumps, running_edge
from tests.support.cost import cheapest, cheapest_awaited

SIGNER = Signer("ES256")
SIZE = 64 * 1024


def _wrap(header: bytes) -> bytes:
    return dumps({"protected": b64(header), "payload": "", "signature": "AA"})


def _deep(opening: bytes, size: int) -> bytes:
    return (opening * size)[:size]


BODIES = {
    "arrays in arrays": _deep(b"[", SIZE),
    "objects in objects": _deep(b'{"a":', SIZE),
    "arrays in a member": b'{"protected":' + _deep(b"[", SIZE - 20),
    "many members": b"{" + b",".join(b'"%d":1' % number for number in range(6000)) + b"}",
    "one member again and again": b"{" + b",".join(b'"protected":""' for _ in range(4000)) + b"}",
    "a long number": b'{"protected":' + b"9" * (SIZE - 20) + b"}",
    "a large exponent": b'{"protected":1e' + b"9" * 300 + b"}",
    "a long string": dumps({"protected": "A" * (SIZE - 100), "payload": "", "signature": ""}),
    "a long signature": dumps({"protected": b64(b'{"alg":"ES256","jwk":{}}'), "payload": "", "signature": "A" * 60000}),
    "escapes": b'{"protected":"' + b"\\u0041" * 10000 + b'"}',
    "blanks": b" " * (SIZE - 10) + b"{}",
    "a deep header": _wrap(_deep(b"[", 11_000)),
    "a header of many members": _wrap(b"{" + b",".join(b'"%d":1' % number for number in range(1000)) + b"}"),
    "a number in the header": _wrap(b'{"alg":' + b"9" * 11_000 + b"}"),
    "binary": bytes(range(256)) * 200,
    "NUL": b"\0" * SIZE,
}


def _verify(body: bytes) -> None:
    jws = parse_jws(body)
    jws.verify(jws.embedded_key())


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body_costs_little(name):
    """CPU time and memory are measured; the answer is a Problem."""
    body = BODIES[name]

    def refuse() -> None:
        with pytest.raises(Problem):
            _verify(body)

    elapsed = cheapest(refuse)
    tracemalloc.start()
    refuse()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert elapsed < 0.1
    assert peak < 50e6


def test_a_hostile_key_costs_little():
    """Huge moduli and exponents are refused by their size, before any arithmetic."""
    hostile = [
        {"kty": "RSA", "n": "A" * 60_000, "e": "AQAB"},
        {"kty": "RSA", "n": b64(b"\xff" * 700), "e": b64(b"\xff" * 700)},
        {"kty": "EC", "crv": "P-521", "x": b64(b"\xff" * 66), "y": b64(b"\xff" * 66)},
        {"kty": "EC", "crv": "P-256" * 1000, "x": "", "y": ""},
    ]
    for jwk in hostile:
        assert cheapest(partial(_refuse_key, jwk)) < 0.1


def _refuse_key(jwk: dict[str, Any]) -> None:
    with pytest.raises(Problem):
        parse_jwk(jwk)


async def test_a_body_over_the_cap_is_refused_whether_announced_or_not():
    """413 as a problem document; a chunked body is cut off as soon as it is too long."""

    async def chunks():
        for _ in range(100):
            yield b" " * 8192

    async with running_edge() as client:
        url = client.urls.new_account("internal")

        announced = await client.send(url, b" " * (SIZE + 1))
        chunked = await client.request("POST", url, data=chunks(), headers={"Content-Type": "application/jose+json"})

        assert (announced.status, announced.token) == (413, "malformed")
        assert (chunked.status, chunked.token) == (413, "malformed")
        assert "Replay-Nonce" in announced.headers


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_compressed_body_is_not_unpacked(coding, pack):
    """A thousand to one is how bombs are made; ACME needs no compression."""
    async with running_edge() as client:
        answer = await client.send(
            client.urls.new_account("internal"), pack(b" " * 20_000_000), **{"Content-Encoding": coding}
        )

        assert (answer.status, answer.token) == (415, "malformed")


async def test_a_payload_bomb_with_a_good_signature_is_refused_too():
    """An account does not get further than a stranger."""
    async with running_edge() as client:
        member = await client.register(SIGNER)
        url = client.urls.new_order("internal")
        for payload in (_deep(b"[", 40_000), b'{"identifiers":' + _deep(b"[", 40_000), b'{"a":1,"a":2}'):
            assert await cheapest_awaited(partial(_refuse_payload, member, url, payload)) < 0.5
        assert "create" not in client.ra.calls


async def _refuse_payload(member: Member, url: str, payload: bytes) -> None:
    answer = await member.post(url, payload)
    assert (answer.status, answer.token) == (400, "malformed")
