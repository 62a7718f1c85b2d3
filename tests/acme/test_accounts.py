"""Accounts over HTTP (RFC 8555 §7.3)."""

import pytest
from yarl import URL

from acme_ra.acme.jwk import VerificationKey
from acme_ra.core.problems import BadPublicKey
from tests.acme.client import Signer, dumps, running_edge
from tests.acme.fake import credential, fake_registration

SECRET = b"s" * 32


def binding(signer: Signer, url: str, *, kid: str = "kid-1", secret: bytes = SECRET) -> dict[str, str]:
    return Signer("HS256", secret).sign({"alg": "HS256", "kid": kid, "url": url}, dumps(signer.jwk))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
async def test_every_kind_of_key_registers_and_signs(algorithm):
    """201 with Location, then requests by kid."""
    async with running_edge() as client:
        signer = Signer(algorithm)
        url = client.urls.new_account("internal")

        made = await client.post(url, {"contact": ["mailto:a@b.test"]}, signer=signer)
        fetched = await client.post(made.headers["Location"], None, signer=signer, kid=made.headers["Location"])

        assert made.status == 201
        assert fetched.json == made.json
        assert made.json["contact"] == ["mailto:a@b.test"]
        assert made.json["status"] == "valid"


async def test_a_fresh_client_looks_for_its_account_without_a_binding():
    """Every cert-manager does this first: 400 accountDoesNotExist, even where a binding is required."""
    async with running_edge(fake_registration(external_account_required=True)) as client:
        url = client.urls.new_account("internal")

        answer = await client.post(url, {"onlyReturnExisting": True}, signer=Signer())

        assert (answer.status, answer.token) == (400, "accountDoesNotExist")
        assert client.ra.calls == []


async def test_an_account_that_exists_is_returned_and_not_changed():
    """200 with its URL; a binding that comes along, good or broken, is harmless."""
    async with running_edge() as client:
        signer = Signer()
        member = await client.register(signer, contact=["mailto:a@b.test"])
        url = client.urls.new_account("internal")

        for payload in (
            {},
            {"onlyReturnExisting": True},
            {"contact": ["mailto:other@b.test"], "termsOfServiceAgreed": True, "unknown": {"x": 1}},
            {"externalAccountBinding": binding(signer, url)},
            {"externalAccountBinding": {"broken": True}},
        ):
            answer = await client.post(url, payload, signer=signer)
            assert (answer.status, answer.headers["Location"]) == (200, member.kid)
            assert answer.json["contact"] == ["mailto:a@b.test"]


async def test_a_binding_makes_an_account_and_comes_back_in_it():
    """RFC 8555 §7.1.2: the account shows what it was bound with."""
    ra = fake_registration(external_account_required=True)
    ra.credentials["kid-1"] = (credential("kid-1"), SECRET)
    async with running_edge(ra) as client:
        signer, url = Signer(), client.urls.new_account("internal")
        bound = binding(signer, url)

        refused = await client.post(url, {"termsOfServiceAgreed": True}, signer=signer)
        made = await client.post(url, {"externalAccountBinding": bound}, signer=signer)

        assert (refused.status, refused.token) == (403, "externalAccountRequired")
        assert made.status == 201
        assert made.json["externalAccountBinding"] == bound
        assert next(iter(ra.stored_accounts.values())).credential_id == 7


async def test_a_binding_for_another_url_key_or_secret_makes_no_account():
    """And unknown key ids cannot be told from wrong MACs."""
    ra = fake_registration(external_account_required=True)
    ra.credentials["kid-1"] = (credential("kid-1"), SECRET)
    async with running_edge(ra) as client:
        signer, url = Signer(), client.urls.new_account("internal")
        other = client.urls.new_account("other")

        async def attempt(bound: dict[str, str]):
            return await client.post(url, {"externalAccountBinding": bound}, signer=signer)

        unknown = await attempt(binding(signer, url, kid="kid-2"))
        wrong = await attempt(binding(signer, url, secret=b"x" * 32))
        foreign_url = await attempt(binding(signer, other))
        foreign_key = await attempt(binding(Signer(), url))

        assert (unknown.status, unknown.token) == (wrong.status, wrong.token) == (403, "unauthorized")
        assert unknown.json["detail"] == wrong.json["detail"]
        assert (foreign_url.status, foreign_key.status) == (403, 400)
        assert ra.stored_accounts == {}


async def test_terms_must_be_agreed_and_are_linked():
    """RFC 8555 §7.3.3: 403 userActionRequired, a Link to the terms, and instance."""
    async with running_edge(fake_registration(terms_of_service="https://t.test/v1")) as client:
        answer = await client.post(client.urls.new_account("internal"), {}, signer=Signer())

        assert (answer.status, answer.token) == (403, "userActionRequired")
        assert '<https://t.test/v1>;rel="terms-of-service"' in answer.links
        assert answer.json["instance"] == "https://t.test/v1"


async def test_contacts_are_replaced_and_an_empty_update_changes_nothing():
    """RFC 8555 §7.3.2; unknown members and orders are ignored."""
    async with running_edge() as client:
        member = await client.register(contact=["mailto:a@b.test"])

        same = await member.post(member.kid, {"orders": "https://evil.test/", "termsOfServiceAgreed": True})
        changed = await member.post(member.kid, {"contact": ["mailto:c@b.test"]})
        removed = await member.post(member.kid, {"contact": []})

        assert same.json["contact"] == ["mailto:a@b.test"]
        assert changed.json["contact"] == ["mailto:c@b.test"]
        assert removed.json["contact"] == []


@pytest.mark.parametrize("status", ["revoked", "pending", "valid", ""])
async def test_an_account_can_only_deactivate_itself(status):
    """Any other status is ignored, and what comes beside it is not (RFC 8555 §7.3.2)."""
    async with running_edge() as client:
        member = await client.register(contact=["mailto:a@b.test"])

        same = await member.post(member.kid, {"status": status})
        changed = await member.post(member.kid, {"status": status, "contact": ["mailto:c@b.test"]})

        assert (same.status, same.json["status"], same.json["contact"]) == (200, "valid", ["mailto:a@b.test"])
        assert (changed.status, changed.json["status"], changed.json["contact"]) == (200, "valid", ["mailto:c@b.test"])


async def test_the_orders_list_is_followed_to_its_end():
    """Every order once, over pages linked by next."""
    async with running_edge() as client:
        member = await client.register()
        placed = [(await member.new_order()).headers["Location"] for _ in range(5)]
        url, seen = (await member.post(member.kid)).json["orders"], []

        while url:
            page = await member.post(url)
            seen += page.json["orders"]
            following = [each for each in page.links if each.endswith('rel="next"')]
            url = following[0][1:].split(">")[0] if following else ""

        assert seen == placed


@pytest.mark.parametrize("cursor", ["x", "-1", "1e3", "٣", "9" * 30, "1;drop"])
async def test_a_cursor_that_is_not_ours_is_refused(cursor):
    """As malformed, with the way out."""
    async with running_edge() as client:
        member = await client.register()
        url = str(URL(f"{member.kid}/orders").with_query(cursor=cursor))

        answer = await member.post(url)

        assert (answer.status, answer.token) == (400, "malformed")


async def test_a_weak_key_gets_no_account(monkeypatch):
    """The slow checks run for new accounts."""

    def weak(_: VerificationKey) -> None:
        raise BadPublicKey("this RSA key is weak (roca); make a new one")

    monkeypatch.setattr(VerificationKey, "check_strength", weak)
    async with running_edge() as client:
        answer = await client.post(client.urls.new_account("internal"), {}, signer=Signer())

        assert (answer.status, answer.token) == (400, "badPublicKey")
        assert client.ra.stored_accounts == {}
