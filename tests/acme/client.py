"""Signing and sending as a client would, with every part open to change; and the edge on a loopback port."""

import base64
import hashlib
import hmac
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

from acme_ra.acme.application import Edge, build_app, build_server
from acme_ra.acme.nonces import NonceService, SealedNonces
from acme_ra.acme.resources.health import Readiness
from acme_ra.acme.settings import AcmeSettings
from acme_ra.acme.site import RequestObserver
from tests.acme.fake import fake_registration

JOSE = "application/jose+json"
_CURVES: dict[str, tuple[ec.EllipticCurve, str, Any, int]] = {
    "ES256": (ec.SECP256R1(), "P-256", SHA256(), 32),
    "ES384": (ec.SECP384R1(), "P-384", SHA384(), 48),
    "ES512": (ec.SECP521R1(), "P-521", SHA512(), 66),
}
_MACS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def dumps(value: Any) -> bytes:
    return json.dumps(value).encode()


def _number(value: int, size: int = 0) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


class Signer:
    """A key pair and its JWS algorithm."""

    def __init__(self, algorithm: str = "ES256", key: Any = None) -> None:
        self.algorithm = algorithm
        self.key = key if key is not None else _generate(algorithm)

    @property
    def jwk(self) -> dict[str, Any]:
        public = self.key.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            numbers = public.public_numbers()
            return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
        if isinstance(public, ed25519.Ed25519PublicKey):
            return {"kty": "OKP", "crv": "Ed25519", "x": b64(public.public_bytes_raw())}
        point = public.public_numbers()
        _, name, _, size = _CURVES[self.algorithm]
        return {"kty": "EC", "crv": name, "x": _number(point.x, size), "y": _number(point.y, size)}

    @property
    def thumbprint(self) -> str:
        text = json.dumps(self.jwk, sort_keys=True, separators=(",", ":"))
        return b64(hashlib.sha256(text.encode()).digest())

    def raw_signature(self, signed: bytes) -> bytes:
        if self.algorithm in _MACS:
            return hmac.digest(self.key, signed, _MACS[self.algorithm])
        if self.algorithm == "RS256":
            return self.key.sign(signed, padding.PKCS1v15(), SHA256())
        if self.algorithm == "EdDSA":
            return self.key.sign(signed)
        _, _, digest, size = _CURVES[self.algorithm]
        r, s = decode_dss_signature(self.key.sign(signed, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def sign(self, header: Mapping[str, Any] | bytes, payload: bytes) -> dict[str, str]:
        """A flattened JWS; `header` may be bytes, to be sent as they are."""
        protected = b64(header if isinstance(header, bytes) else dumps(header))
        text = b64(payload)
        return {
            "protected": protected,
            "payload": text,
            "signature": b64(self.raw_signature(f"{protected}.{text}".encode())),
        }


def _generate(algorithm: str) -> Any:
    if algorithm == "RS256":
        return _rsa()
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(_CURVES[algorithm][0])


@lru_cache(maxsize=1)
def _rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def token(self) -> str:
        """The ACME error token; the document's own status is checked on the way."""
        assert self.headers["Content-Type"] == "application/problem+json", self.body
        assert self.json["status"] == self.status
        return self.json["type"].removeprefix("urn:ietf:params:acme:error:")

    @property
    def links(self) -> list[str]:
        return self.headers.getall("Link", [])


class EdgeClient:
    """Sends to the loopback port whatever is addressed to the external origin."""

    def __init__(self, session: aiohttp.ClientSession, port: int, app: Edge, ra: Any, nonces: NonceService) -> None:
        self.session, self.port, self.app, self.ra, self.nonces = session, port, app, ra, nonces
        self.urls = ra.urls
        self.directory = "internal"

    async def request(self, method: str, url: str, **options: Any) -> Answer:
        target = url.replace(self.urls.base, f"http://127.0.0.1:{self.port}", 1)
        async with self.session.request(method, target, **options) as response:
            return Answer(response.status, response.headers.copy(), await response.read())

    async def get(self, url: str, **options: Any) -> Answer:
        return await self.request("GET", url, **options)

    async def send(self, url: str, jws: Any, *, content_type: str = JOSE, **headers: str) -> Answer:
        body = jws if isinstance(jws, bytes) else dumps(jws)
        return await self.request("POST", url, data=body, headers={"Content-Type": content_type} | headers)

    def header(self, signer: Signer, url: str, /, *, kid: str | None = None, **changes: Any) -> dict[str, Any]:
        """A good protected header; a change to None removes the member."""
        header: dict[str, Any] = {"alg": signer.algorithm, "nonce": self.nonces.issue(), "url": url}
        header |= {"kid": kid} if kid is not None else {"jwk": signer.jwk}
        header |= changes
        return {name: value for name, value in header.items() if value is not None}

    async def post(
        self, url: str, payload: Any, /, *, signer: Signer, kid: str | None = None, accept: str = "", **changes: Any
    ) -> Answer:
        """Sign and send; `payload` None is POST-as-GET."""
        raw = b"" if payload is None else payload if isinstance(payload, bytes) else dumps(payload)
        jws = signer.sign(self.header(signer, url, kid=kid, **changes), raw)
        return await self.send(url, jws, **({"Accept": accept} if accept else {}))

    async def register(self, signer: Signer | None = None, **payload: Any) -> "Member":
        signer = signer or Signer()
        answer = await self.post(self.urls.new_account(self.directory), payload, signer=signer)
        assert answer.status in (200, 201), answer.body
        return Member(self, signer, answer.headers["Location"])


@dataclass
class Member:
    """A registered account."""

    client: EdgeClient
    signer: Signer
    kid: str

    async def post(self, url: str, payload: Any = None, /, **options: Any) -> Answer:
        return await self.client.post(url, payload, signer=self.signer, kid=self.kid, **options)

    async def new_order(self, *names: str, **more: Any) -> Answer:
        identifiers = [{"type": "dns", "value": name} for name in names or ("a.test",)]
        return await self.post(self.client.urls.new_order(self.client.directory), {"identifiers": identifiers} | more)

    async def issue(self) -> tuple[Answer, str]:
        """An order made valid: its answer to finalize, and the certificate's URL."""
        order = await self.new_order()
        done = await self.post(order.json["finalize"], {"csr": b64(b"csr")})
        return done, done.json.get("certificate", "")

    @property
    def resource_id(self) -> str:
        return self.kid.rsplit("/", 1)[1]


@asynccontextmanager
async def running_edge(
    ra: Any = None,
    *,
    settings: AcmeSettings | None = None,
    observe: RequestObserver | None = None,
    ready: Readiness | None = None,
) -> AsyncIterator[EdgeClient]:
    """The edge on a free loopback port, with a client for it."""
    ra = ra if ra is not None else fake_registration()
    nonces = SealedNonces(key=b"k" * 32, node=1, epoch=1, window=1 << 12)
    app = build_app(
        ra,
        nonces=nonces,
        settings=settings or AcmeSettings(),
        observe=observe,
        ready=ready,
    )
    server = build_server(app, settings or AcmeSettings())
    listening = socket.create_server(("127.0.0.1", 0))
    await server.start(listening)
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        try:
            yield EdgeClient(session, listening.getsockname()[1], app, ra, nonces)
        finally:
            await server.close()
