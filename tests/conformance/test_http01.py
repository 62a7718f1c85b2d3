"""http-01 in detail: redirects, families, bodies and slow peers (RFC 8555 §8.3)."""

import asyncio
import time

import pytest
from cryptography import x509

from acme_ra.core.problems import ConnectionFailed, IncorrectResponse
from acme_ra.validation.service import ValidationAuthority
from tests.support.both_loops import on_both_loops
from tests.support.challenge_peers import (
    KEY_AUTHORIZATION,
    NAME,
    TOKEN,
    certificate,
    http_peer,
    http_response,
    redirect,
    settings,
    target,
    tls_peer,
)
from tests.support.dns_server import fake_dns
from tests.support.ports import free_port

PATH = f"/.well-known/acme-challenge/{TOKEN}"


async def validate(answer, **values):
    """One validation against a peer on loopback with that answer; returns the requests that it saw."""
    async with fake_dns() as dns, http_peer(answer) as peer:
        dns.records[NAME, "A"] = ["127.0.0.1"]
        authority = ValidationAuthority(settings(dns.address, http_port=peer.port, **values))
        await authority.validate("http-01", target())
        return peer.requests


@on_both_loops
async def test_the_request_is_what_the_rfc_says():
    """Path, Host and User-Agent; nothing is kept open."""
    (request,) = await validate(http_response(KEY_AUTHORIZATION))

    lines = request.decode().split("\r\n")
    assert lines[0] == f"GET {PATH} HTTP/1.1"
    assert lines[1].startswith(f"Host: {NAME}:")
    assert any(line.startswith("User-Agent: acme-ra/") for line in lines)
    assert "Connection: close" in lines


@pytest.mark.parametrize("end", ["", "\n", "\r\n", " \t\r\n\n"])
@on_both_loops
async def test_white_space_after_the_key_authorization_is_ignored(end):
    """RFC 8555 §8.3, step 5."""
    await validate(http_response(KEY_AUTHORIZATION + end))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (http_response(" " + KEY_AUTHORIZATION), "answered ' tBx6"),
        (http_response(KEY_AUTHORIZATION + "x"), "expected the key authorization"),
        (http_response(KEY_AUTHORIZATION * 2), "expected the key authorization"),
        (http_response(KEY_AUTHORIZATION.lower()), "expected the key authorization"),
        (http_response(""), "answered nothing"),
        (http_response("\x1b[2J<script>"), r"\\x1b\[2J<script>"),
        (http_response(KEY_AUTHORIZATION, "404 Not Found"), "answered 404; expected 200"),
        (http_response(KEY_AUTHORIZATION, "201 Created"), "answered 201"),
        (http_response(KEY_AUTHORIZATION, "500 Oops"), "answered 500"),
        (http_response(KEY_AUTHORIZATION, "300 Choices"), "answered 300"),
        (http_response(KEY_AUTHORIZATION + " " * 5000), "more than 4096 bytes"),
        (http_response("x" * 100_000), "more than 4096 bytes"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"\r\n", "more than 16384 bytes of header"),
        (b"220 mail.test ESMTP\r\n", "does not speak HTTP"),
    ],
)
@on_both_loops
async def test_any_other_answer_is_incorrect(answer, told):
    """incorrectResponse, with the URL, the address, what came and what was expected."""
    with pytest.raises(IncorrectResponse, match=told) as caught:
        await validate(answer)

    assert caught.value.detail.startswith(NAME)
    assert f"{PATH}" in caught.value.detail
    assert "127.0.0.1:" in caught.value.detail
    assert caught.value.detail.isprintable()


@pytest.mark.parametrize("status", ["301 A", "302 B", "303 C", "307 D", "308 E"])
@on_both_loops
async def test_redirects_are_followed(status):
    """Each kind, relative and absolute."""
    requests = await validate(
        [redirect("/a?b=c", status), redirect(f"http://{NAME}/z", status), http_response(KEY_AUTHORIZATION)]
    )

    assert [request.split(b" ")[1] for request in requests] == [PATH.encode(), b"/a?b=c", b"/z"]


@on_both_loops
async def test_ten_redirects_are_followed_and_eleven_are_not():
    """RFC 8555 §10.2 wants a bound."""
    hops = [redirect(f"/{i}") for i in range(10)]
    await validate([*hops, http_response(KEY_AUTHORIZATION)])

    with pytest.raises(ConnectionFailed, match="more than 10 redirects"):
        await validate([*hops, redirect("/10"), http_response(KEY_AUTHORIZATION)])


@on_both_loops
async def test_a_circle_of_redirects_ends_at_once():
    """The second visit is told as what it is."""
    with pytest.raises(ConnectionFailed, match="circle"):
        await validate([redirect("/a"), redirect("/b"), redirect("/a")])


@on_both_loops
async def test_what_a_redirect_leads_to_is_not_quoted_even_under_the_same_name():
    """The second look-up of a name may give an internal host: its content is not for the applicant's eyes."""
    with pytest.raises(IncorrectResponse) as caught:
        await validate([redirect("/latest/secret"), http_response("INTERNAL-TOKEN")])

    assert "INTERNAL-TOKEN" not in caught.value.detail
    assert "14 bytes" in caught.value.detail


@on_both_loops
async def test_a_redirect_without_a_location_is_told():
    """Not followed, not mistaken for content."""
    with pytest.raises(ConnectionFailed, match="it has no Location"):
        await validate(http_response(KEY_AUTHORIZATION, "302 Found"))


@on_both_loops
async def test_a_redirect_to_https_needs_no_valid_certificate(tmp_path_factory):
    """Another host, another port, a self-signed and expired certificate: the content is what counts."""
    pem = certificate(tmp_path_factory.mktemp("tls"), [x509.DNSName("unrelated.test")])
    async with fake_dns() as dns, tls_peer(pem, alpn=["http/1.1"]) as secure:
        dns.records[NAME, "A"] = dns.records["other.test", "A"] = ["127.0.0.1"]
        async with http_peer(redirect("https://other.test/x")) as peer:
            authority = ValidationAuthority(settings(dns.address, http_port=peer.port, https_port=secure.port))
            with pytest.raises(IncorrectResponse, match=rf"https://other\.test:{secure.port}/x at 127\.0\.0\.1"):
                await authority.validate("http-01", target())

        assert secure.server_names == ["other.test"]
        assert secure.requests[0].startswith(b"GET /x HTTP/1.1\r\nHost: other.test:")


@on_both_loops
async def test_ipv6_is_preferred():
    """With both families published, one connection, by IPv6."""
    right, wrong, port = http_response(KEY_AUTHORIZATION), http_response("wrong"), free_port()
    async with fake_dns() as dns, http_peer(right, host="::1", port=port) as six, http_peer(wrong, port=port) as four:
        dns.records[NAME, "A"], dns.records[NAME, "AAAA"] = ["127.0.0.1"], ["::1"]
        await ValidationAuthority(settings(dns.address, http_port=port)).validate("http-01", target())

        assert (six.connections, four.connections) == (1, 0)


@on_both_loops
async def test_ipv4_is_tried_once_when_ipv6_does_not_connect():
    """A published but dead IPv6 address does not stop a validation; wrong content by IPv6 does."""
    async with fake_dns() as dns, http_peer(http_response(KEY_AUTHORIZATION), port=free_port()) as four:
        dns.records[NAME, "A"], dns.records[NAME, "AAAA"] = ["127.0.0.1"], ["::1"]
        authority = ValidationAuthority(settings(dns.address, http_port=four.port))
        await authority.validate("http-01", target())
        assert dns.asked(NAME, "A") == dns.asked(NAME, "AAAA") == 1

        async with http_peer(http_response("wrong"), host="::1", port=four.port):
            with pytest.raises(IncorrectResponse, match=r"\[::1\]"):
                await authority.validate("http-01", target())
        assert four.connections == 1


@on_both_loops
async def test_both_families_dead_are_both_told():
    """The problem lists every address that was tried."""
    port = free_port()
    async with fake_dns() as dns:
        dns.records[NAME, "A"], dns.records[NAME, "AAAA"] = ["127.0.0.1"], ["::1"]
        with pytest.raises(
            ConnectionFailed, match=rf"\[::1\]:{port}: connection refused; 127\.0\.0\.1:{port}: connection"
        ):
            await ValidationAuthority(settings(dns.address, http_port=port)).validate("http-01", target())


def trickle(start):
    async def send(_reader, writer, _request):
        writer.write(start)
        for _ in range(20_000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.005)

    return send


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n"])
@on_both_loops
async def test_a_trickling_peer_costs_no_more_than_the_deadline(start):
    """A byte now and then, in the status line, a header or the body, buys no time."""
    began = time.perf_counter()
    with pytest.raises((ConnectionFailed, IncorrectResponse)):
        await validate(trickle(start), timeout=150)

    assert time.perf_counter() - began < 50  # It would go on for twice as long.


@on_both_loops
async def test_an_endless_body_is_cut_off_at_once():
    """A flood ends at the cap: the peer's socket is closed under it."""
    sent = 0

    async def flood(_reader, writer, _request):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    with pytest.raises(IncorrectResponse, match="more than 4096 bytes"):
        await validate(flood)

    assert sent < 32 << 20


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\npart"])
@on_both_loops
async def test_a_peer_that_hangs_up_early_is_told(start):
    """No answer and half an answer are told apart from a wrong one."""

    async def hang_up(_reader, writer, _request):
        writer.write(start)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    expected = "closed the connection" if b"\r\n\r\n" not in start else "answered 'part'"
    with pytest.raises((ConnectionFailed, IncorrectResponse), match=expected):
        await validate(hang_up)
