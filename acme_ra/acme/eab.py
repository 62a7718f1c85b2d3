"""External account binding: a MAC that ties a new account to a credential (RFC 8555 §7.3.4)."""

import hashlib
import hmac
from typing import Any, Final

import structlog

from acme_ra.acme.jwk import VerificationKey, parse_jwk
from acme_ra.acme.jws import MAC_ALGORITHMS, read_flattened
from acme_ra.acme.wire import parse_object
from acme_ra.core.encoding import canonical_json
from acme_ra.core.objects import Credential
from acme_ra.core.problems import Malformed, Unauthorized
from acme_ra.registration.accounts import Accounts
from acme_ra.registration.directories import Directory

_HASHES: Final = dict(zip(MAC_ALGORITHMS, (hashlib.sha256, hashlib.sha384, hashlib.sha512), strict=True))
_MAX_KID: Final = 256
_MIN_SECRET: Final = 32
#: One text for a key id that does not exist and for a MAC that is wrong: guessing learns nothing.
_REFUSED: Final = (
    "the external account binding is not accepted: its key id is unknown, or its MAC does not match; "
    "check the key id and the HMAC key (base64url, unpadded), or ask for a new credential"
)
_NO_SECRET: Final = bytes(_MIN_SECRET)

log = structlog.get_logger(__name__)


async def verify_binding(
    unverified: dict[str, Any], *, accounts: Accounts, directory: Directory, key: VerificationKey, url: str
) -> tuple[Credential, bytes]:
    """Check an `externalAccountBinding` against the key that signed the request.

    Returns the credential and the binding's JSON, which the account object shows. `url` is newAccount's.
    Raises Malformed, UnsupportedAlgorithm, or Unauthorized.
    """
    field = "externalAccountBinding"
    jws = read_flattened(unverified, algorithms=MAC_ALGORITHMS, field=field)
    jws.check_url(url)
    if "nonce" in jws.header:
        raise Malformed(f"{field}'s protected header has a nonce; leave it out (RFC 8555 §7.3.4)")
    kid = jws.kid
    if kid is None or "jwk" in jws.header or not 0 < len(kid) <= _MAX_KID or not kid.isprintable():
        raise Malformed(f"{field}'s protected header needs kid, the key id of your credential, and no jwk")
    bound = parse_jwk(parse_object(jws.payload, field=f"{field}'s payload"))
    if bound.thumbprint != key.thumbprint:
        raise Malformed(f"{field}'s payload is another key than the one that signs this request (RFC 8555 §7.3.4)")
    # The MAC is computed for an unknown key id too, so that both refusals take the same steps.
    try:
        credential, secret = await accounts.eab_secret(directory, kid)
    except Unauthorized as error:
        hmac.digest(_NO_SECRET, jws.signed, _HASHES[jws.algorithm])
        log.info("external account binding refused", kid=kid, directory=directory.name, reason=error.detail)
        raise Unauthorized(_REFUSED) from error
    expected = hmac.digest(secret, jws.signed, _HASHES[jws.algorithm])
    if not hmac.compare_digest(expected, jws.signature) or len(secret) < _MIN_SECRET:
        log.info("external account binding refused", kid=kid, directory=directory.name, reason="wrong MAC or short key")
        raise Unauthorized(_REFUSED)
    echo = {name: unverified[name] for name in ("payload", "protected", "signature")}
    return credential, canonical_json(echo)
