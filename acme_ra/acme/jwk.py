"""JSON Web Keys of accounts: strict parsing and RFC 7638 thumbprints (RFC 7517, RFC 7518 §6, RFC 8037, RFC 8555 §6.2).

RSA 2048, 3072 or 4096 with e = 65537; ECDSA P-256, P-384, P-521; Ed25519. Only the members that the thumbprint covers
are ever used; `alg`, `use` and `key_ops` can only make a key be refused.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from acme_ra.acme.wire import decode_segment
from acme_ra.core.encoding import b64url
from acme_ra.core.keys import PublicKey, check_public_key
from acme_ra.core.problems import BadPublicKey, BadSignatureAlgorithm, Malformed
from acme_ra.registration.accounts import AccountKey

ALGORITHMS: Final = ("RS256", "ES256", "ES384", "ES512", "EdDSA")
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_RSA_SIZES: Final = (2048, 3072, 4096)
#: crv → (curve, JWS algorithm, ECDSA's hash, bytes of a coordinate)
_CURVES: Final = {
    "P-256": (ec.SECP256R1(), "ES256", ec.ECDSA(SHA256()), 32),
    "P-384": (ec.SECP384R1(), "ES384", ec.ECDSA(SHA384()), 48),
    "P-521": (ec.SECP521R1(), "ES512", ec.ECDSA(SHA512()), 66),
}
_KINDS: Final = "use RSA 2048, 3072 or 4096, ECDSA P-256, P-384 or P-521, or Ed25519"
_PKCS1 = padding.PKCS1v15()
_SHA256 = SHA256()


class VerificationKey:
    """A loaded public key, the one JWS algorithm that it verifies, and its names."""

    __slots__ = ("_check", "_key", "account_key", "algorithm")

    def __init__(self, key: PublicKey, algorithm: str, jwk: bytes) -> None:
        self._key = key
        self.algorithm = algorithm
        self.account_key = AccountKey(thumbprint=b64url(hashlib.sha256(jwk).digest()), jwk=jwk)
        self._check = _checker(key)

    @property
    def thumbprint(self) -> str:
        return self.account_key.thumbprint

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hex of the SubjectPublicKeyInfo: how certificates name their key."""
        return hashlib.sha256(self._key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    def check_strength(self) -> None:
        """Look for known weaknesses, which takes long enough to be done for new keys only. Raises BadPublicKey."""
        check_public_key(self._key)

    def verify(self, signature: bytes, signed: bytes) -> None:
        """Raises Malformed."""
        try:
            self._check(signature, signed)
        except InvalidSignature as error:
            raise Malformed("the JWS signature does not verify with this key; sign with the account's key") from error


def _checker(key: PublicKey) -> Callable[[bytes, bytes], None]:
    """How a key checks a signature over bytes. Raises InvalidSignature, or Malformed for one of the wrong length."""
    if isinstance(key, rsa.RSAPublicKey):
        return lambda signature, signed: key.verify(signature, signed, _PKCS1, _SHA256)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key.verify
    _, algorithm, ecdsa, size = next(row for row in _CURVES.values() if row[0].name == key.curve.name)

    def check_ecdsa(signature: bytes, signed: bytes) -> None:
        """r and s, each of exactly the curve's size (RFC 7518 §3.4)."""
        if len(signature) != 2 * size:
            raise Malformed(f"an {algorithm} signature has {2 * size} bytes; this one has {len(signature)}")
        r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
        key.verify(encode_dss_signature(r, s), signed, ecdsa)

    return check_ecdsa


def parse_jwk(unverified: Mapping[str, Any], *, algorithm: str | None = None) -> VerificationKey:
    """Load the key in a JWS header or EAB payload. Raises BadPublicKey, or BadSignatureAlgorithm where the JWK is
    marked for another algorithm than `algorithm`."""
    if not _PRIVATE_MEMBERS.isdisjoint(unverified):
        raise BadPublicKey(
            "the jwk has private members and is compromised by that; make a new key and send its public half"
        )
    if unverified.get("use", "sig") != "sig" or "verify" not in _operations(unverified):
        raise BadPublicKey("the jwk is marked for another use than signatures; remove use and key_ops")
    marked = unverified.get("alg")
    if algorithm is not None and marked is not None and marked != algorithm:
        raise BadSignatureAlgorithm(f"the jwk is marked for another algorithm than the header's {algorithm}")
    return _load(_canonical(unverified))


def _operations(unverified: Mapping[str, Any]) -> list[Any]:
    operations = unverified.get("key_ops", ["verify"])
    return operations if isinstance(operations, list) else []


def stored_key(jwk: bytes) -> VerificationKey:
    """The key of an account, from the canonical JSON that registration keeps."""
    return _load(jwk)


def _canonical(unverified: Mapping[str, Any]) -> bytes:
    kind = unverified.get("kty")
    if kind == "RSA":
        names: tuple[str, ...] = ("e", "kty", "n")
    elif kind == "EC":
        names = ("crv", "kty", "x", "y")
    elif kind == "OKP":
        names = ("crv", "kty", "x")
    else:
        raise BadPublicKey(f"the jwk's kty is not accepted; {_KINDS}")
    required = {name: unverified.get(name) for name in names}
    if not all(isinstance(value, str) and len(value) <= 1024 for value in required.values()):
        raise BadPublicKey(f"a jwk of type {kind} needs the text members {', '.join(names)}")
    return orjson.dumps(required, option=orjson.OPT_SORT_KEYS)


@lru_cache(maxsize=4096)
def _load(jwk: bytes) -> VerificationKey:
    members = orjson.loads(jwk)
    try:
        if members["kty"] == "RSA":
            return VerificationKey(_load_rsa(members), "RS256", jwk)
        if members["kty"] == "EC":
            return _load_ec(members, jwk)
        if members["crv"] != "Ed25519":
            raise BadPublicKey(f"the jwk's crv is not accepted; {_KINDS}")
        raw = decode_segment(members["x"], field="jwk member x")
        return VerificationKey(ed25519.Ed25519PublicKey.from_public_bytes(raw), "EdDSA", jwk)
    except Malformed as problem:
        raise BadPublicKey(problem.detail) from problem
    except ValueError as error:
        raise BadPublicKey("the jwk is not a valid public key: its point or numbers are out of range") from error


def _load_rsa(members: dict[str, str]) -> rsa.RSAPublicKey:
    modulus = decode_segment(members["n"], field="jwk member n")
    exponent = decode_segment(members["e"], field="jwk member e")
    if modulus[:1] == b"\0" or not modulus:
        raise BadPublicKey("jwk member n has leading zero bytes; write it without them (RFC 7518 §2)")
    number = int.from_bytes(modulus, "big")
    if number.bit_length() not in _RSA_SIZES:
        raise BadPublicKey(f"the RSA key has {number.bit_length()} bits; {_KINDS}")
    if exponent != b"\x01\x00\x01":
        raise BadPublicKey("the RSA key's exponent is not accepted; use 65537, written AQAB")
    return rsa.RSAPublicNumbers(65537, number).public_key()


def _load_ec(members: dict[str, str], jwk: bytes) -> VerificationKey:
    known = _CURVES.get(members["crv"])
    if known is None:
        raise BadPublicKey(f"the jwk's crv is not accepted; {_KINDS}")
    curve, algorithm, _, size = known
    x = decode_segment(members["x"], field="jwk member x")
    y = decode_segment(members["y"], field="jwk member y")
    if len(x) != size or len(y) != size:
        raise BadPublicKey(f"coordinates of {members['crv']} have {size} bytes each (RFC 7518 §6.2.1)")
    # The library checks that the point is on the curve.
    key = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve).public_key()
    return VerificationKey(key, algorithm, jwk)
