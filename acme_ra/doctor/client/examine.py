"""The examination of an issuer: the cluster is reached, the issuer read, its directory asked, then every check made."""

import difflib
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec

from acme_ra.config import Configuration
from acme_ra.core.clock import SECOND, SystemClock
from acme_ra.doctor.client.issuer import decode_bundle
from acme_ra.doctor.client.kubeconfig import open_kubeconfig
from acme_ra.doctor.client.subject import ClusterSide, IssuerSide
from acme_ra.doctor.client.versions import controller
from acme_ra.doctor.client.view import View
from acme_ra.doctor.directory import Reached, Unreachable, reach
from acme_ra.doctor.findings import CannotLook, Finding, Level, error, examine, warning
from acme_ra.doctor.registry import API_CHECKS, CLUSTER_CHECKS, ISSUER_CHECKS
from acme_ra.kubernetes.client import ApiClient
from acme_ra.kubernetes.errors import ClusterMisconfigured, KubernetesError
from acme_ra.kubernetes.settings import ClusterSettings
from acme_ra.storage.contract import StoreUnavailable
from acme_ra.storage.schema import SchemaMismatch
from acme_ra.storage.store import open_store

_PATH = "/apis/cert-manager.io/v1"
_RESOURCE_NAMESPACE = "cert-manager"
_TIMEOUT = 10 * SECOND


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which issuer. A namespace makes it an Issuer. Empty texts are found out."""

    kubeconfig: Path
    context: str | None = None
    issuer: str
    namespace: str = ""
    cluster: str = ""
    resource_namespace: str = ""

    @property
    def kind(self) -> str:
        return "Issuer" if self.namespace else "ClusterIssuer"

    @property
    def collection(self) -> str:
        return f"{_PATH}/namespaces/{self.namespace}/issuers" if self.namespace else f"{_PATH}/clusterissuers"


async def examine_issuer(
    asked: Asked, environment: Mapping[str, str], configuration: Configuration | None
) -> AsyncIterator[Finding]:
    """Every finding. `configuration` is the server's, where the person has it at hand."""
    try:
        connection = await open_kubeconfig(asked.kubeconfig, asked.context, environment)
    except ClusterMisconfigured as problem:
        what, _, fix = str(problem).partition("; ")
        yield msgspec.structs.replace(error(what, fix or "correct the kubeconfig"), check="kubeconfig")
        return
    settings = ClusterSettings(kubeconfig=asked.kubeconfig, timeout=_TIMEOUT)
    api = ApiClient(os.fspath(asked.kubeconfig), connection, settings)
    side = ClusterSide(view=View(api), connection=connection, configuration=configuration, cluster=asked.cluster)
    try:
        first = [finding async for finding in examine(API_CHECKS, side)]
        for finding in first:
            yield finding
        if first[0].level != Level.ERROR:
            async for finding in _examine(asked, side):
                yield finding
    finally:
        await api.close()


async def _examine(asked: Asked, side: ClusterSide) -> AsyncIterator[Finding]:
    found = await find_issuer(asked, side)
    if isinstance(found, Finding):
        yield msgspec.structs.replace(found, check="issuer")
        async for finding in examine(CLUSTER_CHECKS, side):
            yield finding
        return
    async for finding in examine(CLUSTER_CHECKS, found.side):
        yield finding
    async for finding in examine(ISSUER_CHECKS, found):
        yield finding


async def find_issuer(asked: Asked, side: ClusterSide) -> IssuerSide | Finding:
    """The issuer with what several checks need of it, or the finding that it is not there."""
    try:
        issuer = await side.view.get(f"{asked.collection}/{asked.issuer}")
        if issuer is None:
            return await _absent(asked, side.view)
    except CannotLook as problem:
        return warning(problem.seen, problem.fix)
    except KubernetesError as problem:
        return error(str(problem), "see what the API server says")
    acme = (issuer.get("spec") or {}).get("acme")
    if not isinstance(acme, dict):
        return error(f"{asked.kind} {asked.issuer} is no ACME issuer", "name one with spec.acme")
    try:
        bundle: bytes | None = decode_bundle(acme.get("caBundle"))
    except ValueError:
        bundle = None  # told by the directory's check
    kid = str((acme.get("externalAccountBinding") or {}).get("keyID", ""))
    cluster = side.cluster or await _cluster_of(side.configuration, kid)
    return IssuerSide(
        side=msgspec.structs.replace(side, cluster=cluster),
        kind=asked.kind,
        issuer=issuer,
        secrets=asked.namespace or asked.resource_namespace or await _resource_namespace(side.view),
        bundle=bundle,
        reached=await _reach(str(acme.get("server", "")), bundle),
    )


async def _absent(asked: Asked, view: View) -> Finding:
    if await view.get(_PATH) is None:
        return error("cert-manager is not installed: the cluster has no cert-manager.io/v1", "install it first")
    names = [str(one["metadata"]["name"]) for one in await view.items(asked.collection)]
    where = f" in namespace {asked.namespace}" if asked.namespace else ""
    guess = difflib.get_close_matches(asked.issuer, names, n=1)
    fix = f"did you mean {guess[0]}?" if guess else f"there are: {', '.join(names) or 'none'}"
    if not names:
        fix = "make one: acme-ra issuer manifest --cluster NAME | kubectl apply -f -"
    return error(f"there is no {asked.kind} {asked.issuer}{where}", fix)


async def _reach(server: str, bundle: bytes | None) -> Reached | Unreachable:
    try:
        return await reach(server, bundle=bundle or b"")
    except Unreachable as problem:
        return problem


async def _resource_namespace(view: View) -> str:
    """--cluster-resource-namespace of cert-manager's controller; without one it is the controller's own."""
    try:
        deployment = await controller(view)
    except (CannotLook, KubernetesError):
        return _RESOURCE_NAMESPACE  # the Secrets' check tells where it looked
    if deployment is None:
        return _RESOURCE_NAMESPACE
    own = str(deployment["metadata"]["namespace"])
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        for argument in container.get("args") or []:
            name, _, value = str(argument).partition("=")
            if name == "--cluster-resource-namespace":
                return own if value == "$(POD_NAMESPACE)" else value
    return own


async def _cluster_of(configuration: Configuration | None, kid: str) -> str:
    """The cluster that the issuer's credential speaks for; "" where that cannot be told."""
    if configuration is None or not kid:
        return ""
    try:
        store = await open_store(configuration.storage, clock=SystemClock())
    except (SchemaMismatch, StoreUnavailable):
        return ""  # told by the check of the binding
    try:
        credential = await store.credential(kid)
    finally:
        await store.close()
    return "" if credential is None else credential.binding.cluster
