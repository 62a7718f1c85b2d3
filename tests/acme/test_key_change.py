"""Account key rollover (RFC 8555 §7.3.5)."""

from typing import Any

import pytest

from tests.acme.client import Answer, EdgeClient, Member, Signer, dumps, running_edge


async def change(
    client: EdgeClient,
    member: Member,
    *,
    new: Signer | None = None,
    inner_header: dict[str, Any] | None = None,
    payload: dict[str, Any] | None = None,
    inner_signer: Signer | None = None,
) -> Answer:
    """A good key change, unless told otherwise; a header member of None is left out."""
    url = client.urls.key_change("internal")
    new = new or Signer()
    header = {"alg": new.algorithm, "jwk": new.jwk, "url": url} | (inner_header or {})
    header = {name: value for name, value in header.items() if value is not None}
    members = {"account": member.kid, "oldKey": member.signer.jwk} | (payload or {})
    return await member.post(url, (inner_signer or new).sign(header, dumps(members)))


async def test_after_a_key_change_only_the_new_key_works():
    """Both signatures good: the account object with its URL; the old key is refused."""
    async with running_edge() as client:
        member, new = await client.register(), Signer("ES384")

        answer = await change(client, member, new=new, payload={"oldKey": member.signer.jwk | {"alg": "ES256"}})
        by_old = await member.post(member.kid)
        by_new = await client.post(member.kid, None, signer=new, kid=member.kid)

        assert (answer.status, answer.headers["Location"]) == (200, member.kid)
        assert (by_old.status, by_old.token) == (400, "badSignatureAlgorithm")
        assert by_new.status == 200


async def test_a_key_that_has_an_account_is_a_conflict_with_its_location():
    """409, and Location names the account that holds the key; the own key too."""
    async with running_edge() as client:
        member, holder = await client.register(), await client.register()

        taken = await change(client, member, new=holder.signer)
        own = await change(client, member, new=member.signer)

        assert (taken.status, taken.token, taken.headers["Location"]) == (409, "malformed", holder.kid)
        assert (own.status, own.headers["Location"]) == (409, member.kid)


OTHER = Signer()
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "the inner one signed with the old key": ({"inner_signer": OTHER}, "malformed"),
    "an inner nonce": ({"inner_header": {"nonce": "abc"}}, "malformed"),
    "an inner kid": ({"inner_header": {"kid": "abc"}}, "malformed"),
    "no inner jwk": ({"inner_header": {"jwk": None}}, "malformed"),
    "another inner url": ({"inner_header": {"url": "https://ra.example.test/acme/other/key-change"}}, "unauthorized"),
    "no inner url": ({"inner_header": {"url": None}}, "malformed"),
    "inner none": ({"inner_header": {"alg": "none"}}, "badSignatureAlgorithm"),
    "inner crit": ({"inner_header": {"crit": ["x"]}}, "malformed"),
    "another account": ({"payload": {"account": "https://ra.example.test/acme/internal/account/1.x"}}, "malformed"),
    "another old key": ({"payload": {"oldKey": OTHER.jwk}}, "malformed"),
    "an old key that is text": ({"payload": {"oldKey": "x"}}, "malformed"),
    "a private old key": ({"payload": {"oldKey": OTHER.jwk | {"d": "AAAA"}}}, "badPublicKey"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_key_change_is_refused_for(name):
    """Each rule by itself; the account keeps its key."""
    arguments, token = REFUSED[name]
    async with running_edge() as client:
        member = await client.register()

        answer = await change(client, member, **arguments)

        assert (answer.status, answer.token) == (403 if token == "unauthorized" else 400, token)
        assert "change_key" not in client.ra.calls


async def test_the_outer_signature_must_be_the_accounts_own():
    """A new key alone moves nothing."""
    async with running_edge() as client:
        member, thief = await client.register(), Signer()
        url = client.urls.key_change("internal")
        inner = thief.sign(
            {"alg": "ES256", "jwk": thief.jwk, "url": url}, dumps({"account": member.kid, "oldKey": member.signer.jwk})
        )

        answer = await client.post(url, inner, signer=thief, kid=member.kid)

        assert (answer.status, answer.token) == (400, "malformed")
        assert "change_key" not in client.ra.calls
