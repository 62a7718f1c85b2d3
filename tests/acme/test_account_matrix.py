"""Account × route: what belongs to one account is 403 or 404 for every other, on every route (THREATS.md)."""

import re

import pytest

from tests.acme.client import EdgeClient, Member, Signer, b64, running_edge
from tests.acme.test_headers import PREFIX, TABLE

#: Routes that name no resource, and what therefore protects them.
UNOWNED = {
    "POST directory": "everybody's",
    "POST new-nonce": "everybody's",
    "POST new-account": "makes one's own account",
    "POST new-order": "makes one's own order",
    "POST new-authz": "makes one's own authorization",
    "POST revoke-cert": "asks registration who may",
    "POST key-change": "names the account inside; see test_key_change",
}
OWNED = [route for route in TABLE if route.startswith("POST") and route not in UNOWNED]


async def _victim(client: EdgeClient) -> tuple[Member, dict[str, str]]:
    victim = await client.register()
    order = await victim.new_order()
    _, certificate = await victim.issue()
    return victim, {
        "account": victim.resource_id,
        "order": order.headers["Location"].rsplit("/", 1)[1],
        "authorization": order.json["authorizations"][0].rsplit("/", 1)[1],
        "challenge": "http-01",
        "certificate": certificate.rsplit("/", 1)[1],
        "alternate": "1",
    }


PAYLOADS = {
    "order/{order}/finalize": [{"csr": b64(b"csr")}],
    "account/{account}": [None, {"status": "deactivated"}, {"contact": ["mailto:thief@evil.test"]}],
    "authz/{authorization}": [None, {"status": "deactivated"}],
    "challenge/{authorization}/{challenge}": [None, {}],
}


@pytest.mark.parametrize("route", OWNED)
async def test_another_accounts_resource_is_refused_on(route):
    """With every payload that the route knows; nothing of the victim changes."""
    path = route.split(" ")[1]
    async with running_edge() as client:
        victim, parameters = await _victim(client)
        thief = await client.register(Signer())
        before = (dict(client.ra.stored_accounts), dict(client.ra.stored_orders), dict(client.ra.stored_authorizations))
        url = client.urls.base + PREFIX + re.sub(r"\{(\w+)\}", lambda match: parameters[match[1]], path)

        for payload in PAYLOADS.get(path, [None]):
            answer = await thief.post(url, payload)
            assert answer.status in (403, 404), answer.body
            assert victim.signer.thumbprint not in answer.body.decode()

        after = (client.ra.stored_accounts, client.ra.stored_orders, client.ra.stored_authorizations)
        assert after == before


@pytest.mark.parametrize("route", OWNED)
async def test_a_guessed_id_is_refused_on(route):
    """A right row with a wrong secret, rows that are not there, and texts that are no ids: 403 or 404, never 500."""
    path = route.split(" ")[1]
    async with running_edge() as client:
        victim, parameters = await _victim(client)
        for guess in ("1." + "A" * 16, "999999." + "A" * 16, "1", "..", "1.%00", "x" * 300, "1'--", "%2e%2e%2f"):
            filled = parameters | {"account": guess, "order": guess, "authorization": guess, "certificate": guess}
            url = client.urls.base + PREFIX + re.sub(r"\{(\w+)\}", lambda match, f=filled: f[match[1]], path)
            answer = await victim.post(url, PAYLOADS.get(path, [None])[0])
            assert answer.status in (400, 403, 404), (guess, answer.body)
            assert answer.token == "malformed" or answer.status == 403


async def test_a_stranger_may_not_revoke_by_its_account():
    """Registration refuses; its word is passed on as 403."""
    async with running_edge() as client:
        await _victim(client)
        thief = await client.register(Signer())

        answer = await thief.post(client.urls.revoke_cert("internal"), {"certificate": b64(b"DER")})

        assert (answer.status, answer.token) == (403, "unauthorized")
        assert client.ra.revocations == []


async def test_a_deactivated_account_opens_nothing():
    """RFC 8555 §7.3.6: 401 unauthorized, on every route that takes a kid."""
    async with running_edge() as client:
        victim, parameters = await _victim(client)
        assert (await victim.post(victim.kid, {"status": "deactivated"})).json["status"] == "deactivated"
        client.ra.calls.clear()

        for route in TABLE:
            path = route.split(" ")[1]
            if not route.startswith("POST") or path == "new-account":
                continue
            url = client.urls.base + PREFIX + re.sub(r"\{(\w+)\}", lambda match: parameters[match[1]], path)
            answer = await victim.post(url, {})
            assert (answer.status, answer.token) == (401, "unauthorized"), path

        again = await client.post(client.urls.new_account("internal"), {}, signer=victim.signer)
        assert (again.status, again.token) == (401, "unauthorized")
        assert set(client.ra.calls) == {"authenticate"}
