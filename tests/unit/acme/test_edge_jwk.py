"""JWKs: which keys are accepted, and their thumbprints."""

import json

import josepy
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from acme_ra.acme.jwk import parse_jwk, stored_key
from acme_ra.core.problems import BadPublicKey, BadSignatureAlgorithm
from tests.acme.client import Signer, b64

ALGORITHMS = ["RS256", "ES256", "ES384", "ES512", "EdDSA"]
EC256 = Signer("ES256").jwk
RSA = Signer("RS256").jwk
OKP = Signer("EdDSA").jwk


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_kind_of_key_is_named_by_its_thumbprint(algorithm):
    """RFC 7638, also after a round through what registration stores; other members do not count."""
    signer = Signer(algorithm)

    key = parse_jwk(signer.jwk | {"alg": algorithm, "use": "sig", "kid": "x"}, algorithm=algorithm)

    assert key.thumbprint == signer.thumbprint
    assert stored_key(key.account_key.jwk) is key
    assert key.algorithm == algorithm
    key.check_strength()


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512"])
def test_thumbprints_agree_with_josepy(algorithm):
    """josepy is the oracle for RFC 7638."""
    jwk = Signer(algorithm).jwk

    oracle = josepy.JWK.from_json(jwk).thumbprint()

    assert parse_jwk(jwk).thumbprint == b64(oracle)


def _rsa(bits: int, exponent: int = 65537) -> dict[str, str]:
    numbers = rsa.generate_private_key(exponent, bits).public_key().public_numbers()
    return {
        "kty": "RSA",
        "n": b64(numbers.n.to_bytes(bits // 8, "big")),
        "e": b64(numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")),
    }


def _k1() -> dict[str, str]:
    numbers = ec.generate_private_key(ec.SECP256K1()).public_key().public_numbers()
    x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
    return {"kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y)}


REFUSED = {
    "symmetric": {"kty": "oct", "k": b64(b"k" * 32)},
    "symmetric without its key": {"kty": "oct"},
    "no kty": {key: value for key, value in EC256.items() if key != "kty"},
    "kty in another case": EC256 | {"kty": "ec"},
    "private EC": EC256 | {"d": b64(b"d" * 32)},
    "private RSA": RSA | {"p": b64(b"p" * 128)},
    "private OKP": OKP | {"d": b64(b"d" * 32)},
    "for encryption": EC256 | {"use": "enc"},
    "for encryption by key_ops": EC256 | {"key_ops": ["encrypt"]},
    "key_ops of another type": EC256 | {"key_ops": "verify"},
    "RSA 1024": _rsa(1024),
    "RSA 2047": RSA | {"n": b64((1 << 2046 | 1).to_bytes(256, "big"))},
    "RSA 3 bits": RSA | {"n": "BQ"},
    "RSA with exponent 3": RSA | {"e": "Aw"},
    "RSA with a huge exponent": RSA | {"e": RSA["n"]},
    "RSA with exponent written long": RSA | {"e": "AAEAAQ"},
    "RSA with leading zeros": RSA | {"n": b64(b"\0" + int.to_bytes(1 << 2047 | 1, 256, "big"))},
    "RSA without n": {"kty": "RSA", "e": "AQAB"},
    "RSA with an empty n": RSA | {"n": ""},
    "RSA of 16384 bits": RSA | {"n": b64(b"\xff" * 2048)},
    "secp256k1": EC256 | {"crv": "secp256k1"},
    "a point of secp256k1 as P-256": _k1(),
    "a point off the curve": EC256 | {"y": EC256["x"]},
    "the point at infinity": EC256 | {"x": b64(bytes(32)), "y": b64(bytes(32))},
    "a coordinate beyond the field": EC256 | {"x": b64(b"\xff" * 32)},
    "a coordinate without leading zeros": EC256 | {"x": b64(b"x" * 31)},
    "a coordinate that is too long": EC256 | {"x": b64(b"\0" + b"x" * 32)},
    "P-256 coordinates as P-384": EC256 | {"crv": "P-384"},
    "coordinates that are numbers": EC256 | {"x": 5},
    "coordinates that are not base64url": EC256 | {"x": "!" * 43},
    "X25519": OKP | {"crv": "X25519"},
    "Ed448": OKP | {"crv": "Ed448"},
    "Ed25519 of 31 bytes": OKP | {"x": b64(b"x" * 31)},
    "Ed25519 with padding": OKP | {"x": OKP["x"] + "="},
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_key_that_is_not_acceptable_is_refused(name):
    """Always as badPublicKey, always with a text."""
    with pytest.raises(BadPublicKey) as caught:
        parse_jwk(REFUSED[name])

    assert caught.value.detail


def test_a_jwk_marked_for_another_algorithm_is_refused():
    """The mark can only narrow."""
    with pytest.raises(BadSignatureAlgorithm):
        parse_jwk(RSA | {"alg": "PS256"}, algorithm="RS256")


def test_a_weak_rsa_key_is_found_when_it_is_registered():
    """Close primes (Fermat) load, but do not get an account."""
    p = _next_prime(1 << 1023 | 0x123456789 << 900)
    q = _next_prime(p + 2)
    n = p * q
    jwk = {"kty": "RSA", "e": "AQAB", "n": b64(n.to_bytes((n.bit_length() + 7) // 8, "big"))}
    if n.bit_length() != 2048:
        p = _next_prime(3 << 1022 | 0x123456789)
        n = p * _next_prime(p + 2)
        jwk["n"] = b64(n.to_bytes(256, "big"))
    key = parse_jwk(json.loads(json.dumps(jwk)))

    with pytest.raises(BadPublicKey, match="weak"):
        key.check_strength()


def _next_prime(start: int) -> int:
    candidate = start | 1
    while pow(2, candidate - 1, candidate) != 1:
        candidate += 2
    return candidate
