"""Orders, authorizations, challenges, certificates and revocation over HTTP (RFC 8555 §7.4 to §7.6)."""

import hashlib

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from acme_ra.core.problems import CAAForbids, RejectedIdentifier, Subproblem
from acme_ra.core.status import OrderStatus
from tests.acme.client import Signer, b64, running_edge
from tests.acme.fake import LEAF


async def test_from_order_to_certificate():
    """The whole way of a client, with Location on finalize's answer."""
    async with running_edge() as client:
        member = await client.register()

        order = await member.new_order("a.test", "*.b.test", profile="default", replaces="AAAA.AQ")
        authorization = await member.post(order.json["authorizations"][1])
        done = await member.post(order.json["finalize"], {"csr": b64(b"csr")})
        fetched = await member.post(done.headers["Location"])
        certificate = await member.post(done.json["certificate"])

        assert order.status == 201
        assert order.json["profile"] == "default"
        assert order.json["replaces"] == "AAAA.AQ"
        assert authorization.json["identifier"] == {"type": "dns", "value": "b.test"}
        assert authorization.json["wildcard"] is True
        assert done.headers["Location"] == order.headers["Location"]
        assert fetched.json == done.json
        assert certificate.body.count(b"BEGIN CERTIFICATE") == 2


async def test_everything_of_new_order_reaches_registration():
    """ancestorDomain, notBefore, notAfter; unknown members do not."""
    async with running_edge() as client:
        member = await client.register()
        identifiers = [
            {"type": "dns", "value": "x.a.test", "ancestorDomain": "a.test", "new": 1},
            {"type": "ip", "value": "192.0.2.1"},
        ]

        answer = await member.post(
            client.urls.new_order("internal"),
            {"identifiers": identifiers, "notBefore": "2027-01-01T00:00:00Z", "notAfter": None, "more": []},
        )

        [wanted] = client.ra.new_orders
        assert answer.status == 201
        assert wanted.identifiers == (("dns", "x.a.test"), ("ip", "192.0.2.1"))
        assert wanted.ancestors == {"x.a.test": "a.test"}
        assert (wanted.not_before, wanted.not_after) == ("2027-01-01T00:00:00Z", None)


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "identifiers"),
        ({"identifiers": "a.test"}, "identifiers"),
        ({"identifiers": [{"type": "dns"}]}, "value"),
        ({"identifiers": ["a.test"]}, "identifiers"),
        ({"identifiers": [], "notBefore": 5}, "notBefore"),
        ([], "payload"),
        (None, "payload"),
    ],
)
async def test_a_wrong_payload_is_told_with_its_field(payload, field):
    """A developer sees what to fix."""
    async with running_edge() as client:
        member = await client.register()

        answer = await member.post(client.urls.new_order("internal"), payload)

        assert (answer.status, answer.token) == (400, "malformed")
        assert field in answer.json["detail"]


async def test_a_refusal_is_403_with_a_subproblem_per_name():
    """What cert-manager shows to the person, at newOrder, at the authorization and at finalize."""
    async with running_edge() as client:
        member = await client.register()
        order = await member.new_order()
        refusal = RejectedIdentifier(
            "policy shop allows no pay.test", subproblems=(Subproblem("rejectedIdentifier", "no", "dns", "pay.test"),)
        )
        for url, payload in (
            (client.urls.new_order("internal"), {"identifiers": [{"type": "dns", "value": "pay.test"}]}),
            (order.json["finalize"], {"csr": b64(b"csr")}),
        ):
            client.ra.fail = None
            raised = _after_authentication(client, refusal)
            answer = await member.post(url, payload)
            raised()

            assert (answer.status, answer.token) == (403, "rejectedIdentifier")
            assert answer.json["subproblems"][0]["identifier"]["value"] == "pay.test"


def _after_authentication(client, failure):
    """Make the next call after `authenticate` fail; returns what undoes it."""
    original = client.ra.called

    def called(name: str) -> None:
        if name != "authenticate":
            raise failure
        original(name)

    client.ra.called = called

    def undo() -> None:
        client.ra.called = original

    return undo


@pytest.mark.parametrize(
    ("outcome", "status", "retry"),
    [
        (OrderStatus.VALID, "valid", False),
        (OrderStatus.PROCESSING, "processing", True),
        (OrderStatus.INVALID, "invalid", False),
    ],
)
async def test_finalize_tells_what_became_of_the_order(outcome, status, retry):
    """Retry-After while it is processed; the error where it failed."""
    async with running_edge() as client:
        member = await client.register()
        client.ra.finalized_as = outcome
        order = await member.new_order()

        answer = await member.post(order.json["finalize"], {"csr": b64(b"csr")})

        assert (answer.status, answer.json["status"]) == (200, status)
        assert ("Retry-After" in answer.headers) == retry
        assert ("error" in answer.json) == (status == "invalid")
        assert answer.headers["Location"] == order.headers["Location"]


async def test_a_pending_order_that_is_fetched_says_when_to_look_again():
    """RFC 8555 §7.4; what newOrder answers needs no second look, nor does a ready order."""
    async with running_edge() as client:
        member = await client.register()
        ready = await member.new_order()
        client.ra.pending = True
        made = await member.new_order()

        fetched = await member.post(made.headers["Location"])
        done = await member.post(ready.headers["Location"])

        assert (made.json["status"], fetched.json["status"], done.json["status"]) == ("pending", "pending", "ready")
        assert fetched.headers["Retry-After"] == "1"
        assert "Retry-After" not in made.headers
        assert "Retry-After" not in done.headers


async def test_an_order_that_is_not_ready_is_403():
    """RFC 8555 §7.4: orderNotReady."""
    async with running_edge() as client:
        client.ra.pending = True
        member = await client.register()
        order = await member.new_order()

        answer = await member.post(order.json["finalize"], {"csr": b64(b"csr")})

        assert (answer.status, answer.token) == (403, "orderNotReady")


async def test_a_csr_with_padding_is_refused_with_the_rule():
    """RFC 8555 §7.4 wants base64url without padding."""
    async with running_edge() as client:
        member = await client.register()
        order = await member.new_order()

        answer = await member.post(order.json["finalize"], {"csr": "AAA="})

        assert "csr" in answer.json["detail"]
        assert answer.status == 400


async def test_a_challenge_is_fetched_and_answered():
    """POST-as-GET starts nothing; {} does, and Retry-After says when to look again."""
    async with running_edge() as client:
        client.ra.pending = True
        member = await client.register()
        order = await member.new_order()
        authorization = await member.post(order.json["authorizations"][0])
        challenge = authorization.json["challenges"][0]

        looked = await member.post(challenge["url"])
        answered = await member.post(challenge["url"], {"keyAuthorization": "old clients send this"})
        waiting = await member.post(order.json["authorizations"][0])

        assert (looked.json["status"], answered.json["status"]) == ("pending", "processing")
        assert "Retry-After" not in authorization.headers
        assert answered.headers["Retry-After"] == waiting.headers["Retry-After"] == "1"
        assert (await member.post(challenge["url"] + "x")).status == 404


async def test_an_authorization_is_deactivated():
    """RFC 8555 §7.5.2; any other status is refused."""
    async with running_edge() as client:
        member = await client.register()
        order = await member.new_order()
        url = order.json["authorizations"][0]

        wrong = await member.post(url, {"status": "valid"})
        done = await member.post(url, {"status": "deactivated"})

        assert (wrong.status, wrong.token) == (400, "malformed")
        assert (done.status, done.json["status"]) == (200, "deactivated")


async def test_a_pre_authorization_is_made_once():
    """201 with Location, and again with the same (RFC 8555 §7.4.1, RFC 9444 §4.2)."""
    async with running_edge() as client:
        member = await client.register()
        wanted = {"identifier": {"type": "dns", "value": "a.test", "subdomainAuthAllowed": True}}

        made = await member.post(client.urls.new_authz("internal"), wanted)
        again = await member.post(client.urls.new_authz("internal"), wanted)

        assert (made.status, again.status) == (201, 201)
        assert made.headers["Location"] == again.headers["Location"]
        assert made.json["subdomainAuthAllowed"] is True


async def test_alternate_chains_are_linked_one_a_line():
    """Each chain links to all others; what is not there is 404."""
    async with running_edge() as client:
        member = await client.register()
        _, url = await member.issue()

        default = await member.post(url)
        second = await member.post(f"{url}/2")
        missing = [(await member.post(f"{url}/{number}")).status for number in ("3", "0", "01", "x", "-1")]

        assert [each for each in default.links if "alternate" in each] == [
            f'<{url}/1>;rel="alternate"',
            f'<{url}/2>;rel="alternate"',
        ]
        assert f'<{url}>;rel="alternate"' in second.links
        assert missing == [404] * 5


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("", 200),
        ("*/*", 200),
        ("application/pem-certificate-chain", 200),
        ("application/pkix-cert, */*;q=0.1", 200),
        ("application/*", 200),
        ("application/pkix-cert", 406),
        ("text/html, image/png", 406),
    ],
)
async def test_accept_matters_only_when_it_excludes(accept, status):
    """Most clients send none, or a wide one."""
    async with running_edge() as client:
        member = await client.register()
        _, url = await member.issue()

        assert (await member.post(url, accept=accept)).status == status


async def test_revocation_by_account_and_by_the_certificates_key():
    """200 with an empty body; the key is named by its fingerprint (RFC 8555 §7.6)."""
    async with running_edge() as client:
        member, key = await client.register(), Signer()
        await member.issue()
        url = client.urls.revoke_cert("internal")

        by_account = await member.post(url, {"certificate": b64(LEAF), "reason": 4})
        again = await member.post(url, {"certificate": b64(LEAF)})
        first = client.ra.revocations.pop()
        by_key = await client.post(url, {"certificate": b64(LEAF), "reason": 1}, signer=key)
        second = client.ra.revocations.pop()

        assert (by_account.status, by_account.body) == (200, b"")
        assert (again.status, again.token) == (400, "alreadyRevoked")
        assert (first["der"], first["reason"], first["fingerprint"]) == (LEAF, 4, None)
        assert by_key.status == 200
        spki = key.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert (second["requester"], second["fingerprint"]) == (None, hashlib.sha256(spki).hexdigest())


@pytest.mark.parametrize("reason", [True, "1", 1.5, [1]])
async def test_a_reason_is_a_number(reason):
    """And a boolean is none."""
    async with running_edge() as client:
        member = await client.register()

        answer = await member.post(client.urls.revoke_cert("internal"), {"certificate": "AA", "reason": reason})

        assert (answer.status, answer.token) == (400, "malformed")
        assert client.ra.revocations == []


async def test_caa_is_403_with_the_names():
    """The subproblems tell which names."""
    async with running_edge() as client:
        member = await client.register()
        order = await member.new_order()
        _after_authentication(client, CAAForbids("CAA", subproblems=(Subproblem("caa", "no", "dns", "a.test"),)))

        answer = await member.post(order.json["finalize"], {"csr": b64(b"csr")})

        assert (answer.status, answer.token) == (403, "caa")
