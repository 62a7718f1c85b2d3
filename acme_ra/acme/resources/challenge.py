"""Challenges: fetch, and the client's word that it is ready (RFC 8555 §7.5.1)."""

import msgspec

from acme_ra.acme.http.answer import Answer
from acme_ra.acme.rendering import render_challenge
from acme_ra.acme.resources.authorization import processing
from acme_ra.acme.signed import SignedRequest
from acme_ra.acme.site import link
from acme_ra.core.problems import NotFound


class ChallengeResponse(msgspec.Struct, frozen=True):
    """`{}`: the key authorization is computed here, whatever a client sends (RFC 8555 §8.1)."""


async def challenge(signed: SignedRequest) -> Answer:
    site, wanted, kind = signed.site, signed.parameters["authorization"], signed.parameters["challenge"]
    authorizations = site.registration.authorizations
    if signed.payload:
        signed.read(ChallengeResponse)
        authorization = await authorizations.respond(signed.account, wanted, kind)
    else:
        authorization = await authorizations.fetch_challenge(signed.account, wanted, kind)
    found = next((each for each in authorization.challenges if each.type == kind), None)
    if found is None:
        raise NotFound("this authorization has no such challenge")
    return site.answer(
        render_challenge(site.urls, site.name, authorization, found),
        links=(link(site.urls.authorization(site.name, authorization.resource_id), "up"),),
        retry_after=site.settings.poll_seconds if processing(authorization) else 0,
    )
