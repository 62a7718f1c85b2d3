"""JWS confusion over HTTP: each known trick is refused, spends no nonce, and reaches nothing (THREATS.md)."""

import json

import pytest

from tests.acme.client import Signer, b64, dumps, running_edge

VICTIM, ATTACKER = Signer("ES256"), Signer("ES256")


def _duplicate(header: dict, name: str, value: object) -> bytes:
    """The header's bytes with one member twice; the second is the attacker's."""
    return dumps(header)[:-1] + f', "{name}": {json.dumps(value)}'.encode() + b"}"


def _attacks(client, member, url):
    """Name → (members or bytes to send, expected token). All are about an account's own URL."""

    def header(**changes):
        return client.header(VICTIM, url, **({"kid": member.kid} | changes))

    def signed(**changes):
        return VICTIM.sign(header(**changes), b"")

    good = signed()
    plain = header()
    other = client.urls.order("internal", "1." + "A" * 16)
    return {
        "alg none": (signed(alg="none") | {"signature": ""}, "badSignatureAlgorithm"),
        "alg NONE": (signed(alg="NONE"), "badSignatureAlgorithm"),
        "no alg": (signed(alg=None), "badSignatureAlgorithm"),
        "alg as a list": (signed(alg=["ES256"]), "badSignatureAlgorithm"),
        "HS256 with the public key": (
            Signer("HS256", dumps(VICTIM.jwk)).sign(header(alg="HS256"), b""),
            "badSignatureAlgorithm",
        ),
        "RS256 for an EC account": (signed(alg="RS256"), "badSignatureAlgorithm"),
        "ES384 for a P-256 account": (signed(alg="ES384"), "badSignatureAlgorithm"),
        "crit": (signed(crit=["exp"], exp=1), "malformed"),
        "empty crit": (signed(crit=[]), "malformed"),
        "b64 false": (signed(b64=False, crit=["b64"]), "malformed"),
        "b64 alone": (signed(b64=True), "malformed"),
        "jku": (signed(jku="https://attacker.test/"), "malformed"),
        "x5u": (signed(x5u="https://attacker.test/"), "malformed"),
        "x5c": (signed(x5c=["AAAA"]), "malformed"),
        "jwk and kid": (ATTACKER.sign(header(jwk=ATTACKER.jwk), b""), "malformed"),
        "neither jwk nor kid": (VICTIM.sign(client.header(VICTIM, url, jwk=None), b""), "malformed"),
        "the attacker's jwk instead of kid": (ATTACKER.sign(client.header(ATTACKER, url), b""), "malformed"),
        "kid in the unprotected header": (
            ATTACKER.sign(client.header(ATTACKER, url, jwk=None), b"") | {"header": {"kid": member.kid}},
            "malformed",
        ),
        "an empty unprotected header": (good | {"header": {}}, "malformed"),
        "general form": (
            {"payload": "", "signatures": [{k: v for k, v in good.items() if k != "payload"}]},
            "malformed",
        ),
        "both forms": (good | {"signatures": []}, "malformed"),
        "compact form": (".".join((good["protected"], good["payload"], good["signature"])).encode(), "malformed"),
        "an array": ([good], "malformed"),
        "the attacker's signature": (ATTACKER.sign(plain, b""), "malformed"),
        "no signature": ({k: v for k, v in good.items() if k != "signature"}, "malformed"),
        "an empty signature": (good | {"signature": ""}, "malformed"),
        "a padded signature": (good | {"signature": good["signature"] + "=="}, "malformed"),
        "a padded payload": (good | {"payload": "="}, "malformed"),
        "another payload": (good | {"payload": b64(b'{"status":"deactivated"}')}, "malformed"),
        "another url": (signed(url=other), "unauthorized"),
        "url with a query": (signed(url=url + "?x=1"), "unauthorized"),
        "url of another origin": (signed(url=url.replace("ra.example", "evil.example")), "unauthorized"),
        "url in another case": (signed(url=url.upper()), "unauthorized"),
        "no url": (signed(url=None), "malformed"),
        "url as a list": (signed(url=[url]), "malformed"),
        "kid as a number": (signed(kid=1), "malformed"),
        "kid of another origin": (signed(kid=member.kid.replace("https", "http")), "accountDoesNotExist"),
        "kid of another directory": (
            signed(kid=member.kid.replace("/internal/", "/other/")),
            "accountDoesNotExist",
        ),
        "kid with a slash more": (signed(kid=member.kid + "/"), "accountDoesNotExist"),
        "kid with a fragment": (signed(kid=member.kid + "#x"), "accountDoesNotExist"),
        "kid with leading zero": (signed(kid=member.kid.replace("account/", "account/0")), "accountDoesNotExist"),
        "kid that is the bare id": (signed(kid=member.resource_id), "accountDoesNotExist"),
        "kid of nobody": (
            signed(kid=client.urls.account("internal", "99." + "A" * 16)),
            "accountDoesNotExist",
        ),
        "duplicate alg": (VICTIM.sign(_duplicate(plain, "alg", "none"), b""), "malformed"),
        "duplicate kid": (VICTIM.sign(_duplicate(plain, "kid", member.kid), b""), "malformed"),
        "duplicate payload": (dumps(good)[:-1] + b',"payload":"e30"}', "malformed"),
        "duplicate, escaped": (dumps(good)[:-1] + b',"pa\\u0079load":"e30"}', "malformed"),
        "a header that is no object": (VICTIM.sign(b'"alg"', b""), "malformed"),
        "a header that is not UTF-8": (VICTIM.sign(b'{"alg":"\xff"}', b""), "malformed"),
        "an empty header": (VICTIM.sign(b"{}", b""), "badSignatureAlgorithm"),
        "a missing nonce": (signed(nonce=None), "badNonce"),
        "a nonce that is a number": (signed(nonce=5), "badNonce"),
        "a nonce that is no base64url": (signed(nonce="not/base64url"), "malformed"),
        "a padded nonce": (signed(nonce="AA=="), "malformed"),
        "an empty nonce": (signed(nonce=""), "badNonce"),
        "an unknown nonce": (signed(nonce="A" * 38), "badNonce"),
        "an endless nonce": (signed(nonce="A" * 9000), "badNonce"),
    }


async def test_every_trick_is_refused_and_nothing_happens():
    """Refused with the right type, a fresh nonce beside it, and the account as it was."""
    async with running_edge() as client:
        member = await client.register(VICTIM)
        mistakes = []
        for name, (body, token) in _attacks(client, member, member.kid).items():
            answer = await client.send(member.kid, body)
            status = 403 if token == "unauthorized" else 400
            if (answer.status, answer.token) != (status, token) or "Replay-Nonce" not in answer.headers:
                mistakes.append((name, answer.status, answer.token, answer.json["detail"]))

        assert mistakes == []
        assert (await member.post(member.kid)).json["status"] == "valid"
        assert set(client.ra.calls) <= {"authenticate", "register"}


async def test_a_refused_signature_spends_no_nonce():
    """Only a request that verifies may use one up."""
    async with running_edge() as client:
        member = await client.register(VICTIM)
        nonce = client.nonces.issue()
        header = client.header(VICTIM, member.kid, kid=member.kid, nonce=nonce)

        forged = await client.send(member.kid, ATTACKER.sign(header, b""))
        genuine = await client.send(member.kid, VICTIM.sign(header, b""))

        assert forged.token == "malformed"
        assert genuine.status == 200


@pytest.mark.parametrize("route", ["new_order", "new_authz", "key_change"])
async def test_a_jwk_opens_no_other_route_than_new_account_and_revoke_cert(route):
    """RFC 8555 §6.2: kid for everything else."""
    async with running_edge() as client:
        await client.register(ATTACKER)
        url = getattr(client.urls, route)("internal")

        answer = await client.post(url, {"identifiers": [{"type": "dns", "value": "a.test"}]}, signer=ATTACKER)

        assert (answer.status, answer.token) == (400, "malformed")
        assert "create" not in client.ra.calls


async def test_a_kid_does_not_open_new_account():
    """RFC 8555 §7.3: newAccount is signed with jwk."""
    async with running_edge() as client:
        member = await client.register(VICTIM)

        answer = await member.post(client.urls.new_account("internal"), {})

        assert (answer.status, answer.token) == (400, "malformed")


async def test_an_account_of_one_directory_is_nobody_in_another():
    """Account spaces are separate."""
    async with running_edge() as client:
        member = await client.register(VICTIM)
        url = client.urls.new_order("other")

        answer = await member.post(url, {"identifiers": [{"type": "dns", "value": "a.test"}]})

        assert (answer.status, answer.token) == (400, "accountDoesNotExist")


async def test_the_private_key_in_a_jwk_is_refused():
    """The client is told that its key is compromised, and gets no account for it."""
    async with running_edge() as client:
        url = client.urls.new_account("internal")
        header = client.header(VICTIM, url, jwk=VICTIM.jwk | {"d": b64(b"d" * 32)})

        answer = await client.send(url, VICTIM.sign(header, b"{}"))

        assert answer.token == "badPublicKey"
        assert "register" not in client.ra.calls
