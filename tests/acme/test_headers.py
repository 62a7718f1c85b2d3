"""Every route's status and headers (RFC 8555 §6.5, §7.1; how clients behave). A route without an entry here fails."""

import re
from dataclasses import dataclass

import pytest

from acme_ra.core.status import OrderStatus
from tests.acme.client import Answer, EdgeClient, Member, Signer, b64, running_edge
from tests.acme.test_key_change import change

JSON = "application/json"
PEM = "application/pem-certificate-chain"


@dataclass(frozen=True)
class Expected:
    """What a good request to a route is answered with."""

    status: int
    content_type: str = JSON
    nonce: bool = True
    index: bool = True
    location: str = ""  # the resource that Location names
    links: tuple[str, ...] = ()  # relations besides index
    retry_after: bool = False


TABLE = {
    "GET directory": Expected(200, nonce=False, index=False),
    "HEAD directory": Expected(200, nonce=False, index=False),
    "POST directory": Expected(200, index=False),
    "GET new-nonce": Expected(204, ""),
    "HEAD new-nonce": Expected(200, ""),
    "POST new-nonce": Expected(204, ""),
    "POST new-account": Expected(201, location="account"),
    "POST new-order": Expected(201, location="order"),
    "POST new-authz": Expected(201, location="authz"),
    "POST revoke-cert": Expected(200),
    "POST key-change": Expected(200, location="account"),
    "POST account/{account}": Expected(200, location="account"),
    "POST account/{account}/orders": Expected(200, links=("next",)),
    "POST order/{order}": Expected(200, location="order"),
    "POST order/{order}/finalize": Expected(200, location="order", retry_after=True),
    "POST authz/{authorization}": Expected(200, retry_after=True),
    "POST challenge/{authorization}/{challenge}": Expected(200, links=("up",), retry_after=True),
    "POST cert/{certificate}": Expected(200, PEM, links=("alternate", "alternate")),
    "POST cert/{certificate}/{alternate}": Expected(200, PEM, links=("alternate", "alternate")),
    "GET renewal-info/{certificate}": Expected(200, nonce=False, retry_after=True),
    "HEAD renewal-info/{certificate}": Expected(200, nonce=False, retry_after=True),
}
COMMON = {
    "GET /ca/{authority}.cer": Expected(200, "application/pkix-cert", nonce=False, index=False),
    "HEAD /ca/{authority}.cer": Expected(200, "application/pkix-cert", nonce=False, index=False),
    "GET /ca/{authority}.crl": Expected(200, "application/pkix-crl", nonce=False, index=False),
    "HEAD /ca/{authority}.crl": Expected(200, "application/pkix-crl", nonce=False, index=False),
    "GET /healthz": Expected(200, nonce=False, index=False),
    "HEAD /healthz": Expected(200, nonce=False, index=False),
    "GET /readyz": Expected(200, nonce=False, index=False),
    "HEAD /readyz": Expected(200, nonce=False, index=False),
}
PREFIX = "/acme/internal/"


async def _member(client: EdgeClient) -> tuple[Member, dict[str, str]]:
    """An account with enough of everything, and what stands for each parameter."""
    member = await client.register()
    for _ in range(4):
        order = await member.new_order()
    _, certificate = await member.issue()
    authorization = order.json["authorizations"][0]
    await member.post(client.urls.challenge("internal", authorization.rsplit("/", 1)[1], "http-01"), {})
    client.ra.finalized_as = OrderStatus.PROCESSING
    return member, {
        "account": member.resource_id,
        "order": order.headers["Location"].rsplit("/", 1)[1],
        "authorization": authorization.rsplit("/", 1)[1],
        "challenge": "http-01",
        "certificate": certificate.rsplit("/", 1)[1],
        "alternate": "1",
        "authority": "intermediate",
    }


async def _call(client: EdgeClient, member: Member, method: str, path: str, parameters: dict[str, str]) -> Answer:
    if path.startswith("renewal-info"):
        parameters = parameters | {"certificate": "AAAA.AQ"}
    filled = re.sub(r"\{(\w+)\}", lambda match: parameters[match[1]], path)
    url = client.urls.base + (filled if path.startswith("/") else PREFIX + filled)
    if method != "POST":
        return await client.request(method, url)
    identifier = {"type": "dns", "value": "new.test"}
    payloads = {
        "new-order": {"identifiers": [identifier]},
        "new-authz": {"identifier": identifier},
        "revoke-cert": {"certificate": b64(b"DER")},
        "order/{order}/finalize": {"csr": b64(b"csr")},
    }
    if path == "new-account":
        return await client.post(url, {}, signer=Signer())
    if path == "key-change":
        return await change(client, member)
    return await member.post(url, payloads.get(path))


def _routes(client: EdgeClient) -> set[str]:
    """Every route of `internal` and every common one, as they are served."""
    routes = client.app.routes
    return {f"{method} {path.removeprefix(PREFIX)}" for method, path in routes if not path.startswith("/acme/other/")}


async def test_every_route_has_an_entry():
    """A new route must say here what it answers with."""
    async with running_edge() as client:
        assert _routes(client) == set(TABLE) | set(COMMON)


@pytest.mark.parametrize("route", TABLE | COMMON)
async def test_the_headers_of(route):
    """Exactly these: a nonce where one belongs, Location, Link and Retry-After, and no others of them."""
    expected = (TABLE | COMMON)[route]
    method, path = route.split(" ")
    async with running_edge() as client:
        member, parameters = await _member(client)

        answer = await _call(client, member, method, path, parameters)

        index = f'<{client.urls.directory("internal")}>;rel="index"'
        relations = [re.search(r'rel="([^"]+)"', each)[1] for each in answer.links]  # type: ignore[index]
        assert answer.status == expected.status, answer.body
        assert answer.headers.get("Content-Type", "") == expected.content_type or path == "revoke-cert"
        assert ("Replay-Nonce" in answer.headers) == expected.nonce
        assert (index in answer.links) == expected.index
        assert sorted(relations) == sorted((*expected.links, *(["index"] if expected.index else [])))
        assert (f"/acme/internal/{expected.location}/" in answer.headers.get("Location", "")) == bool(expected.location)
        assert ("Location" in answer.headers) == bool(expected.location)
        assert ("Retry-After" in answer.headers) == expected.retry_after
        if expected.retry_after:
            assert answer.headers["Retry-After"].isdigit()
            assert int(answer.headers["Retry-After"]) >= 1
        if expected.nonce:
            assert "no-store" in answer.headers["Cache-Control"]
        assert answer.headers["Server"] == "acme-ra"


@pytest.mark.parametrize("route", [route for route in TABLE if route.startswith("POST")])
async def test_every_refusal_of_a_post_has_a_nonce_and_an_index(route):
    """Whatever was wrong: the signature here."""
    path = route.split(" ")[1]
    async with running_edge() as client:
        _, parameters = await _member(client)
        filled = re.sub(r"\{(\w+)\}", lambda match: parameters[match[1]], path)

        answer = await client.send(
            client.urls.base + PREFIX + filled, {"protected": "", "payload": "", "signature": ""}
        )

        assert answer.token == "malformed"
        assert "Replay-Nonce" in answer.headers
        assert answer.links == [f'<{client.urls.directory("internal")}>;rel="index"']


@pytest.mark.parametrize(
    "route", [route for route in TABLE if route.startswith("POST") and route.replace("POST", "GET") not in TABLE]
)
async def test_no_resource_is_told_to_a_plain_get(route):
    """RFC 8555 §6.3: 405, as a problem document, with what is allowed."""
    path = route.split(" ")[1]
    async with running_edge() as client:
        _, parameters = await _member(client)
        url = client.urls.base + PREFIX + re.sub(r"\{(\w+)\}", lambda match: parameters[match[1]], path)

        answers = [await client.request(method, url) for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS")]

        for answer in answers:
            assert (answer.status, answer.token) == (405, "malformed")
            assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("path", ["directory", "new-nonce"])
async def test_what_is_fetched_plainly_is_fetched_by_post_as_get_too(path):
    """RFC 8555 §6.3: the same content, for an account's signature only, and nothing but an empty payload."""
    async with running_edge() as client:
        member = await client.register()
        url = client.urls.base + PREFIX + path

        plain, posted = await client.get(url), await member.post(url)
        filled = await member.post(url, {})
        stranger = await client.post(url, None, signer=Signer())
        wrong = await client.request("PUT", url)

        assert (posted.status, posted.body) == (plain.status, plain.body)
        assert (filled.status, filled.token) == (stranger.status, stranger.token) == (400, "malformed")
        assert (wrong.status, wrong.headers["Allow"]) == (405, "GET,HEAD,POST")


async def test_the_nonce_of_a_posted_new_nonce_is_good():
    """It is the one in the header, and there is one."""
    async with running_edge() as client:
        member = await client.register()

        answer = await member.post(client.urls.new_nonce("internal"))

        assert len(answer.headers.getall("Replay-Nonce")) == 1
        assert (await member.post(member.kid, nonce=answer.headers["Replay-Nonce"])).status == 200
