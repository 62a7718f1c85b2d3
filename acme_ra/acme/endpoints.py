"""How each kind of route is called: signed by an account, by a key, by either, or fetched plainly (RFC 8555 §6.2)."""

from collections.abc import Awaitable, Callable

from acme_ra.acme.dispatch import HTTPHandler, Parameters
from acme_ra.acme.http.answer import Answer
from acme_ra.acme.http.request import Request
from acme_ra.acme.jwk import VerificationKey
from acme_ra.acme.jws import UnverifiedJWS
from acme_ra.acme.signed import SignedRequest, assemble, authenticate, embedded_key, receive
from acme_ra.acme.site import Site
from acme_ra.core.problems import RateLimited
from acme_ra.registration.accounts import Requester

SignedHandler = Callable[[SignedRequest], Awaitable[Answer]]
PlainHandler = Callable[[Site, Request, Parameters], Awaitable[Answer]]
Verifier = Callable[[Site, UnverifiedJWS], Awaitable[tuple[Requester | None, VerificationKey]]]


async def _by_account(site: Site, jws: UnverifiedJWS) -> tuple[Requester | None, VerificationKey]:
    return await authenticate(site, jws)


async def _by_key(_: Site, jws: UnverifiedJWS) -> tuple[Requester | None, VerificationKey]:
    return None, embedded_key(jws)


async def _by_either(site: Site, jws: UnverifiedJWS) -> tuple[Requester | None, VerificationKey]:
    return await (_by_key(site, jws) if jws.kid is None else _by_account(site, jws))


def _post(handler: SignedHandler, verify: Verifier) -> Callable[[Site], HTTPHandler]:
    def bind(site: Site) -> HTTPHandler:
        async def handle(request: Request, parameters: Parameters) -> Answer:
            jws, url = await receive(site, request)
            nonce = jws.nonce()
            requester, key = await verify(site, jws)
            # An account is throttled under its verified name: nobody can use up another one's share.
            who = key.thumbprint
            site.limits.enter_account(who)
            try:
                await site.nonces.redeem(nonce)
                try:
                    return await handler(assemble(site, request, parameters, jws, url, key, requester))
                except RateLimited:
                    # Nothing was touched, so that the same bytes may be sent again, as after a throttle above.
                    site.nonces.restore(nonce)
                    raise
            finally:
                site.limits.account.leave(who)

        return handle

    return bind


def by_account(handler: SignedHandler) -> Callable[[Site], HTTPHandler]:
    """A route for requests signed with kid."""
    return _post(handler, _by_account)


def by_key(handler: SignedHandler) -> Callable[[Site], HTTPHandler]:
    """A route for requests signed with jwk: newAccount."""
    return _post(handler, _by_key)


def by_either(handler: SignedHandler) -> Callable[[Site], HTTPHandler]:
    """A route for both: revokeCert (RFC 8555 §7.6)."""
    return _post(handler, _by_either)


def plain(handler: PlainHandler) -> Callable[[Site], HTTPHandler]:
    """A route without a signature."""

    def bind(site: Site) -> HTTPHandler:
        async def handle(request: Request, parameters: Parameters) -> Answer:
            return await handler(site, request, parameters)

        return handle

    return bind
