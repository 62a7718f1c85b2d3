"""newNonce (RFC 8555 §7.2)."""

from acme_ra.acme.dispatch import Parameters
from acme_ra.acme.http.answer import Answer
from acme_ra.acme.http.request import Request
from acme_ra.acme.signed import SignedRequest
from acme_ra.acme.site import Site


async def new_nonce(site: Site, request: Request, _: Parameters) -> Answer:
    """HEAD answers 200 and GET 204; caches must keep neither."""
    answer = _empty(site, 200 if request.method == "HEAD" else 204)
    answer.add("Replay-Nonce", site.nonces.issue())
    answer.add("Cache-Control", "no-store")
    return answer


async def new_nonce_by_post(signed: SignedRequest) -> Answer:
    """POST-as-GET (RFC 8555 §6.3). The nonce is the one that every answer to a POST has."""
    signed.expect_post_as_get()
    return _empty(signed.site, 204)


def _empty(site: Site, status: int) -> Answer:
    return Answer(b"", site.index, status=status)
