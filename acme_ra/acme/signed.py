"""From an HTTP request to a verified one (RFC 8555 §6.2 to §6.5). The order of the steps is part of the protocol:

1. cheap checks of the request, 2. the shape of the JWS and its URL, 3. the account, 4. the signature,
5. throttling, 6. the nonce. What is refused before step 6 keeps its nonce, so that the same bytes may be sent again;
a RateLimited from the registration gives it back for the same reason.
"""

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from acme_ra.acme.body import read_body
from acme_ra.acme.dispatch import Parameters
from acme_ra.acme.http.request import Request
from acme_ra.acme.jwk import VerificationKey, stored_key
from acme_ra.acme.jws import UnverifiedJWS, parse_jws
from acme_ra.acme.problems import AccountNotUsable
from acme_ra.acme.site import Site
from acme_ra.acme.wire import parse_payload
from acme_ra.core.problems import AccountDoesNotExist, Malformed, Unauthorized, UnsupportedMediaType
from acme_ra.registration.accounts import Requester

T = TypeVar("T")
_CONTENT_TYPE = "application/jose+json"
_PLAIN_TYPE = _CONTENT_TYPE.encode()
_NO_QUERY: Mapping[str, str] = {}


class SignedRequest(msgspec.Struct, frozen=True):
    """A request whose signature and nonce were good. `requester` is None when it was signed with a jwk."""

    site: Site
    url: str
    key: VerificationKey
    payload: bytes
    parameters: Parameters
    query: Mapping[str, str]
    accept: str
    requester: Requester | None

    @property
    def account(self) -> Requester:
        """The account that signed. Routes that call this accept only kid."""
        assert self.requester is not None
        return self.requester

    def read(self, kind: type[T]) -> T:
        """The payload as typed members. Raises Malformed."""
        return parse_payload(self.payload, kind)

    def expect_post_as_get(self) -> None:
        """Raises Malformed unless the payload is empty (RFC 8555 §6.3)."""
        if self.payload:
            raise Malformed("this resource is fetched by POST-as-GET; send an empty payload (RFC 8555 §6.3)")


async def receive(site: Site, request: Request) -> tuple[UnverifiedJWS, str]:
    """Steps 1 and 2: the JWS and the URL that it was sent to. Raises Problem."""
    # Nearly all clients send exactly this; the rest is parsed, for it may have parameters.
    if request.headers.get(b"content-type") != _PLAIN_TYPE and _media_type(request) != _CONTENT_TYPE:
        raise UnsupportedMediaType(f"the Content-Type must be {_CONTENT_TYPE} (RFC 8555 §6.2)")
    if request.headers.get(b"content-encoding", b"identity") != b"identity":
        raise UnsupportedMediaType("compressed requests are not accepted; send no Content-Encoding")
    jws = parse_jws(await read_body(request, site.settings))
    url = site.urls.base + request.target
    jws.check_url(url)
    return jws, url


def _media_type(request: Request) -> str:
    return request.header(b"content-type").partition(";")[0].strip().lower()


async def authenticate(site: Site, jws: UnverifiedJWS) -> tuple[Requester, VerificationKey]:
    """Steps 3 and 4 for a request signed by an account. Raises Problem."""
    kid = jws.kid
    if kid is None:
        raise Malformed("sign this request with kid, your account's URL; jwk is for newAccount and revokeCert only")
    if not kid.startswith(site.account_prefix):
        raise AccountDoesNotExist(f"kid is not the URL of an account here; those begin with {site.account_prefix}")
    try:
        requester = await site.registration.accounts.authenticate(site.directory, kid[len(site.account_prefix) :])
    except Unauthorized as problem:
        raise AccountNotUsable(problem.detail, subproblems=problem.subproblems) from problem
    if kid != site.account_prefix + requester.account.resource_id:
        raise AccountDoesNotExist("kid is not exactly the account's URL; use the Location that newAccount gave")
    key = stored_key(requester.account.jwk)
    jws.verify(key)
    return requester, key


def embedded_key(jws: UnverifiedJWS) -> VerificationKey:
    """Step 4 for a request that brings its key along. Raises Problem."""
    if jws.kid is not None:
        raise Malformed("sign this request with jwk, the public key itself; kid is for existing accounts")
    key = jws.embedded_key()
    jws.verify(key)
    return key


def assemble(
    site: Site,
    request: Request,
    parameters: Parameters,
    jws: UnverifiedJWS,
    url: str,
    key: VerificationKey,
    requester: Requester | None,
) -> SignedRequest:
    return SignedRequest(
        site=site,
        url=url,
        key=key,
        payload=jws.payload,
        parameters=parameters,
        query=dict(parse_qsl(request.target.partition("?")[2])) if "?" in url else _NO_QUERY,
        accept=request.header(b"accept"),
        requester=requester,
    )
