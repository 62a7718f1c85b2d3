"""The issuer's ACME account: registered, and answered for when asked with its own key (RFC 8555 §7.3.3)."""

import base64
from typing import Any
from urllib.parse import urlsplit

import orjson
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from acme_ra.core.encoding import b64url
from acme_ra.doctor.client.subject import IssuerSide
from acme_ra.doctor.directory import Reached, Unreachable, request
from acme_ra.doctor.findings import Finding, error, ok, warning

_AGAIN = (
    "delete the account's Secret and restart cert-manager, so that it registers again; that needs a usable credential"
)


async def check_account(issuer: IssuerSide) -> list[Finding]:
    uri = str(((issuer.issuer.get("status") or {}).get("acme") or {}).get("uri") or "")
    if not uri:
        return [error("no account is registered (status.acme.uri is empty)", "see the other findings for the reason")]
    server = str(issuer.acme.get("server", ""))
    if urlsplit(uri).netloc != urlsplit(server).netloc:
        fix = f"the issuer was pointed elsewhere; {_AGAIN}"
        return [error(f"the account {uri} is of another server than {server}", fix)]
    if isinstance(issuer.reached, Unreachable):
        return [warning("the directory is not reached, so the account is not asked for", "mend `directory` first")]
    key = await _key(issuer)
    if isinstance(key, Finding):
        return [key]
    return [await _ask(issuer, issuer.reached, uri, key)]


async def _key(issuer: IssuerSide) -> rsa.RSAPrivateKey | Finding:
    reference = issuer.acme.get("privateKeySecretRef") or {}
    name, entry = str(reference.get("name", "")), str(reference.get("key") or "tls.key")
    where = f"Secret {issuer.secrets}/{name}"
    secret = await issuer.side.view.get(f"/api/v1/namespaces/{issuer.secrets}/secrets/{name}")
    if secret is None or entry not in (secret.get("data") or {}):
        return error(
            f"the account's key is not there: {where}, {entry}", "restore it, or let cert-manager register again"
        )
    try:
        key = load_pem_private_key(base64.b64decode(secret["data"][entry]), None)
    except (ValueError, TypeError):
        # The cause is cut off: what a parser says of a secret stays out of every report.
        return error(f"{where}, {entry} is no private key in PEM", _AGAIN)
    if not isinstance(key, rsa.RSAPrivateKey):
        return warning(f"{where} holds no RSA key, so the account is not asked for", "cert-manager's own keys are RSA")
    return key


async def _ask(issuer: IssuerSide, reached: Reached, uri: str, key: rsa.RSAPrivateKey) -> Finding:
    bundle = issuer.bundle or b""
    try:
        _, headers, _ = await request("HEAD", str(reached.document["newNonce"]), bundle=bundle)
        body = _post_as_get(uri, headers.get("replay-nonce", ""), key)
        status, _, answer = await request("POST", uri, bundle=bundle, body=body)
    except Unreachable as problem:
        return error(problem.seen, problem.fix)
    told = _json(answer)
    if status != 200:
        return error(f"{uri} answers {status}: {told.get('detail', '')}", _AGAIN)
    if told.get("status") != "valid":
        return error(f"the account {uri} is {told.get('status')}", _AGAIN)
    return ok(f"the account {uri} is valid")


def _post_as_get(uri: str, nonce: str, key: rsa.RSAPrivateKey) -> bytes:
    """RFC 8555 §6.3."""
    protected = b64url(orjson.dumps({"alg": "RS256", "kid": uri, "nonce": nonce, "url": uri}))
    signature = key.sign(f"{protected}.".encode(), padding.PKCS1v15(), SHA256())
    return orjson.dumps({"protected": protected, "payload": "", "signature": b64url(signature)})


def _json(body: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}
