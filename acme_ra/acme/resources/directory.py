"""The directory (RFC 8555 §7.1.1): rendered once, the same bytes for everybody."""

from acme_ra.acme.dispatch import HTTPHandler, Parameters
from acme_ra.acme.http.answer import Answer
from acme_ra.acme.http.request import Request
from acme_ra.acme.rendering import render_directory
from acme_ra.acme.signed import SignedRequest
from acme_ra.acme.site import JSON, Site


def bind_directory(site: Site) -> HTTPHandler:
    body = render_directory(site.urls, site.directory)

    async def directory(_: Request, __: Parameters) -> Answer:
        return Answer(body, JSON)

    return directory


async def directory_by_post(signed: SignedRequest) -> Answer:
    """The same by POST-as-GET (RFC 8555 §6.3). It too is the one answer without `Link: rel="index"` (§7.1)."""
    signed.expect_post_as_get()
    return Answer(render_directory(signed.site.urls, signed.site.directory), JSON)
