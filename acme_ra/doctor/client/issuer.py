"""The issuer itself: ready or why not, its server, its trust, its profile."""

import base64
import binascii

from cryptography import x509

from acme_ra.doctor.client.subject import IssuerSide
from acme_ra.doctor.clocks import judge_offset
from acme_ra.doctor.directory import Reached, Unreachable, reach
from acme_ra.doctor.findings import Finding, error, ok, warning

_HINTS = (
    ("x509", "see `directory` below: it is the trust"),
    ("illegal base64", "see `EAB` below: it is the Secret's encoding"),
    ("external account", "see `EAB` below"),
    ("no such host", "see `directory` below: the name is not known in the cluster's DNS"),
    ("connection refused", "see `directory` below: nothing listens there, or a NetworkPolicy is in between"),
)
_BAD_BUNDLE = "put in base64 once what the server calls ca-bundle.pem; `acme-ra issuer manifest` prints it"


async def check_ready(issuer: IssuerSide) -> list[Finding]:
    conditions = (issuer.issuer.get("status") or {}).get("conditions") or []
    ready = next((one for one in conditions if one.get("type") == "Ready"), None)
    if ready is None:
        fix = "see whether its controller runs: kubectl get pods -A -l app.kubernetes.io/name=cert-manager"
        return [error(f"cert-manager has not looked at {issuer.kind} {issuer.name} yet", fix)]
    told = f"{ready.get('reason', '')}: {ready.get('message', '')}"
    if ready.get("status") != "True":
        fix = next((hint for text, hint in _HINTS if text in told), "see the other findings; cert-manager tries again")
        return [error(f"{issuer.kind} {issuer.name} is not Ready: {told}", fix)]
    generation = issuer.issuer["metadata"].get("generation", 0)
    if ready.get("observedGeneration", generation) < generation:
        return [
            warning(f"{issuer.kind} {issuer.name} was changed, and cert-manager has not looked since", "wait a minute")
        ]
    return [ok(f"{issuer.kind} {issuer.name} is Ready: {ready.get('message', '')}")]


def decode_bundle(text: object) -> bytes:
    """The PEM in `caBundle`; empty when it is absent. Raises ValueError that says what it is instead."""
    if not text:
        return b""
    try:
        pem = base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError) as problem:
        raise ValueError("caBundle is not base64") from problem
    if not pem.lstrip().startswith(b"-----BEGIN"):
        try:
            inner = base64.b64decode(pem, validate=True)
        except (binascii.Error, ValueError):
            inner = b""
        twice = inner.lstrip().startswith(b"-----BEGIN")
        raise ValueError(f"caBundle is {'base64 of base64: encoded twice' if twice else 'not PEM'}")
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError as problem:
        raise ValueError("caBundle holds no certificate that can be read") from problem
    if not certificates:
        raise ValueError("caBundle holds no certificate")
    return pem


async def check_directory(issuer: IssuerSide) -> list[Finding]:
    """spec.acme.server with the trust that the issuer gives cert-manager."""
    findings = []
    if issuer.acme.get("skipTLSVerify"):
        fix = "remove it and set caBundle: whoever is in between could answer for the server"
        findings.append(error("skipTLSVerify is set", fix))
    try:
        decode_bundle(issuer.acme.get("caBundle"))
    except ValueError as problem:
        return [*findings, error(str(problem), _BAD_BUNDLE)]
    reached = issuer.reached
    if isinstance(reached, Reached):
        trust = "its caBundle" if issuer.bundle else "the system's trust"
        clock = judge_offset("the ACME server's clock", reached.clock_offset)
        return [*findings, ok(f"{reached.url} answers, trusted by {trust}"), clock]
    return [*findings, await _distrusted(issuer, reached) if reached.distrust else _away(reached)]


def _away(reached: Unreachable) -> Finding:
    fix = f"{reached.fix}; if it is for the cluster only, ask from a pod, as cert-manager does"
    return error(reached.seen, fix)


async def _distrusted(issuer: IssuerSide, reached: Unreachable) -> Finding:
    """Which change of the trust would mend it, tried out."""
    if not issuer.bundle:
        return error(reached.seen, f"set caBundle: {_BAD_BUNDLE}")
    try:
        await reach(str(issuer.acme.get("server", "")), bundle=b"")
    except Unreachable:
        return error(reached.seen, f"caBundle is of another CA or the name is another: {_BAD_BUNDLE}")
    return error(reached.seen, "remove caBundle: the system's trust verifies this server")


async def check_profile(issuer: IssuerSide) -> list[Finding]:
    wanted = str(issuer.acme.get("profile") or "")
    if isinstance(issuer.reached, Unreachable):
        return [warning("the directory is not reached, so its profiles are not known", "mend `directory` first")]
    offered = issuer.reached.profiles
    if wanted and wanted not in offered:
        what = f"offers {', '.join(offered)}" if offered else "offers none"
        return [error(f"profile {wanted} is asked for, and the directory {what}", "correct spec.acme.profile")]
    return [ok(f"profile {wanted} is offered" if wanted else "no profile asked for: the directory's default is used")]
