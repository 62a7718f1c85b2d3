"""The clusters of the configuration: reachable, with the least rights that attribution needs, and no more."""

import os
from collections.abc import Iterator

from acme_ra.app import read_policies
from acme_ra.doctor.client.clock import judge_api_server
from acme_ra.doctor.client.view import View
from acme_ra.doctor.findings import CannotLook, Finding, Level, error, explain, ok, warning
from acme_ra.doctor.server.subject import ServerSide
from acme_ra.kubernetes.client import ApiClient
from acme_ra.kubernetes.connection import open_connection
from acme_ra.kubernetes.errors import ClusterMisconfigured, KubernetesError
from acme_ra.kubernetes.settings import ClusterSettings
from acme_ra.policy.errors import PolicyErrors
from acme_ra.policy.schema import API_VERSION

Right = tuple[str, str, str, str]
"""Verb, API group, resource, subresource."""
_READ = ("get", "list", "watch")
_FIX = "kubectl apply -k deploy/kustomize/rbac, or grant it to the identity in clusters.{name}"
#: What a registration authority has no use for; whoever gets hold of its token would.
EXCESSIVE: tuple[Right, ...] = (
    ("get", "", "secrets", ""),
    ("create", "acme.cert-manager.io", "orders", ""),
    ("update", "acme.cert-manager.io", "orders", "status"),
    ("create", "", "pods", ""),
)


async def check_clusters(server: ServerSide) -> list[Finding]:
    findings = []
    for name, settings in server.configuration.clusters.items():
        findings += await _check(server, name, settings)
    return findings or _unbound(server)


def _unbound(server: ServerSide) -> list[Finding]:
    return [ok("no clusters are configured: credentials speak for the namespaces that they were bound to")]


async def _check(server: ServerSide, name: str, settings: ClusterSettings) -> list[Finding]:
    try:
        connection = open_connection(settings, os.environ)
    except ClusterMisconfigured as problem:
        what, _, fix = str(problem).partition("; ")
        return [error(f"{name}: {what}", fix or f"correct clusters.{name}")]
    findings = [_named(name, one) for one in await judge_api_server(connection)]
    if findings[0].level == Level.ERROR:
        return findings
    api = ApiClient(name, connection, settings)
    try:
        findings.append(await _judge_rights(name, View(api), [*needed(settings, routes=_routes(server, settings))]))
        findings += await _judge_excess(name, View(api))
    except (KubernetesError, CannotLook) as problem:
        findings.append(error(f"{name}: {explain(problem)}", f"correct the identity in clusters.{name}"))
    finally:
        await api.close()
    return findings


def _named(name: str, finding: Finding) -> Finding:
    return Finding(finding.level, f"{name}: {finding.seen}", finding.fix)


def _routes(server: ServerSide, settings: ClusterSettings) -> bool:
    """Whether a policy asks for routes, or may at any time."""
    if settings.policies != "none":
        return True
    try:
        return read_policies(server.configuration).needs_routes
    except PolicyErrors:
        return True  # told by the policies' check


def needed(settings: ClusterSettings, *, routes: bool) -> Iterator[Right]:
    """The least that acme-ra must be allowed in a cluster: what attribution reads, and what the settings ask for."""
    for verb in _READ:
        yield verb, "acme.cert-manager.io", "orders", ""
    for resource in ("certificaterequests", "certificates", "issuers", "clusterissuers"):
        yield "get", "cert-manager.io", resource, ""
    yield "get", "", "namespaces", ""
    for verb in ("get", "list") if routes else ("get",):  # the owners of Certificates that ingress-shim made
        yield verb, "networking.k8s.io", "ingresses", ""
        yield verb, "gateway.networking.k8s.io", "gateways", ""
    if routes:
        for resource in ("httproutes", "tlsroutes"):
            yield "list", "gateway.networking.k8s.io", resource, ""
    if settings.events:
        yield "create", "", "events", ""
    kinds = {"none": (), "namespaced": ("issuancepolicies",)}.get(
        settings.policies, ("clusterissuancepolicies", "issuancepolicies")
    )
    if kinds:
        group = API_VERSION.partition("/")[0]
        for resource in kinds:
            for verb in _READ:
                yield verb, group, resource, ""
            yield "patch", group, resource, "status"


async def _judge_rights(name: str, view: View, rights: list[Right]) -> Finding:
    absent = [right for right in rights if not await _allowed(view, right)]
    if absent:
        told = ", ".join(_shown(right) for right in absent)
        return error(f"{name}: acme-ra may not {told}", _FIX.format(name=name))
    return ok(f"{name}: acme-ra has the {len(rights)} rights that it needs")


async def _judge_excess(name: str, view: View) -> list[Finding]:
    excess = [_shown(right) for right in EXCESSIVE if await _allowed(view, right)]
    if not excess:
        return []
    fix = f"give clusters.{name} an identity with the role in deploy/kustomize/rbac only"
    return [warning(f"{name}: acme-ra may {', '.join(excess)}, which it never does", fix)]


async def _allowed(view: View, right: Right) -> bool:
    verb, group, resource, subresource = right
    return await view.may(verb, group, resource, subresource=subresource)


def _shown(right: Right) -> str:
    verb, group, resource, subresource = right
    full = f"{resource}/{subresource}" if subresource else resource
    return f"{verb} {full}.{group}" if group else f"{verb} {full}"
