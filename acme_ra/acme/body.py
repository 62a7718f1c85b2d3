"""A request's body, as long as it is short enough and arrives in time (RFC 9110 §10.1.1, §15.5.14, §15.6.4)."""

import asyncio

from aiohttp import web

from acme_ra.acme.problems import RequestTimeout
from acme_ra.acme.settings import AcmeSettings
from acme_ra.core.clock import SECOND
from acme_ra.core.problems import PayloadTooLarge


async def read_body(request: web.BaseRequest, settings: AcmeSettings) -> bytes:
    """Raises PayloadTooLarge as soon as there is too much of it, and RequestTimeout."""
    content = request.content
    if content.is_eof():  # all of it is here, as it nearly always is
        body = content.read_nowait()
        _check_size(len(body), settings.max_body)
        return body
    _check_size(request.content_length or 0, settings.max_body)
    try:
        async with asyncio.timeout(settings.body_timeout / SECOND):
            return await _arriving(request, settings.max_body)
    except TimeoutError as error:
        raise RequestTimeout("the request's body did not arrive in time") from error


async def _arriving(request: web.BaseRequest, limit: int) -> bytes:
    if request.version == (1, 1) and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = bytearray()
    while not request.content.at_eof():
        body += await request.content.readany()
        _check_size(len(body), limit)
    return bytes(body)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise PayloadTooLarge(f"the request is too large; at most {limit} bytes are accepted")
