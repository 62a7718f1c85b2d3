"""A request's body, as long as it is short enough and arrives in time (RFC 9110 §10.1.1, §15.5.14, §15.6.4)."""

import asyncio

from acme_ra.acme.http.request import Request
from acme_ra.acme.problems import RequestTimeout
from acme_ra.acme.settings import AcmeSettings
from acme_ra.core.clock import SECOND
from acme_ra.core.problems import Malformed, PayloadTooLarge


async def read_body(request: Request, settings: AcmeSettings) -> bytes:
    """Raises PayloadTooLarge as soon as there is too much of it, Malformed where it cannot be read, RequestTimeout."""
    if request.complete:  # as it nearly always is
        _check_size(len(request.body), settings.max_body)
        return bytes(request.body)
    _check_size(request.content_length, settings.max_body)
    try:
        async with asyncio.timeout(settings.body_timeout / SECOND):
            return await _arriving(request, settings.max_body)
    except TimeoutError as error:
        raise RequestTimeout("the request's body did not arrive in time") from error


async def _arriving(request: Request, limit: int) -> bytes:
    request.go_on()
    while not request.complete:
        if request.broken:
            raise Malformed("the request's body ended too early, or is not framed as HTTP/1.1 wants")
        await request.more()
        _check_size(len(request.body), limit)
    return bytes(request.body)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise PayloadTooLarge(f"the request is too large; at most {limit} bytes are accepted")
