"""External account binding, without HTTP."""

import pytest

from acme_ra.acme.eab import verify_binding
from acme_ra.acme.jwk import parse_jwk
from acme_ra.core.problems import BadPublicKey, BadSignatureAlgorithm, Malformed, Unauthorized
from tests.acme.client import Signer, dumps
from tests.acme.fake import credential, fake_registration

URL = "https://ra.example.test/acme/internal/new-account"
SECRET = b"s" * 32
ACCOUNT = Signer("ES256")


async def verify(binding, *, secret: bytes = SECRET):
    ra = fake_registration()
    ra.credentials["kid-1"] = (credential("kid-1"), secret)
    return await verify_binding(
        binding,
        accounts=ra.accounts,  # type: ignore[arg-type]
        directory=ra.directories["internal"],
        key=parse_jwk(ACCOUNT.jwk),
        url=URL,
    )


def bind(*, algorithm: str = "HS256", secret: bytes = SECRET, jwk=None, payload: bytes | None = None, **changes):
    header = {"alg": algorithm, "kid": "kid-1", "url": URL} | changes
    header = {name: value for name, value in header.items() if value is not None}
    raw = dumps(ACCOUNT.jwk if jwk is None else jwk) if payload is None else payload
    return Signer(algorithm, secret).sign(header, raw)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("size", [32, 48, 64])
async def test_all_three_algorithms_work_with_keys_of_32_bytes_and_more(algorithm, size):
    """Clients choose the algorithm by the key's length, or by habit."""
    secret = bytes(range(size))

    found, echo = await verify(bind(algorithm=algorithm, secret=secret), secret=secret)

    assert found.kid == "kid-1"
    assert b'"signature":' in echo


async def test_the_bound_key_is_compared_by_thumbprint():
    """Clients add alg and use to the JWK, or order its members otherwise."""
    decorated = {"use": "sig", "alg": "ES256", **dict(reversed(ACCOUNT.jwk.items()))}

    found, _ = await verify(bind(jwk=decorated))

    assert found.kid == "kid-1"


async def test_unknown_key_id_and_wrong_mac_answer_the_same_text():
    """Guessing key ids learns nothing."""
    with pytest.raises(Unauthorized) as unknown:
        await verify(bind(kid="kid-2"))
    with pytest.raises(Unauthorized) as wrong:
        await verify(bind(secret=b"x" * 32))

    assert unknown.value.detail == wrong.value.detail
    assert "only the log" not in unknown.value.detail


async def test_a_key_shorter_than_the_hash_needs_is_refused():
    """RFC 7518 §3.2."""
    with pytest.raises(Unauthorized):
        await verify(bind(secret=b"short"), secret=b"short")


async def test_an_empty_secret_authenticates_nobody():
    """The dummy of the unknown key id is no key either."""
    with pytest.raises(Unauthorized):
        await verify(bind(secret=bytes(32), kid="kid-2"))


def _with_jwk():
    header = {"alg": "HS256", "kid": "kid-1", "url": URL, "jwk": ACCOUNT.jwk}
    return Signer("HS256", SECRET).sign(header, dumps(ACCOUNT.jwk))


def _none():
    return bind() | {"protected": Signer("HS256", SECRET).sign({"alg": "none"}, b"")["protected"]}


def _unprotected():
    return bind() | {"header": {"kid": "kid-1"}}


REFUSED = {
    "none": (_none, BadSignatureAlgorithm),
    "asymmetric": (
        lambda: Signer("ES256").sign({"alg": "ES256", "kid": "kid-1", "url": URL}, dumps(ACCOUNT.jwk)),
        BadSignatureAlgorithm,
    ),
    "another url": (lambda: bind(url=URL + "x"), Unauthorized),
    "no url": (lambda: bind(url=None), Malformed),
    "a nonce": (lambda: bind(nonce="abc"), Malformed),
    "no kid": (lambda: bind(kid=None), Malformed),
    "an empty kid": (lambda: bind(kid=""), Malformed),
    "a kid that is a number": (lambda: bind(kid=5), Malformed),
    "a kid with control characters": (lambda: bind(kid="kid-1\n"), Malformed),
    "an endless kid": (lambda: bind(kid="k" * 1000), Malformed),
    "a crit": (lambda: bind(crit=["x"]), Malformed),
    "a jwk": (_with_jwk, Malformed),
    "another key": (lambda: bind(jwk=Signer("ES256").jwk), Malformed),
    "a private key": (lambda: bind(jwk=ACCOUNT.jwk | {"d": "AAAA"}), BadPublicKey),
    "the secret as the key": (lambda: bind(jwk={"kty": "oct", "k": "AAAA"}), BadPublicKey),
    "an empty payload": (lambda: bind(payload=b""), Malformed),
    "a payload that is no object": (lambda: bind(payload=b"[]"), Malformed),
    "an unprotected header": (_unprotected, Malformed),
    "general form": (lambda: {"payload": "e30", "signatures": [bind()]}, Malformed),
    "nothing": (dict, Malformed),
    "numbers": (lambda: {"protected": 1, "payload": 2, "signature": 3}, Malformed),
    "no signature": (lambda: {k: v for k, v in bind().items() if k != "signature"}, Malformed),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_binding_of_the_wrong_shape_is_refused(name):
    """RFC 8555 §7.3.4, each rule by itself."""
    make, kind = REFUSED[name]

    with pytest.raises(kind):
        await verify(make())


async def test_a_truncated_mac_is_refused():
    """Not even a prefix that is right."""
    binding = bind()
    binding["signature"] = binding["signature"][:20]

    with pytest.raises(Unauthorized):
        await verify(binding)
