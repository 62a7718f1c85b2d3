"""Account key rollover (RFC 8555 §7.3.5): the old key signs the new key's signature."""

from typing import Any

import msgspec

from acme_ra.acme.http.answer import Answer
from acme_ra.acme.jwk import ALGORITHMS, VerificationKey, parse_jwk
from acme_ra.acme.jws import read_flattened
from acme_ra.acme.resources.account import account_answer
from acme_ra.acme.signed import SignedRequest
from acme_ra.acme.wire import parse_object, parse_payload
from acme_ra.core.problems import Malformed

_INNER = "the inner JWS"


class KeyChange(msgspec.Struct, frozen=True, rename="camel"):
    """The payload of the inner JWS."""

    account: str
    old_key: dict[str, Any]


async def key_change(signed: SignedRequest) -> Answer:
    """Both signatures are checked, and that both mean the same account and the same old key."""
    site, requester = signed.site, signed.account
    new_key, change = _verify_inner(signed)
    account_url = site.urls.account(site.name, requester.account.resource_id)
    if change.account != account_url:
        raise Malformed(f"{_INNER}'s account is not the account that signs the request, {account_url}")
    if parse_jwk(change.old_key).thumbprint != requester.account.thumbprint:
        raise Malformed(f"{_INNER}'s oldKey is not the present key of the account")
    new_key.check_strength()
    return account_answer(site, await site.registration.accounts.change_key(requester, new_key.account_key))


def _verify_inner(signed: SignedRequest) -> tuple[VerificationKey, KeyChange]:
    inner = read_flattened(parse_object(signed.payload, field=_INNER), algorithms=ALGORITHMS, field=_INNER)
    if "kid" in inner.header:
        raise Malformed(f"{_INNER} has kid; sign it with jwk, the new key")
    if "nonce" in inner.header:
        raise Malformed(f"{_INNER} has a nonce; leave it out (RFC 8555 §7.3.5)")
    inner.check_url(signed.url)
    new_key = inner.embedded_key()
    inner.verify(new_key)
    return new_key, parse_payload(inner.payload, KeyChange)
