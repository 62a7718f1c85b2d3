"""Account keys as certificates would hold them, to tell when a CSR reuses one (RFC 8555 §11.1)."""

import hashlib
from functools import lru_cache
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from josepy.jwk import JWK

from acme_ra.core.encoding import parse_b64url


@lru_cache(maxsize=4096)
def key_fingerprint(jwk: bytes) -> str:
    """SHA-256 in hex of the SubjectPublicKeyInfo of a stored account key."""
    members = orjson.loads(jwk)
    if members["kty"] == "OKP":
        public = ed25519.Ed25519PublicKey.from_public_bytes(parse_b64url(members["x"], field="x"))
        spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        key: Any = JWK.from_json(members)
        spki = key.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()
