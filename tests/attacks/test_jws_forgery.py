"""What josepy signs is accepted, and nothing that differs from it by one character (RFC 8555 §6.2)."""

import json
from functools import cache

import josepy
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from hypothesis import given, settings
from hypothesis import strategies as st

from acme_ra.acme.jwk import parse_jwk
from acme_ra.acme.jws import parse_jws
from acme_ra.core.problems import Problem
from tests.acme.client import Signer, b64, dumps

HASHES = {32: SHA256(), 48: SHA384(), 66: SHA512()}
URL = "https://ra.example.test/acme/internal/new-account"


class Header(josepy.Header):
    """josepy's header with ACME's members, as the `acme` library makes it."""

    nonce: str | None = josepy.field("nonce", omitempty=True)
    url: str | None = josepy.field("url", omitempty=True)


class Signature(josepy.Signature):
    header_cls = Header
    __slots__ = josepy.Signature._orig_slots
    header: Header = josepy.field("header", omitempty=True, default=header_cls(), decoder=header_cls.from_json)


class JWS(josepy.JWS):
    signature_cls = Signature
    __slots__ = josepy.JWS._orig_slots


@cache
def josepy_key(algorithm):
    if algorithm == "RS256":
        return josepy.JWKRSA(key=rsa.generate_private_key(65537, 2048))
    curve = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}[algorithm]
    return josepy.JWKEC(key=ec.generate_private_key(curve))


def signed_by_josepy(algorithm, payload):
    key = josepy_key(algorithm)
    jws = JWS.sign(
        payload=payload,
        key=key,
        alg=getattr(josepy, algorithm),
        nonce="abc",
        url=URL,
        protect=frozenset(["nonce", "url", "jwk", "alg"]),
        include_jwk=True,
    )
    members = json.loads(jws.json_dumps())
    if "signatures" in members:
        members = {"payload": members["payload"], **members["signatures"][0]}
    return {name: members[name] for name in ("protected", "payload", "signature")}


def check(members):
    """Raises Problem unless the request verifies with its own key."""
    jws = parse_jws(dumps(members))
    jws.check_url(URL)
    jws.verify(jws.embedded_key())
    return jws


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512"])
def test_what_josepy_signs_is_accepted_with_the_same_key(algorithm):
    """Payload, key and thumbprint come out as they went in."""

    @settings(max_examples=15, deadline=None)
    @given(payload=st.binary(max_size=200))
    def holds(payload):
        jws = check(signed_by_josepy(algorithm, payload))
        assert jws.payload == payload
        assert jws.embedded_key().thumbprint == b64(josepy_key(algorithm).thumbprint())

    holds()


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_one_changed_character_anywhere_is_refused(algorithm):
    """In the header, the payload or the signature, even where base64url has unused bits."""
    signer = Signer(algorithm)
    header = {"alg": algorithm, "nonce": "abc", "url": URL, "jwk": signer.jwk}
    good = signer.sign(header, b'{"onlyReturnExisting":true}')
    check(good)

    @settings(max_examples=80, deadline=None)
    @given(
        name=st.sampled_from(["protected", "payload", "signature"]),
        where=st.floats(0, 1),
        bit=st.integers(0, 5),
        last=st.booleans(),
    )
    def holds(name, where, bit, last):
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        text = good[name]
        position = len(text) - 1 if last else int(where * (len(text) - 1))
        changed = alphabet[alphabet.index(text[position]) ^ (1 << bit)]
        forged = good | {name: text[:position] + changed + text[position + 1 :]}
        with pytest.raises(Problem):
            check(forged)

    holds()


@pytest.mark.parametrize(("algorithm", "size"), [("ES256", 32), ("ES384", 48), ("ES512", 66)])
def test_an_ecdsa_signature_has_one_length(algorithm, size):
    """DER, padded, cut, empty and zero signatures are refused; so are r or s of zero or the group's order."""
    signer = Signer(algorithm)
    good = signer.sign({"alg": algorithm, "nonce": "abc", "url": URL, "jwk": signer.jwk}, b"{}")
    key = parse_jwk(signer.jwk)
    signed = f"{good['protected']}.{good['payload']}".encode()
    raw = signer.raw_signature(signed)
    r, s = raw[:size], raw[size:]
    key.verify(raw, signed)
    hostile = [
        b"",
        raw[:-1],
        raw + b"\0",
        b"\0" + r + b"\0" + s,
        bytes(2 * size),
        r + bytes(size),
        bytes(size) + s,
        b"\xff" * (2 * size),
        s + r,
        signer.key.sign(signed, ec.ECDSA(HASHES[size])),
    ]

    for forged in hostile:
        with pytest.raises(Problem):
            key.verify(forged, signed)


def test_a_signature_of_another_algorithm_family_is_refused():
    """HS256 keyed with the public key, RS256 said for an EC key, ES256 said for an RSA key."""
    rsa_key, ec_key = Signer("RS256"), Signer("ES256")
    public = dumps(rsa_key.jwk)
    attempts = [
        Signer("HS256", public).sign({"alg": "HS256", "nonce": "a", "url": URL, "jwk": rsa_key.jwk}, b"{}"),
        ec_key.sign({"alg": "RS256", "nonce": "a", "url": URL, "jwk": ec_key.jwk}, b"{}"),
        rsa_key.sign({"alg": "ES256", "nonce": "a", "url": URL, "jwk": rsa_key.jwk}, b"{}"),
        rsa_key.sign({"alg": "PS256", "nonce": "a", "url": URL, "jwk": rsa_key.jwk}, b"{}"),
        ec_key.sign({"alg": "ES384", "nonce": "a", "url": URL, "jwk": ec_key.jwk}, b"{}"),
        ec_key.sign({"alg": "none", "nonce": "a", "url": URL, "jwk": ec_key.jwk}, b"{}") | {"signature": ""},
    ]

    for members in attempts:
        with pytest.raises(Problem) as caught:
            check(members)
        assert caught.value.token == "badSignatureAlgorithm"
