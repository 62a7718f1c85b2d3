"""Renewal information (RFC 9773 §4): unauthenticated, so that monitors can ask too."""

from typing import Any

import orjson

from acme_ra.acme.dispatch import Parameters
from acme_ra.acme.http.answer import Answer
from acme_ra.acme.http.request import Request
from acme_ra.acme.site import Site
from acme_ra.core.clock import to_rfc3339


async def renewal_info(site: Site, _: Request, parameters: Parameters) -> Answer:
    window = await site.registration.renewal_info.fetch(parameters["certificate"])
    members: dict[str, Any] = {"suggestedWindow": {"start": to_rfc3339(window.start), "end": to_rfc3339(window.end)}}
    if window.explanation_url:
        members["explanationURL"] = window.explanation_url
    return site.answer(orjson.dumps(members), retry_after=max(1, window.retry_after))
