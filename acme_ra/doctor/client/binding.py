"""External account binding: the Secret, and every way in which its encoding goes wrong (RFC 8555 §7.3.4)."""

import base64
import binascii
import hmac
import re

from acme_ra.config.secrets import read_key_file
from acme_ra.core.clock import SystemClock
from acme_ra.core.credential_seal import open_credential
from acme_ra.core.objects import Credential
from acme_ra.core.sealing import Sealer
from acme_ra.doctor.client.subject import IssuerSide
from acme_ra.doctor.directory import Reached
from acme_ra.doctor.findings import Finding, error, ok, warning
from acme_ra.storage.store import open_store

SECRET_BYTES = 32
_URL = re.compile(r"[A-Za-z0-9_-]+\Z")
_STANDARD = re.compile(r"[A-Za-z0-9+/]+\Z")
_FIX = (
    "store the hmac key as acme-ra printed it, unpadded base64url, in stringData (or in base64 once in data): "
    "`acme-ra issuer manifest --kid KID --rotate` prints the Secret anew"
)


async def check_binding(issuer: IssuerSide) -> list[Finding]:
    binding = issuer.acme.get("externalAccountBinding")
    if not binding:
        return [_unbound(issuer)]
    reference = binding.get("keySecretRef") or {}
    name, key = str(reference.get("name", "")), str(reference.get("key", ""))
    where = f"Secret {issuer.secrets}/{name}"
    secret = await issuer.side.view.get(f"/api/v1/namespaces/{issuer.secrets}/secrets/{name}")
    if secret is None:
        return [await _absent(issuer, name, where)]
    data = secret.get("data") or {}
    if key not in data:
        there = f"it has {', '.join(sorted(data))}" if data else "it is empty"
        return [error(f"{where} has no entry {key!r}: {there}", "correct keySecretRef.key, or the Secret")]
    raw = base64.b64decode(data[key])
    findings = judge_encoding(raw, f"{where}, {key}")
    if any(one.fix for one in findings):
        return findings
    return findings + await _compare(issuer, raw)


def _unbound(issuer: IssuerSide) -> Finding:
    required = isinstance(issuer.reached, Reached) and issuer.reached.meta.get("externalAccountRequired")
    if required:
        fix = "make one: acme-ra issuer manifest --cluster NAME prints the Secret and the issuer"
        return error("the directory requires an external account, and the issuer has no externalAccountBinding", fix)
    return ok("no externalAccountBinding, and the directory does not require one")


async def _absent(issuer: IssuerSide, name: str, where: str) -> Finding:
    elsewhere = [
        str(one["metadata"]["namespace"])
        for one in await issuer.side.view.items("/api/v1/secrets", fieldSelector=f"metadata.name={name}")
    ]
    if not elsewhere:
        return error(f"{where} is not there", "apply what `acme-ra issuer manifest` printed")
    fix = f"put it into {issuer.secrets}: there cert-manager looks for the Secrets of this {issuer.kind}"
    return error(f"{where} is not there, but one of that name is in {', '.join(elsewhere)}", fix)


def judge_encoding(raw: bytes, where: str) -> list[Finding]:
    """What cert-manager does with this value: it decodes unpadded base64url (RFC 4648 §5)."""
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        return [error(f"{where} is binary: the decoded key itself", _FIX)]
    stripped = text.strip()
    if not stripped:
        return [error(f"{where} is empty", _FIX)]
    inner = _inner(stripped)
    if inner:
        return [error(f"{where} is encoded twice: inside is {inner}", _FIX)]
    if stripped.endswith("="):
        return [error(f"{where} is padded: it ends with '='", _FIX)]
    if not _URL.match(stripped):
        if _STANDARD.match(stripped):
            return [error(f"{where} is base64 of the standard alphabet (it has + or /), not base64url", _FIX)]
        return [error(f"{where} is not base64url: it has other characters", _FIX)]
    findings = []
    if text != stripped:
        findings.append(_judge_space(text, where))
    length = len(stripped) * 3 // 4
    if len(stripped) % 4 == 1:
        findings.append(error(f"{where} is cut off: no base64url has {len(stripped)} characters", _FIX))
    elif length < SECRET_BYTES:
        findings.append(error(f"{where} holds {length} bytes, and keys of acme-ra have {SECRET_BYTES}", _FIX))
    return findings or [ok(f"{where} is unpadded base64url of {length} bytes")]


def _judge_space(text: str, where: str) -> Finding:
    if text.strip("\r\n") == text.strip():
        fix = f"cert-manager passes over it, other clients do not (`echo -n`, not `echo`): {_FIX}"
        return warning(f"{where} has a line break at its end", fix)
    return error(f"{where} has white space around it", _FIX)


def _inner(text: str) -> str:
    """What a value encodes, when that is base64 text again: somebody encoded it once too often."""
    try:
        once = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_" if _URL.match(text.rstrip("=")) else None)
        inner = once.decode("ascii").strip()
    except (binascii.Error, ValueError):
        return ""
    bare = inner.rstrip("=")
    if len(bare) < SECRET_BYTES or not (_URL.match(bare) or _STANDARD.match(bare)):
        return ""
    return "base64 again"


async def _compare(issuer: IssuerSide, raw: bytes) -> list[Finding]:
    """With the server's configuration at hand: whether this is the credential's key, and it may be used."""
    configuration = issuer.side.configuration
    if configuration is None:
        return []
    clock = SystemClock()
    store = await open_store(configuration.storage, clock=clock)
    try:
        credential = await store.credential(issuer.kid)
    finally:
        await store.close()
    if credential is None:
        return [error(f"the server has no credential {issuer.kid}", "correct keyID; see: acme-ra credential list")]
    sealer = Sealer(read_key_file(configuration.secrets.key_file))
    secret = open_credential(sealer, credential)
    text = raw.decode("ascii").strip()
    if not hmac.compare_digest(secret, base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))):
        seen = f"the Secret's key is not that of credential {issuer.kid}"
        return [error(seen, f"it was rotated, or is another's: acme-ra issuer manifest --kid {issuer.kid} --rotate")]
    return [_judge_credential(issuer, credential, clock.now())]


def _clusters_of_directory(issuer: IssuerSide) -> list[str]:
    configuration = issuer.side.configuration
    settings = None if configuration is None else configuration.directories.get(issuer.directory)
    return [] if settings is None else settings.clusters


def _judge_credential(issuer: IssuerSide, credential: Credential, now: int) -> Finding:
    named, binding = f"credential {credential.kid} ({credential.name})", credential.binding
    if credential.disabled_at is not None:
        return error(f"{named} is disabled", "make another: acme-ra issuer manifest --cluster NAME")
    if issuer.directory and binding.directories and issuer.directory not in binding.directories:
        what = f"{named} is for directory {', '.join(binding.directories)}, the issuer uses {issuer.directory}"
        return error(what, "correct spec.acme.server, or make another credential")
    if issuer.side.cluster and binding.cluster != issuer.side.cluster:
        what = f"{named} speaks for cluster {binding.cluster or '(none)'}, not for {issuer.side.cluster}"
        return error(what, "make one for this cluster: acme-ra issuer manifest")
    for_clusters = _clusters_of_directory(issuer)
    if for_clusters and binding.cluster not in for_clusters:
        what = f"directory {issuer.directory} is for cluster {', '.join(for_clusters)}, not for {binding.cluster}"
        return error(what, "correct spec.acme.server, or directories.NAME.clusters of the server")
    registered = bool((issuer.issuer.get("status") or {}).get("acme", {}).get("uri"))
    if not registered and credential.expires_at is not None and credential.expires_at <= now:
        return error(f"{named} has expired, and no account is registered", "make another: acme-ra issuer manifest")
    if not registered and credential.max_uses is not None and credential.uses >= credential.max_uses:
        return error(
            f"{named} has its {credential.max_uses} account(s) already", "make another: acme-ra issuer manifest"
        )
    return ok(f"the Secret's key is that of {named}, for cluster {binding.cluster or '(none)'}")
