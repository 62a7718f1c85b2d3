"""Account keys for tests."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from acme_ra.core.encoding import b64url, canonical_json
from acme_ra.registration.accounts import AccountKey


def account_key_of(key: ec.EllipticCurvePrivateKey) -> AccountKey:
    """The account key of a P-256 private key: RFC 7638 thumbprint and canonical JWK."""
    numbers = key.public_key().public_numbers()
    jwk = canonical_json(
        {
            "crv": "P-256",
            "kty": "EC",
            "x": b64url(numbers.x.to_bytes(32, "big")),
            "y": b64url(numbers.y.to_bytes(32, "big")),
        }
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(jwk)
    return AccountKey(b64url(digest.finalize()), jwk)
