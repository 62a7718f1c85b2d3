"""Solvers: whether the issuer can answer every challenge that policy may ask for (RFC 8555 §8)."""

from collections.abc import Iterable
from typing import Any

import msgspec

from acme_ra.app import read_policies
from acme_ra.config import Configuration
from acme_ra.doctor.client.resources import cluster_policies
from acme_ra.doctor.client.subject import IssuerSide
from acme_ra.doctor.client.view import Object
from acme_ra.doctor.findings import Finding, error, ok, warning
from acme_ra.policy.compiled import Policy, PolicySet
from acme_ra.policy.schema import ClusterIssuancePolicy
from acme_ra.policy.selectors import Globs, Subject
from acme_ra.registration.settings import DirectorySettings

TYPES = {"http01": "http-01", "dns01": "dns-01"}
_ADD = {
    "http-01": "add one with http01: {ingress: {ingressClassName: …}}",
    "dns-01": "add one with dns01",
}
_SHOWN = 5


class Need(msgspec.Struct, frozen=True):
    """What a grant asks of the namespaces that it selects: one of these challenges for each name."""

    grant: str
    namespaces: tuple[str, ...]
    challenges: frozenset[str]
    names: tuple[str, ...]
    wildcards: bool
    addresses: bool

    def __str__(self) -> str:
        shown = ", ".join(self.namespaces[:_SHOWN]) + (", …" if len(self.namespaces) > _SHOWN else "")
        return f"grant {self.grant} (namespaces {shown or 'unknown'})"


async def check_solvers(issuer: IssuerSide) -> list[Finding]:
    solvers = issuer.acme.get("solvers") or []
    configuration = issuer.side.configuration
    offered = sorted({TYPES[key] for one in solvers for key in TYPES if one.get(key) is not None})
    summary = f"{len(solvers)} solvers: {', '.join(offered)}" if solvers else "no solvers"
    if configuration is None:
        fix = "give the server's --config, and doctor compares them with what policy asks for"
        return [ok(summary)] if solvers else [warning(f"{summary}: only names without a challenge can be issued", fix)]
    settings = configuration.directories.get(issuer.directory)
    if settings is None:
        fix = f"correct spec.acme.server; there are: {', '.join(configuration.directories)}"
        return [error(f"the configuration has no directory {issuer.directory!r}", fix)]
    namespaces = await _namespaces(issuer)
    own = await cluster_policies(issuer.side, configuration)
    policies = PolicySet([*read_policies(configuration).policies, *own])
    needs = needed(policies, settings, await _subjects(issuer, configuration, namespaces))
    findings = [one for need in needs for one in judge(need, solvers)]
    asked = f"; {len(needs)} grants for this cluster ask for challenges" if needs else "; policy asks for no challenge"
    return findings or [ok(summary + asked)]


async def _namespaces(issuer: IssuerSide) -> list[Object]:
    """Those that the issuer serves, with their labels."""
    if issuer.kind == "Issuer":
        one = await issuer.side.view.get(f"/api/v1/namespaces/{issuer.issuer['metadata']['namespace']}")
        return [] if one is None else [one]
    return await issuer.side.view.items("/api/v1/namespaces")


async def _subjects(issuer: IssuerSide, configuration: Configuration, namespaces: list[Object]) -> list[Subject]:
    profile = str(issuer.acme.get("profile") or "") or next(iter(configuration.directories[issuer.directory].profiles))
    return [
        Subject(issuer.side.cluster, str(meta["name"]), meta.get("labels") or {}, (issuer.kid,), profile)
        for meta in (one["metadata"] for one in namespaces)
    ]


def needed(policies: PolicySet, directory: DirectorySettings, subjects: Iterable[Subject]) -> list[Need]:
    """Every enforced grant that selects one of them and asks for a proof, with what guards leave of its challenges."""
    offered = Globs(directory.policies)
    groups: dict[tuple[str, frozenset[str]], list[str]] = {}
    grants = {one.name: one for one in policies.policies if one.effect == "grant" and one.enforced}
    guards = [one for one in policies.policies if one.effect == "guard" and one.enforced and one.challenges is not None]
    for subject in subjects:
        selecting = [one for one in grants.values() if offered.match(one.name) and one.selector.matches(subject)]
        for grant in selecting:
            if grant.waives_proof:
                continue
            left = set(directory.challenges if grant.challenges is None else grant.challenges) & {*directory.challenges}
            for guard in guards:
                if guard.selector.matches(subject):
                    left &= {*(guard.challenges or ())}
            groups.setdefault((grant.name, frozenset(left)), []).append(subject.namespace)
    return [_need(grants[name], challenges, tuple(found)) for (name, challenges), found in groups.items()]


def _need(grant: Policy, challenges: frozenset[str], namespaces: tuple[str, ...]) -> Need:
    assert isinstance(grant.document, ClusterIssuancePolicy)
    allowed = grant.document.spec.allowed
    return Need(
        grant.name,
        namespaces,
        challenges,
        tuple((allowed and allowed.dns_names) or ()),
        bool(allowed and allowed.wildcards),
        bool(allowed and allowed.ip_addresses),
    )


def judge(need: Need, solvers: list[Any]) -> list[Finding]:
    """Which of the names that a grant gives cannot be proved with these solvers."""
    possible = sorted(need.challenges & {*TYPES.values()})
    if not possible:
        asked = ", ".join(sorted(need.challenges)) or "challenges that exclude each other"
        fix = "let policy accept http-01 or dns-01: cert-manager knows no other"
        return [error(f"{need} asks for {asked}, which cert-manager cannot answer", fix)]
    findings = []
    usable = {kind: [one for one in solvers if one.get(key) is not None] for key, kind in TYPES.items()}
    for name in need.names:
        covering = [(kind, one) for kind in possible for one in usable[kind] if covers(one.get("selector"), name)]
        if not covering:
            fix = f"{' or '.join(_ADD[kind] for kind in possible)}, whose selector takes that name"
            findings.append(error(f"{need} asks for {' or '.join(possible)}, and no solver proves {name}", fix))
        elif all((one.get("selector") or {}).get("matchLabels") for _, one in covering):
            labels = (covering[0][1].get("selector") or {}).get("matchLabels")
            fix = f"label Certificates so, or {_ADD[covering[0][0]]} that has no matchLabels"
            findings.append(warning(f"{need}: {name} is proved only for Certificates with labels {labels}", fix))
    if need.wildcards and "dns-01" in possible and not usable["dns-01"]:
        findings.append(warning(f"{need} allows wildcards, and the issuer has no dns01 solver", _ADD["dns-01"]))
    if need.addresses and not (usable["http-01"] and "http-01" in possible):
        fix = f"{_ADD['http-01']}: addresses are proved by http-01 only (RFC 8738)"
        findings.append(warning(f"{need} allows IP addresses, and the issuer cannot prove them", fix))
    return findings


def covers(selector: Any, pattern: str) -> bool:
    """Whether a solver's selector takes every name of a policy's pattern; what is not literal in it is not known."""
    selector = selector or {}
    names, zones = selector.get("dnsNames") or [], selector.get("dnsZones") or []
    if not names and not zones:
        return True
    literal = _literal_end(pattern)
    in_zone = any(literal == zone or literal.endswith(f".{zone}") for zone in zones)
    return in_zone or pattern in names


def _literal_end(pattern: str) -> str:
    """The labels at the end of a pattern that hold no `*` and no `{…}`."""
    labels: list[str] = []
    for label in reversed(pattern.split(".")):
        if "*" in label or "{" in label or "}" in label:
            break
        labels.insert(0, label)
    return ".".join(labels)
