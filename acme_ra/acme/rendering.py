"""Core objects as RFC JSON: accounts, orders, authorizations, challenges (RFC 8555 §7.1, RFC 9444, RFC 9773)."""

from typing import Any

import orjson

from acme_ra.acme.problems import render_stored
from acme_ra.core.clock import to_rfc3339
from acme_ra.core.objects import Account, Authorization, Challenge, Order
from acme_ra.core.status import AuthorizationStatus, ChallengeStatus
from acme_ra.core.urls import Urls
from acme_ra.registration.directories import Directory


def render_directory(urls: Urls, directory: Directory) -> bytes:
    """The directory object (RFC 8555 §7.1.1). It is the same for the life of the process."""
    name, settings = directory.name, directory.settings
    # Clients read these as text, lists and maps: what there is none of is left out and never null.
    meta: dict[str, Any] = {
        "externalAccountRequired": settings.external_account_required,
        "profiles": {profile: str(description) for profile, description in settings.profiles.items()},
        "caaIdentities": list(settings.caa_identities),
        "termsOfService": settings.terms_of_service,
        "website": settings.website,
        "subdomainAuthAllowed": True,
    }
    return orjson.dumps(
        {
            "newNonce": urls.new_nonce(name),
            "newAccount": urls.new_account(name),
            "newOrder": urls.new_order(name),
            "newAuthz": urls.new_authz(name),
            "revokeCert": urls.revoke_cert(name),
            "keyChange": urls.key_change(name),
            "renewalInfo": urls.renewal_info(name),
            "meta": {member: value for member, value in meta.items() if value not in (None, "", [], {})},
        },
        option=orjson.OPT_INDENT_2,
    )


def render_account(urls: Urls, account: Account) -> bytes:
    """The account object (RFC 8555 §7.1.2), with the external account binding that it was made with."""
    members: dict[str, Any] = {
        "status": account.status,
        "contact": account.contacts,
        "orders": urls.orders(account.directory, account.resource_id),
    }
    if account.eab is not None:
        members["externalAccountBinding"] = orjson.Fragment(account.eab)
    return orjson.dumps(members)


def render_order(urls: Urls, order: Order) -> bytes:
    """The order object (RFC 8555 §7.1.3)."""
    name = order.directory
    members: dict[str, Any] = {
        "status": order.status,
        "expires": to_rfc3339(order.expires_at),
        "identifiers": [{"type": each.type, "value": each.value} for each in order.identifiers],
        "authorizations": [urls.authorization(name, each) for each in order.authorizations],
        "finalize": urls.finalize(name, order.resource_id),
    }
    if order.not_before is not None:
        members["notBefore"] = to_rfc3339(order.not_before)
    if order.not_after is not None:
        members["notAfter"] = to_rfc3339(order.not_after)
    if order.profile:
        members["profile"] = order.profile
    if order.replaces:
        members["replaces"] = order.replaces
    if order.error is not None:
        members["error"] = render_stored(order.error)
    if order.certificate:
        members["certificate"] = urls.certificate(name, order.certificate)
    return orjson.dumps(members)


def render_authorization(urls: Urls, directory: str, authorization: Authorization) -> bytes:
    """The authorization object (RFC 8555 §7.1.4); `wildcard` is absent unless true."""
    identifier = authorization.identifier
    members: dict[str, Any] = {
        "status": authorization.status,
        "expires": to_rfc3339(authorization.expires_at),
        "identifier": {"type": identifier.type, "value": identifier.value},
        "challenges": [_challenge(urls, directory, authorization, each) for each in _shown(authorization)],
    }
    if authorization.wildcard:
        members["wildcard"] = True
    if authorization.subdomains:
        members["subdomainAuthAllowed"] = True
    return orjson.dumps(members)


def render_challenge(urls: Urls, directory: str, authorization: Authorization, challenge: Challenge) -> bytes:
    """The challenge object (RFC 8555 §8)."""
    return orjson.dumps(_challenge(urls, directory, authorization, challenge))


def _shown(authorization: Authorization) -> tuple[Challenge, ...]:
    """Of a finished authorization, the challenge that succeeded or those that failed (RFC 8555 §7.1.4)."""
    wanted = {
        AuthorizationStatus.VALID: ChallengeStatus.VALID,
        AuthorizationStatus.INVALID: ChallengeStatus.INVALID,
    }.get(authorization.status)
    told = tuple(each for each in authorization.challenges if each.status == wanted)
    return told or authorization.challenges


def _challenge(urls: Urls, directory: str, authorization: Authorization, challenge: Challenge) -> dict[str, Any]:
    members: dict[str, Any] = {
        "type": challenge.type,
        "url": urls.challenge(directory, authorization.resource_id, challenge.type),
        "status": challenge.status,
        "token": authorization.token,
    }
    if challenge.validated_at is not None:
        members["validated"] = to_rfc3339(challenge.validated_at)
    if challenge.error is not None:
        members["error"] = render_stored(challenge.error)
    return members
