"""What the edge answers by itself: routing, content types, throttling, faults, health, metrics."""

import asyncio

import pytest

from acme_ra.acme.settings import AcmeSettings
from acme_ra.core.problems import RateLimited, ServerInternal, ServiceUnavailable
from tests.acme.client import EdgeClient, Signer, dumps, running_edge
from tests.acme.test_order_flow import _after_authentication


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/acme",
        "/acme/internal",
        "/acme/internal/",
        "/acme/nobody/directory",
        "/directory",
        "/acme/internal/x",
        "/acme/internal/order/",
        "/acme/internal/renewal-info/x.y",
        "/ca/nobody.cer",
        "/ca/nobody.crl",
        "/ca/intermediate.pem",
        "/%00",
    ],
)
async def test_what_is_not_there_is_a_problem_too(path):
    """404 with a JSON body; on a POST with a nonce."""
    async with running_edge() as client:
        got = await client.get(client.urls.base + path)
        posted = await client.send(client.urls.base + path, b"{}")

        assert (got.status, got.token) == (404, "malformed")
        assert posted.status in (404, 405)
        assert "Replay-Nonce" in posted.headers


async def test_what_is_not_there_is_told_without_markup():
    """A path is shown as printable ASCII."""
    async with running_edge() as client:
        answer = await client.get(client.urls.base + "/%1b%5b31m%0a")

        assert "\\x1b" in answer.json["detail"]
        assert "\n" not in answer.json["detail"]


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "", "application/jose", "multipart/form-data"]
)
async def test_only_jose_json_is_read(content_type):
    """RFC 8555 §6.2: 415."""
    async with running_edge() as client:
        answer = await client.send(client.urls.new_account("internal"), b"{}", content_type=content_type)

        assert (answer.status, answer.token) == (415, "malformed")
        assert "Replay-Nonce" in answer.headers


async def test_a_charset_on_the_content_type_is_no_matter():
    """Some clients add one."""
    async with running_edge() as client:
        url, signer = client.urls.new_account("internal"), Signer()
        jws = signer.sign(client.header(signer, url), b"{}")

        assert (await client.send(url, jws, content_type="application/jose+json; charset=utf-8")).status == 201


async def test_a_fault_is_500_with_a_generic_text_and_its_cause_in_the_log(capsys):
    """The client gets a name to quote; the cause, with whatever it holds, stays here."""
    async with running_edge() as client:
        member = await client.register()
        _after_authentication(client, RuntimeError("password=hunter2"))

        answer = await member.new_order()

        logged = capsys.readouterr().out
        assert (answer.status, answer.token) == (500, "serverInternal")
        assert b"hunter2" not in answer.body
        assert "hunter2" in logged
        assert answer.json["instance"] in logged
        assert "Replay-Nonce" in answer.headers


async def test_an_internal_problem_tells_its_safe_text():
    """ServerInternal's detail is written for clients."""
    async with running_edge() as client:
        member = await client.register()
        _after_authentication(client, ServerInternal("issuance failed"))

        answer = await member.new_order()

        assert (answer.status, answer.json["detail"]) == (500, "issuance failed")


@pytest.mark.parametrize(("kind", "token"), [(ServiceUnavailable, "serverInternal"), (RateLimited, "rateLimited")])
async def test_what_may_succeed_later_is_503_with_retry_after(kind, token):
    """Never 4xx: cert-manager takes that as final."""
    async with running_edge() as client:
        member = await client.register()
        _after_authentication(client, kind("not now", retry_after=7))

        answer = await member.new_order()

        assert (answer.status, answer.token, answer.headers["Retry-After"]) == (503, token, "7")


async def test_a_throttled_request_may_be_sent_again_with_its_nonce():
    """503 rateLimited comes before the nonce is spent, so that the very same bytes work a moment later."""
    async with running_edge(settings=AcmeSettings(in_flight_per_account=1)) as client:
        member = await client.register()
        gate, entered = asyncio.Event(), asyncio.Event()
        original = client.ra.orders.create

        async def slow(*arguments):
            entered.set()
            await gate.wait()
            return await original(*arguments)

        client.ra.orders.create = slow
        first = asyncio.create_task(member.new_order())
        await entered.wait()
        header = client.header(member.signer, member.kid, kid=member.kid)
        jws = member.signer.sign(header, b"")

        throttled = await client.send(member.kid, jws)
        gate.set()
        await first
        again = await client.send(member.kid, jws)

        assert (throttled.status, throttled.token) == (503, "rateLimited")
        assert int(throttled.headers["Retry-After"]) >= 1
        assert again.status == 200


async def test_nobody_uses_up_another_accounts_share():
    """A kid without its signature does not count."""
    async with running_edge(settings=AcmeSettings(requests_per_second_per_account=1)) as client:
        member, thief = await client.register(), Signer()
        for _ in range(10):
            assert (await client.post(member.kid, None, signer=thief, kid=member.kid)).status == 400

        assert (await member.post(member.kid)).status == 200


@pytest.mark.parametrize(
    ("failure", "again"), [(RateLimited("too many orders"), 201), (ServiceUnavailable("no storage"), 400)]
)
async def test_a_throttle_of_the_registration_gives_the_nonce_back(failure, again):
    """Also when it is found out only behind the nonce. Other failures may have touched something: theirs is spent."""
    async with running_edge() as client:
        member = await client.register()
        url = client.urls.new_order("internal")
        payload = dumps({"identifiers": [{"type": "dns", "value": "a.test"}]})
        jws = member.signer.sign(client.header(member.signer, url, kid=member.kid), payload)
        original = client.ra.orders.create

        async def refuse(*_):
            raise failure

        client.ra.orders.create = refuse
        refused = await client.send(url, jws)
        client.ra.orders.create = original
        answers = [await client.send(url, jws) for _ in range(2)]

        assert refused.status == 503
        assert [answer.status for answer in answers] == [again, 400]
        assert answers[1].token == "badNonce"


async def test_an_address_is_throttled_and_health_is_not():
    """The burst is twice the rate."""
    async with running_edge(settings=AcmeSettings(requests_per_second_per_address=1)) as client:
        url = client.urls.directory("internal")

        statuses = [(await client.get(url)).status for _ in range(2)]
        more = [answer.status for answer in await asyncio.gather(*(client.get(url) for _ in range(50)))]
        health = [(await client.get(client.urls.base + "/healthz")).status for _ in range(5)]

        assert statuses == [200, 200]
        assert 503 in more
        assert health == [200] * 5


async def test_a_body_that_does_not_come_is_503_with_retry_after():
    """A slow sender holds a place only so long, and may try again: a 4xx would be final."""

    async def slow():
        yield b"{"
        await asyncio.sleep(600)
        yield b"}"

    async with running_edge(settings=AcmeSettings(body_timeout=100)) as client:
        answer = await client.request(
            "POST", client.urls.new_account("internal"), data=slow(), headers={"Content-Type": "application/jose+json"}
        )

        assert (answer.status, answer.token) == (503, "serverInternal")
        assert int(answer.headers["Retry-After"]) >= 1


async def test_readiness_asks_and_liveness_does_not():
    """readyz fails with 503 while the hook raises."""

    async def not_ready() -> None:
        raise ServiceUnavailable("the store is not open")

    async with running_edge(ready=not_ready) as client:
        live = await client.get(client.urls.base + "/healthz")
        ready = await client.get(client.urls.base + "/readyz")

        assert (live.status, live.json) == (200, {"status": "ok"})
        assert (ready.status, ready.json["detail"]) == (503, "the store is not open")


async def test_every_answer_is_observed_once():
    """By the route's name, never by its path: labels stay few."""
    seen = []
    async with running_edge(observe=lambda *values: seen.append(values[:4])) as client:
        member = await client.register()
        await member.post(member.kid)
        await client.get(client.urls.base + "/whatever")
        await client.get(member.kid)
        await member.post(client.urls.order("internal", "5." + "A" * 16))

    assert seen == [
        ("newAccount", "POST", 201, ""),
        ("account", "POST", 200, ""),
        ("unknown", "GET", 404, "malformed"),
        ("unknown", "GET", 405, "malformed"),
        ("order", "POST", 404, "malformed"),
    ]


async def test_the_directory_is_the_same_bytes_for_everybody():
    """And each directory has its own."""
    async with running_edge() as client:
        first, second = [await client.get(client.urls.directory("internal")) for _ in range(2)]
        other = await client.get(client.urls.directory("other"))

        assert first.body == second.body != other.body
        assert "/acme/other/" in other.json["newOrder"]


async def test_a_url_behind_another_origin_is_signed_for_the_outside():
    """The external URL counts, not the address that the request came in on."""
    async with running_edge() as client:
        signer = Signer()
        inside = f"http://127.0.0.1:{client.port}/acme/internal/new-account"
        jws = signer.sign(client.header(signer, inside), dumps({}))

        answer = await client.send(client.urls.new_account("internal"), jws)

        assert (answer.status, answer.token) == (403, "unauthorized")
        assert client.urls.new_account("internal") in answer.json["detail"]


async def test_renewal_information_is_told_to_anybody():
    """RFC 9773 §4.2, with Retry-After in seconds."""
    async with running_edge() as client:
        answer = await client.get(client.urls.renewal_info("internal") + "/AAAA.AQ")

        assert answer.json["suggestedWindow"] == {"start": "2027-01-15T08:00:00Z", "end": "2027-01-16T08:00:00Z"}
        assert answer.json["explanationURL"] == "https://ra.example.test/why"
        assert answer.headers["Retry-After"] == "21600"


async def _exchange(client: EdgeClient, *parts: tuple[bytes, bytes]) -> bytes:
    """Send each part once the answer has what comes before it; the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    seen = b""
    async with asyncio.timeout(60):
        for awaited, part in parts:
            while awaited not in seen:
                seen += await reader.read(4096)
            writer.write(part)
        seen += await reader.read()
    writer.close()
    await writer.wait_closed()
    return seen


async def test_a_client_that_waits_before_its_body_is_told_to_go_on():
    """Expect: 100-continue, which curl sends with larger bodies (RFC 9110 §10.1.1)."""
    head = (
        b"POST /acme/internal/new-account HTTP/1.1\r\nHost: x\r\nContent-Type: application/jose+json\r\n"
        b"Content-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    async with running_edge() as client:
        answer = await _exchange(client, (b"", head), (b"HTTP/1.1 100 Continue\r\n\r\n", b"{}"))

    assert answer.count(b"HTTP/1.1 400 Bad Request") == 1


async def test_a_request_for_the_whole_url_is_served():
    """As proxies may send it (RFC 9112 §3.2.2)."""
    request = b"GET https://ra.example.test/healthz?a=b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with running_edge() as client:
        answer = await _exchange(client, (b"", request))

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
