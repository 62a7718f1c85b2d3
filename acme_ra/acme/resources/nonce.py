"""newNonce (RFC 8555 §7.2)."""

from aiohttp import web

from acme_ra.acme.answer import Answer
from acme_ra.acme.dispatch import Parameters
from acme_ra.acme.signed import SignedRequest
from acme_ra.acme.site import Site


async def new_nonce(site: Site, request: web.BaseRequest, _: Parameters) -> Answer:
    """HEAD answers 200 and GET 204; caches must keep neither."""
    response = _empty(site, 200 if request.method == "HEAD" else 204)
    response.headers["Replay-Nonce"] = site.nonces.issue()
    response.headers["Cache-Control"] = "no-store"
    return response


async def new_nonce_by_post(signed: SignedRequest) -> Answer:
    """POST-as-GET (RFC 8555 §6.3). The nonce is the one that every answer to a POST has."""
    signed.expect_post_as_get()
    return _empty(signed.site, 204)


def _empty(site: Site, status: int) -> Answer:
    answer = site.answer(b"", status=status)
    answer.headers.popall("Content-Type")
    return answer
