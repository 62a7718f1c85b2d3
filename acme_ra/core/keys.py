"""Public keys: which are accepted, and their names in policy and profiles (RFC 8555 §11.1, RFC 7638).

RSA 2048, 3072 and 4096 with e = 65537 and no known weakness; ECDSA P-256 and P-384; Ed25519. P-521 for accounts only.
"""

import hashlib
from enum import StrEnum
from functools import lru_cache

import msgspec
from badkeys.checks import checkrsa
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from acme_ra.core.problems import BadPublicKey

WEAK_RSA_CHECKS = ("fermat", "roca", "smallfactors", "sharedprimes", "rsainvalid")


class KeyAlgorithm(StrEnum):
    """A key's algorithm and size, as policy documents and profiles write it."""

    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"
    ECDSA_P256 = "ecdsa-p256"
    ECDSA_P384 = "ecdsa-p384"
    ECDSA_P521 = "ecdsa-p521"
    ED25519 = "ed25519"


LEAF_ALGORITHMS = frozenset(KeyAlgorithm) - {KeyAlgorithm.ECDSA_P521}
_CURVES = {
    "secp256r1": KeyAlgorithm.ECDSA_P256,
    "secp384r1": KeyAlgorithm.ECDSA_P384,
    "secp521r1": KeyAlgorithm.ECDSA_P521,
}
_RSA_SIZES = {2048: KeyAlgorithm.RSA_2048, 3072: KeyAlgorithm.RSA_3072, 4096: KeyAlgorithm.RSA_4096}

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class SubjectKey(msgspec.Struct, frozen=True):
    """A checked public key: `spki` is DER SubjectPublicKeyInfo, `fingerprint` its SHA-256 in hex."""

    algorithm: KeyAlgorithm
    spki: bytes
    fingerprint: str


def check_public_key(unverified: object) -> SubjectKey:
    """Classify a loaded public key. Raises BadPublicKey with the reason and what is accepted."""
    if isinstance(unverified, ec.EllipticCurvePublicKey):
        curve = _CURVES.get(unverified.curve.name)
        if curve is None:
            raise BadPublicKey(f"curve {unverified.curve.name} is not accepted; use P-256 or P-384")
        algorithm = curve
    elif isinstance(unverified, rsa.RSAPublicKey):
        numbers = unverified.public_numbers()
        algorithm = _check_rsa(numbers.n, numbers.e)
    elif isinstance(unverified, ed25519.Ed25519PublicKey):
        algorithm = KeyAlgorithm.ED25519
    else:
        raise BadPublicKey("this type of key is not accepted; use ECDSA P-256 or P-384, RSA 2048 to 4096, or Ed25519")
    spki = unverified.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SubjectKey(algorithm, spki, hashlib.sha256(spki).hexdigest())


@lru_cache(maxsize=1024)
def _check_rsa(modulus: int, exponent: int) -> KeyAlgorithm:
    size = modulus.bit_length()
    if size not in _RSA_SIZES:
        raise BadPublicKey(f"RSA keys of {size} bits are not accepted; use 2048, 3072 or 4096")
    if exponent != 65537:
        raise BadPublicKey(f"RSA exponent {exponent if exponent < 1 << 64 else 'too large'} is not accepted; use 65537")
    findings = checkrsa(modulus, exponent, checks=WEAK_RSA_CHECKS)  # type: ignore[no-untyped-call]
    if findings:
        raise BadPublicKey(f"this RSA key is weak ({', '.join(sorted(findings))}); make a new one")
    return _RSA_SIZES[size]
