"""JSON Web Signatures of requests: flattened JSON, one signature, everything protected (RFC 8555 §6.2, RFC 7515)."""

from typing import Any, Final

import msgspec

from acme_ra.acme.jwk import ALGORITHMS, VerificationKey, parse_jwk
from acme_ra.acme.wire import decode_segment, parse_object
from acme_ra.core.problems import BadNonce, BadSignatureAlgorithm, Malformed, Unauthorized

#: Header members that would bring in other rules or other keys. ACME uses none of them (RFC 8555 §6.2).
_REFUSED_MEMBERS: Final = ("crit", "b64", "jku", "x5u", "x5c", "x5t", "x5t#S256", "zip", "enc", "epk")
_MAX_HEADER: Final = 16 * 1024
MAC_ALGORITHMS: Final = ("HS256", "HS384", "HS512")


class UnsupportedAlgorithm(BadSignatureAlgorithm):
    """Carries what would be accepted, for the `algorithms` member (RFC 8555 §6.2)."""

    def __init__(self, detail: str, *, algorithms: tuple[str, ...] = ALGORITHMS) -> None:
        super().__init__(detail)
        self.algorithms = algorithms


class UnverifiedJWS(msgspec.Struct, frozen=True):
    """A JWS that has the right shape. Nothing in it is to be believed before `verify` has returned."""

    header: dict[str, Any]
    algorithm: str
    payload: bytes
    signed: bytes
    signature: bytes

    @property
    def kid(self) -> str | None:
        value = self.header.get("kid")
        return value if isinstance(value, str) else None

    def check_url(self, url: str) -> None:
        """Raises Unauthorized unless the header's url is this very one, Malformed without any (RFC 8555 §6.4)."""
        claimed = self.header.get("url")
        if not isinstance(claimed, str):
            raise Malformed(f"the protected header has no url, or not as a string; it must be {url}")
        if claimed != url:
            shown = ascii(claimed[:200])
            raise Unauthorized(f"the protected header's url is {shown}; it must be the URL of the request, {url}")

    def nonce(self) -> str:
        """The header's nonce, not yet redeemed. Raises BadNonce when there is none, and Malformed when it cannot be
        one (RFC 8555 §6.5.2)."""
        value = self.header.get("nonce")
        if not isinstance(value, str):
            raise BadNonce("the protected header has no nonce; use the Replay-Nonce of this answer")
        decode_segment(value, field="the protected header's nonce")
        return value

    def embedded_key(self) -> VerificationKey:
        """The key in `jwk`. Raises Malformed when there is none, BadPublicKey when it is not acceptable."""
        jwk = self.header.get("jwk")
        if not isinstance(jwk, dict):
            raise Malformed("the protected header needs a jwk object here")
        return parse_jwk(jwk, algorithm=self.algorithm)

    def verify(self, key: VerificationKey) -> None:
        """Raises UnsupportedAlgorithm when the algorithm is not the key's own, Malformed for a wrong signature."""
        if self.algorithm != key.algorithm:
            raise UnsupportedAlgorithm(
                f"the protected header says {self.algorithm}, but this key signs with {key.algorithm}",
                algorithms=(key.algorithm,),
            )
        key.verify(self.signature, self.signed)


def parse_jws(body: bytes) -> UnverifiedJWS:
    """Read a request's body as a signed request with exactly one of jwk and kid. Raises Malformed or
    UnsupportedAlgorithm."""
    jws = read_flattened(parse_object(body, field="the JWS"), algorithms=ALGORITHMS, field="the JWS")
    header = jws.header
    if ("jwk" in header) == ("kid" in header):
        raise Malformed("the protected header needs exactly one of jwk and kid (RFC 8555 §6.2)")
    if "kid" in header and jws.kid is None:
        raise Malformed("the protected header's kid is not a string; it is the account's URL")
    return jws


def read_flattened(members: dict[str, Any], *, algorithms: tuple[str, ...], field: str) -> UnverifiedJWS:
    """The shape that all JWS in ACME share, the inner ones of EAB and key change too."""
    if "signatures" in members:
        raise Malformed(
            f"{field} has the general form; use the flattened one with a single signature (RFC 7515 §7.2.2)"
        )
    if "header" in members:
        raise Malformed(f"{field} has an unprotected header; put everything into the protected one (RFC 8555 §6.2)")
    protected, payload, signature = members.get("protected"), members.get("payload"), members.get("signature")
    if not isinstance(protected, str) or not isinstance(payload, str) or len(protected) > _MAX_HEADER:
        raise Malformed(f"{field} needs the text members protected, payload and signature (RFC 7515 §7.2.2)")
    header = parse_object(decode_segment(protected, field=f"{field}'s protected"), field=f"{field}'s protected header")
    _check_header(header, algorithms, field)
    return UnverifiedJWS(
        header=header,
        algorithm=header["alg"],
        payload=decode_segment(payload, field=f"{field}'s payload"),
        signed=f"{protected}.{payload}".encode("ascii"),
        signature=decode_segment(signature, field=f"{field}'s signature"),
    )


def _check_header(header: dict[str, Any], algorithms: tuple[str, ...], field: str) -> None:
    for name in _REFUSED_MEMBERS:
        if name in header:
            raise Malformed(f"{field}'s protected header has {name}, which ACME does not use; remove it")
    algorithm = header.get("alg")
    if algorithm not in algorithms:
        shown = ascii(algorithm[:40]) if isinstance(algorithm, str) else "missing"
        raise UnsupportedAlgorithm(
            f"{field}'s signature algorithm is {shown}; use one of {', '.join(algorithms)}", algorithms=algorithms
        )
