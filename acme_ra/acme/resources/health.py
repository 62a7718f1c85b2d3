"""Liveness and readiness for whoever runs the server; no part of ACME."""

from collections.abc import Awaitable, Callable

from acme_ra.acme.dispatch import HTTPHandler, Parameters
from acme_ra.acme.http.answer import Answer
from acme_ra.acme.http.request import Request
from acme_ra.acme.site import JSON

#: Raises a Problem, best ServiceUnavailable, while requests could not be served.
Readiness = Callable[[], Awaitable[None]]


async def healthz(_: Request, __: Parameters) -> Answer:
    """The process answers."""
    return Answer(b'{"status":"ok"}', JSON)


def bind_readyz(ready: Readiness | None) -> HTTPHandler:
    async def readyz(_: Request, __: Parameters) -> Answer:
        if ready is not None:
            await ready()
        return Answer(b'{"status":"ready"}', JSON)

    return readyz
