"""Core objects as RFC JSON."""

import json
from typing import Any

import msgspec
import pytest

from acme_ra.acme.rendering import (
    render_account,
    render_authorization,
    render_challenge,
    render_directory,
    render_order,
)
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.objects import Account, Authorization, Challenge, Order, StoredError
from acme_ra.core.status import AccountStatus, AuthorizationStatus, ChallengeStatus, OrderStatus
from acme_ra.core.urls import Urls
from tests.acme.fake import NOW, fake_registration, secret_of

URLS = Urls("https://ra.example.test/")


def directory(**settings: Any) -> Any:
    return json.loads(render_directory(URLS, fake_registration(**settings).directories["internal"]))


def test_an_empty_meta_member_is_left_out():
    """Clients read these as text, lists and maps: null breaks them."""
    meta = directory()["meta"]

    assert meta == {
        "externalAccountRequired": False,
        "profiles": {"default": "for servers"},
        "subdomainAuthAllowed": True,
    }


def test_a_full_meta_has_every_member():
    """RFC 8555 §9.7.6, RFC 9444, the profiles draft."""
    meta = directory(
        external_account_required=True,
        terms_of_service="https://t.test/",
        website="https://w.test/",
        caa_identities=["ca.test"],
    )["meta"]

    assert meta["externalAccountRequired"] is True
    assert meta["termsOfService"] == "https://t.test/"
    assert meta["website"] == "https://w.test/"
    assert meta["caaIdentities"] == ["ca.test"]
    assert all(isinstance(value, str) for value in meta["profiles"].values())


def test_the_directory_names_every_resource():
    """RFC 8555 §7.1.1 and RFC 9773 §4."""
    urls = directory()

    assert {name for name in urls if name != "meta"} == {
        "newNonce", "newAccount", "newOrder", "newAuthz", "revokeCert", "keyChange", "renewalInfo"
    }  # fmt: skip
    assert all(urls[name].startswith("https://ra.example.test/acme/internal/") for name in urls if name != "meta")


ACCOUNT = Account(
    id=5,
    secret=secret_of(5),
    directory="internal",
    thumbprint="secret-thumbprint",
    jwk=b"{}",
    status=AccountStatus.VALID,
    contacts=("mailto:a@b.test",),
    credential_id=9,
    eab=b'{"payload":"p","protected":"q","signature":"s"}',
    created_at=NOW,
)


def test_an_account_shows_its_own_and_nothing_else():
    """The binding comes back as it was sent; internals do not."""
    shown = json.loads(render_account(URLS, ACCOUNT))

    assert set(shown) == {"status", "contact", "orders", "externalAccountBinding"}
    assert shown["externalAccountBinding"]["payload"] == "p"
    assert shown["orders"].endswith("/orders")


ORDER = Order(
    id=2,
    secret=secret_of(2),
    directory="internal",
    account_id=5,
    status=OrderStatus.PENDING,
    identifiers=(Identifier(IdentifierType.DNS, "*.a.test"), Identifier(IdentifierType.IP, "2001:db8::1")),
    authorizations=("3.x", "4.y"),
    not_before=None,
    not_after=None,
    profile="",
    replaces="",
    workload=None,
    created_at=NOW,
    expires_at=NOW,
)


def test_a_plain_order_has_the_required_members_only():
    """Nothing is null."""
    shown = json.loads(render_order(URLS, ORDER))

    assert set(shown) == {"status", "expires", "identifiers", "authorizations", "finalize"}
    assert shown["identifiers"] == [{"type": "dns", "value": "*.a.test"}, {"type": "ip", "value": "2001:db8::1"}]


def test_a_full_order_echoes_what_was_asked():
    """notBefore, notAfter, profile, replaces; certificate and error when there are any."""
    full = msgspec.structs.replace(
        ORDER,
        not_before=NOW,
        not_after=NOW,
        profile="default",
        replaces="AAAA.AQ",
        certificate="9.z",
        error=StoredError("caa", "no"),
    )

    shown = json.loads(render_order(URLS, full))

    assert shown["notBefore"] == shown["notAfter"] == "2027-01-15T08:00:00Z"
    assert shown["profile"] == "default"
    assert shown["replaces"] == "AAAA.AQ"
    assert shown["certificate"] == URLS.certificate("internal", "9.z")
    assert shown["error"]["type"] == "urn:ietf:params:acme:error:caa"


AUTHORIZATION = Authorization(
    id=3,
    secret=secret_of(3),
    account_id=5,
    order_id=2,
    identifier=Identifier(IdentifierType.DNS, "a.test"),
    wildcard=False,
    subdomains=False,
    scope="internal-scope",
    status=AuthorizationStatus.PENDING,
    token="tok",
    challenges=(Challenge("http-01"), Challenge("dns-01")),
    created_at=NOW,
    expires_at=NOW,
    due_at=None,
)


def shown_authorization(**changes: Any) -> Any:
    changed = msgspec.structs.replace(AUTHORIZATION, **changes)
    return json.loads(render_authorization(URLS, "internal", changed))


def test_wildcard_is_absent_unless_true():
    """RFC 8555 §7.1.4: MUST be absent otherwise."""
    assert "wildcard" not in shown_authorization()
    assert shown_authorization(wildcard=True)["wildcard"] is True
    assert shown_authorization(subdomains=True)["subdomainAuthAllowed"] is True


@pytest.mark.parametrize(
    ("status", "challenge", "types"),
    [
        (AuthorizationStatus.PENDING, ChallengeStatus.PENDING, ["http-01", "dns-01"]),
        (AuthorizationStatus.VALID, ChallengeStatus.VALID, ["dns-01"]),
        (AuthorizationStatus.INVALID, ChallengeStatus.INVALID, ["dns-01"]),
        (AuthorizationStatus.DEACTIVATED, ChallengeStatus.VALID, ["http-01", "dns-01"]),
    ],
)
def test_a_finished_authorization_shows_what_finished_it(status, challenge, types):
    """RFC 8555 §7.1.4."""
    challenges = (Challenge("http-01"), Challenge("dns-01", status=challenge))

    shown = shown_authorization(status=status, challenges=challenges)

    assert [each["type"] for each in shown["challenges"]] == types


def test_an_authorization_granted_by_policy_has_an_empty_list():
    """The member is there: clients iterate over it."""
    assert shown_authorization(status=AuthorizationStatus.VALID, challenges=())["challenges"] == []


def test_a_challenge_tells_when_it_succeeded_or_why_not():
    """RFC 8555 §8."""
    failed = Challenge("http-01", status=ChallengeStatus.INVALID, error=StoredError("connection", "refused"))
    done = Challenge("http-01", status=ChallengeStatus.VALID, validated_at=NOW)

    error = json.loads(render_challenge(URLS, "internal", AUTHORIZATION, failed))
    valid = json.loads(render_challenge(URLS, "internal", AUTHORIZATION, done))

    assert error["error"]["detail"] == "refused"
    assert "validated" not in error
    assert valid["validated"] == "2027-01-15T08:00:00Z"
    assert valid["url"] == URLS.challenge("internal", AUTHORIZATION.resource_id, "http-01")
