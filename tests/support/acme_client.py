"""A small ACME client (RFC 8555) with control over every request, for tests that real clients are too polite for.

Answers are returned as they came, refusals included; `Answer.ok` raises for those. It signs with ES256.
"""

import asyncio
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from josepy.b64 import b64decode, b64encode
from josepy.jwa import ES256
from josepy.jwk import JWKEC

from tests.support.processes import PATIENCE

JOSE = {"Content-Type": "application/jose+json"}


class Refused(AssertionError):
    """The server answered with an error where the test expected success."""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    links: tuple[str, ...]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def location(self) -> str:
        return self.headers["Location"]

    def ok(self, *statuses: int) -> Self:
        """Itself, when the status is one of these, or any 2xx when none are named."""
        if self.status in statuses or (not statuses and 200 <= self.status < 300):
            return self
        raise Refused(f"HTTP {self.status}: {self.body.decode(errors='replace')}")


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def csr_for(names: Sequence[str], key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    """DER of a plain request for these DNS names."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])] if len(names[0]) <= 64 else [])
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    return builder.sign(key or new_key(), hashes.SHA256()).public_bytes(serialization.Encoding.DER)


class Signer:
    """An account key: signs requests as flattened JWS (RFC 8555 §6.2)."""

    def __init__(self, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        self.private = key or new_key()
        self.jwk = JWKEC(key=self.private)

    @property
    def public(self) -> dict[str, Any]:
        fields: dict[str, Any] = self.jwk.public_key().to_json()
        return fields

    @property
    def thumbprint(self) -> str:
        return b64encode(self.jwk.thumbprint()).decode()

    def sign(self, protected: Mapping[str, Any], payload: bytes) -> dict[str, str]:
        """`protected` gets `alg` unless it has one."""
        head = _b64(json.dumps({"alg": "ES256", **protected}).encode())
        body = _b64(payload)
        signature = ES256.sign(self.jwk.key, f"{head}.{body}".encode())
        return {"protected": head, "payload": body, "signature": _b64(signature)}


class AcmeClient:
    """A client of one directory, with one account key. Use as an async context manager."""

    def __init__(self, directory: str, tls: ssl.SSLContext, *, signer: Signer | None = None) -> None:
        self.directory_url = directory
        self.signer = signer or Signer()
        self.kid: str | None = None
        self.urls: dict[str, Any] = {}
        self._tls = tls
        self._nonces: list[str] = []
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=200)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENCE))
        self.urls = (await self.request("GET", self.directory_url)).ok().json
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def request(self, method: str, url: str, **arguments: Any) -> Answer:
        """One plain request; keeps the nonce of its answer."""
        assert self._session is not None, "use the client as a context manager"
        async with self._session.request(method, url, **arguments) as response:
            answer = Answer(
                response.status, response.headers, tuple(response.headers.getall("Link", ())), await response.read()
            )
        if nonce := answer.headers.get("Replay-Nonce"):
            self._nonces.append(nonce)
        return answer

    async def nonce(self) -> str:
        while not self._nonces:
            await self.request("HEAD", self.urls["newNonce"])
        return self._nonces.pop()

    def forget_nonces(self) -> None:
        self._nonces.clear()

    async def post(self, url: str, payload: Any, *, jwk: bool = False, signer: Signer | None = None) -> Answer:
        """A signed POST; `payload` None is a POST-as-GET. A badNonce is tried again, three times."""
        for _ in range(4):
            answer = await self.send(url, payload, nonce=await self.nonce(), jwk=jwk, signer=signer)
            if answer.status != 400 or not answer.json.get("type", "").endswith(":badNonce"):
                break
        return answer

    async def send(
        self, url: str, payload: Any, *, nonce: str, jwk: bool = False, signer: Signer | None = None
    ) -> Answer:
        """One signed POST with exactly this nonce."""
        signer = signer or self.signer
        identity = {"jwk": signer.public} if jwk or self.kid is None else {"kid": self.kid}
        body = b"" if payload is None else json.dumps(payload).encode()
        signed = signer.sign({**identity, "nonce": nonce, "url": url}, body)
        return await self.request("POST", url, data=json.dumps(signed), headers=JOSE)

    def external_binding(self, kid: str, hmac_key: str) -> dict[str, str]:
        """The externalAccountBinding of RFC 8555 §7.3.4, HS256."""
        protected = _b64(json.dumps({"alg": "HS256", "kid": kid, "url": self.urls["newAccount"]}).encode())
        payload = _b64(json.dumps(self.signer.public).encode())
        mac = hmac.new(b64decode(hmac_key), f"{protected}.{payload}".encode(), hashlib.sha256)
        return {"protected": protected, "payload": payload, "signature": _b64(mac.digest())}

    async def register(self, kid: str = "", hmac_key: str = "") -> Answer:
        """newAccount, with the credential if one is given; remembers the account."""
        wanted: dict[str, Any] = {"termsOfServiceAgreed": True, "contact": ["mailto:tests@example.test"]}
        if kid:
            wanted["externalAccountBinding"] = self.external_binding(kid, hmac_key)
        answer = (await self.post(self.urls["newAccount"], wanted, jwk=True)).ok()
        self.kid = answer.location
        return answer

    async def new_order(self, names: Sequence[str], **fields: Any) -> Answer:
        identifiers = [{"type": "dns", "value": name} for name in names]
        return await self.post(self.urls["newOrder"], {"identifiers": identifiers, **fields})

    async def get(self, url: str) -> Answer:
        """POST-as-GET."""
        return await self.post(url, None)

    def key_authorization(self, token: str) -> str:
        return f"{token}.{self.signer.thumbprint}"

    async def wait_for(self, url: str, *statuses: str, seconds: float = PATIENCE) -> Answer:
        """Poll a resource until its status is one of these. Refused when it does not come."""
        deadline = time.monotonic() + seconds
        while True:
            answer = (await self.get(url)).ok()
            if answer.json["status"] in statuses:
                return answer
            if time.monotonic() > deadline:
                raise Refused(f"{url} is not {' or '.join(statuses)}: {answer.body.decode()}")
            await asyncio.sleep(0.05)

    async def finalize(self, order: Answer, csr: bytes) -> Answer:
        return await self.post(order.json["finalize"], {"csr": _b64(csr)})

    async def ready_order(self, names: Sequence[str]) -> Answer:
        """An order whose names policy grants without a challenge; its `location` is the order's URL."""
        created = (await self.new_order(names)).ok(201)
        for url in created.json["authorizations"]:
            (await self.get(url)).ok()
        ready = await self.wait_for(created.location, "ready", "valid")
        return Answer(ready.status, {**ready.headers, "Location": created.location}, ready.links, ready.body)

    async def issue(self, names: Sequence[str]) -> x509.Certificate:
        """The whole way for names that need no challenge."""
        order = await self.ready_order(names)
        (await self.finalize(order, csr_for(names))).ok(200)
        done = await self.wait_for(order.location, "valid")
        chain = (await self.get(done.json["certificate"])).ok(200)
        return x509.load_pem_x509_certificates(chain.body)[0]


def _b64(raw: bytes) -> str:
    return b64encode(raw).decode()
