"""Authorizations: newAuthz, fetch, deactivation (RFC 8555 §7.4.1, §7.5, RFC 9444 §4.2)."""

import msgspec

from acme_ra.acme.http.answer import Answer
from acme_ra.acme.rendering import render_authorization
from acme_ra.acme.signed import SignedRequest
from acme_ra.acme.site import Site
from acme_ra.core.objects import Authorization
from acme_ra.core.problems import Malformed
from acme_ra.core.status import AuthorizationStatus, ChallengeStatus


class WantedIdentifier(msgspec.Struct, frozen=True, rename="camel"):
    type: str
    value: str
    subdomain_auth_allowed: bool | None = None


class NewAuthz(msgspec.Struct, frozen=True):
    identifier: WantedIdentifier


class AuthorizationUpdate(msgspec.Struct, frozen=True):
    status: str | None = None


def processing(authorization: Authorization) -> bool:
    """Whether a validation is under way, so that asking again soon makes sense."""
    return authorization.status == AuthorizationStatus.PENDING and any(
        challenge.status == ChallengeStatus.PROCESSING for challenge in authorization.challenges
    )


def authorization_answer(
    site: Site, authorization: Authorization, *, status: int = 200, located: bool = False
) -> Answer:
    return site.answer(
        render_authorization(site.urls, site.name, authorization),
        status=status,
        location=site.urls.authorization(site.name, authorization.resource_id) if located else "",
        retry_after=site.settings.poll_seconds if processing(authorization) else 0,
    )


async def new_authz(signed: SignedRequest) -> Answer:
    """Authorize a name before there is an order: 201 always (RFC 8555 §7.4.1), also when the authorization exists."""
    site, wanted = signed.site, signed.read(NewAuthz).identifier
    authorization, _ = await site.registration.authorizations.create(
        signed.account,
        identifier_type=wanted.type,
        identifier_value=wanted.value,
        subdomains=bool(wanted.subdomain_auth_allowed),
    )
    return authorization_answer(site, authorization, status=201, located=True)


async def authorization(signed: SignedRequest) -> Answer:
    """Fetch by POST-as-GET, or deactivate (RFC 8555 §7.5.2)."""
    site, wanted = signed.site, signed.parameters["authorization"]
    authorizations = site.registration.authorizations
    if not signed.payload:
        return authorization_answer(site, await authorizations.fetch(signed.account, wanted))
    if signed.read(AuthorizationUpdate).status != AuthorizationStatus.DEACTIVATED:
        raise Malformed('the payload must be empty (POST-as-GET) or have status "deactivated" (RFC 8555 §7.5.2)')
    return authorization_answer(site, await authorizations.deactivate(signed.account, wanted))
