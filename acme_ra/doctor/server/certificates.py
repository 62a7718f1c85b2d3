"""The authorities' certificates and the server's own: chains, names, days left, and whether clients accept them."""

from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from acme_ra.core.clock import DAY, SECOND, Instant, to_rfc3339
from acme_ra.core.urls import Urls
from acme_ra.doctor.findings import Finding, error, ok, warning
from acme_ra.doctor.server.subject import ServerSide
from acme_ra.doctor.trust import NotTrusted, check_trust, find_bundle
from acme_ra.issuance.contract import Authority
from acme_ra.issuance.issuer import AuthorityMisconfigured
from acme_ra.issuance.profiles import Profile
from acme_ra.issuance.registry import open_authority
from acme_ra.listener import TLSUnusable

AUTHORITY_DAYS, SERVER_DAYS = 90, 21


async def check_authorities(server: ServerSide) -> list[Finding]:
    configuration = server.configuration
    profiles = {name: Profile(name, settings) for name, settings in configuration.profiles.items()}
    findings = []
    for name, settings in configuration.authorities.items():
        try:
            opened = open_authority(name, settings, profiles=profiles, urls=Urls("https://doctor.invalid"))
        except AuthorityMisconfigured as problem:
            findings.append(error(f"{name}: {problem.message}", problem.fix))
            continue
        try:
            findings.append(_judge_authority(server, opened))
        finally:
            await opened.close()
    return findings


def _judge_authority(server: ServerSide, authority: Authority) -> Finding:
    issuer, now = authority.issuer, server.clock.now()
    left = (issuer.not_after - now) // DAY
    named = f"{authority.name} ('{issuer.subject}')"
    if issuer.not_before > now:
        return error(f"{named} is not valid before {to_rfc3339(issuer.not_before)}", "wait, or set the clock right")
    if left < 0:
        return error(
            f"the chain of {named} expired at {to_rfc3339(issuer.not_after)}", "get it renewed; nothing is issued"
        )
    longest = max(profile.validity for profile in server.configuration.profiles.values())
    if left < AUTHORITY_DAYS or issuer.not_after < now + longest:
        seen = f"the chain of {named} ends in {left} days; certificates may last {longest // DAY}"
        return warning(seen, "get it renewed: no certificate outlives its issuer")
    return ok(f"{named}: the chain of {1 + len(issuer.chain)} is good for {left} days")


async def check_server_certificate(server: ServerSide) -> list[Finding]:
    tls, now = server.configuration.server.tls, server.clock.now()
    host = urlsplit(server.urls.base).hostname or ""
    try:
        bundle = server.bundle if server.bundle is not None else find_bundle(tls)
        check_trust(tls.certificate, tls.key, host=host, bundle=bundle)
    except TLSUnusable as problem:
        what, _, fix = str(problem).partition("; ")
        return [error(what, fix or "correct server.tls")]
    except NotTrusted as problem:
        trust = "the CA bundle" if server.bundle or bundle else "the system's trust"
        seen = f"a client with {trust} does not accept {tls.certificate} for {host}: {problem}"
        fix = "get a certificate for that name, correct server.external_url, or name the clients' bundle: --ca-bundle"
        return [error(seen, fix)]
    except (OSError, ValueError) as problem:
        return [error(f"{tls.certificate}: {problem}", "correct server.tls, or --ca-bundle")]
    return [_judge_days(tls.certificate, host, now)]


def _judge_days(path: Path, host: str, now: Instant) -> Finding:
    leaf = x509.load_pem_x509_certificates(path.read_bytes())[0]
    ends = int(leaf.not_valid_after_utc.timestamp()) * SECOND
    left = (ends - now) // DAY
    if left < SERVER_DAYS:
        fix = "renew it and send SIGHUP; without it no client connects"
        return warning(f"the server's certificate {path} ends at {to_rfc3339(ends)}, in {left} days", fix)
    return ok(f"{path} is accepted for {host} and good for {left} days")
