"""Attribution by the cluster: whose Order carries our order's URL. Numbers as in docs/attribution.md."""

import asyncio

import structlog

from acme_ra.attribution.contract import AttributionQuery
from acme_ra.attribution.credentials import check_credential, evidence_of, namespace_allowed
from acme_ra.attribution.sources.kubernetes.finder import OrderFinder
from acme_ra.attribution.sources.kubernetes.look import Look, all_of, check_account, check_csr, look
from acme_ra.attribution.sources.kubernetes.objects import SeenOrder
from acme_ra.attribution.sources.kubernetes.routes import find_routes
from acme_ra.core.clock import SECOND
from acme_ra.core.identifiers import Identifier
from acme_ra.core.problems import ServiceUnavailable, Unauthorized
from acme_ra.core.request import Workload
from acme_ra.kubernetes.client import ApiClient
from acme_ra.kubernetes.clusters import Clusters
from acme_ra.kubernetes.errors import KubernetesError

log = structlog.get_logger(__name__)
#: What of the evidence may not become something else between the first look and the last.
_LASTING = ("order_uid", "namespace_uid")


class KubernetesSource:
    """The Orders of the clusters that a credential or directory is bound to, and of no other."""

    name = "kubernetes"

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters
        self._finders = {name: OrderFinder(client) for name, client in clusters.items()}

    async def start(self) -> None:
        """Begin to watch; a cluster that does not answer holds nobody up."""
        for finder in self._finders.values():
            finder.start()

    async def close(self) -> None:
        for finder in self._finders.values():
            await finder.close()

    async def wait_synced(self, seconds: float) -> bool:
        """Whether the Orders of every cluster were listed once, within this time."""
        done = await asyncio.gather(*(finder.wait_synced(seconds) for finder in self._finders.values()))
        return all(done)

    def concerns(self, query: AttributionQuery) -> bool:
        """Where there are clusters, whoever is bound to one is judged here, also when that one is unknown.

        Falling back to the credential's own binding would let a mistyped name turn a limit into a proof.
        """
        bound = query.credential is not None and query.credential.binding.cluster
        return bool(query.clusters or (bound and self._clusters))

    async def attribute(self, query: AttributionQuery) -> tuple[Workload, ...] | None:
        if query.credential is not None:
            check_credential(query.credential, query.directory)
        names = self._bound(query)
        if query.order is None:
            return None  # cert-manager writes the URL down when it has it
        seconds = max(self._clusters[name].settings.attribution_timeout for name in names) / SECOND
        try:
            async with asyncio.timeout(seconds):
                return (await self._attribute(query, names, seconds),)
        except TimeoutError as error:
            told = " and ".join(names)
            raise ServiceUnavailable(f"the API server of cluster {told} answers too slowly; try again") from error
        except KubernetesError as error:
            log.warning("attribution not possible", cluster=error.cluster, cause=str(error))
            raise error.unavailable() from error

    async def routes(self, workload: Workload, identifiers: tuple[Identifier, ...]) -> dict[str, str]:
        client = self._clusters.get(workload.cluster)
        if client is None or not workload.namespace:
            return {}
        try:
            async with asyncio.timeout(client.settings.attribution_timeout / SECOND):
                return await find_routes(client, workload.namespace, identifiers)
        except TimeoutError as error:
            told = f"the API server of cluster {client.name} answers too slowly; try again"
            raise ServiceUnavailable(told) from error
        except KubernetesError as error:
            log.warning("routes cannot be looked up", cluster=error.cluster, cause=str(error))
            raise error.unavailable() from error

    # 1. Which clusters may tell?

    def _bound(self, query: AttributionQuery) -> tuple[str, ...]:
        own = "" if query.credential is None else query.credential.binding.cluster
        if not own:
            names = query.clusters
        elif query.clusters and own not in query.clusters:
            raise Unauthorized(
                f"this account's credential is bound to cluster {own}, which the directory {query.directory} does not "
                f"serve; it serves {', '.join(query.clusters)}"
            )
        else:
            names = (own,)
        if not names:
            raise Unauthorized("this account is bound to no cluster; ask for a credential that is bound to one")
        unknown = [name for name in names if name not in self._clusters]
        if unknown:
            raise Unauthorized(
                f"this server knows no cluster {unknown[0]}; ask its operator to add clusters.{unknown[0]}, or for a "
                f"credential that is bound to one of {', '.join(self._clusters)}"
            )
        return names

    async def _attribute(self, query: AttributionQuery, names: tuple[str, ...], seconds: float) -> Workload:
        client, seen = await self._find(query, names, seconds)
        looked = await look(client, seen, query.order_url)
        check_account(looked, query.account_url)
        check_csr(looked, query.csr)
        self._check_limits(query, client, looked)
        credential = {} if query.credential is None else evidence_of(query.credential)
        workload = Workload(
            source=self.name,
            cluster=client.name,
            namespace=looked.order.metadata.namespace,
            labels=dict(looked.namespace.metadata.labels or {}),
            name=looked.chain.certificate,
            owner=looked.chain.owner,
            evidence=credential | looked.evidence(),
        )
        self._check_same(query, workload)
        return workload

    # 2. The one Order that carries the URL.

    async def _find(
        self, query: AttributionQuery, names: tuple[str, ...], seconds: float
    ) -> tuple[ApiClient, SeenOrder]:
        url = query.order_url
        told = await all_of(*(self._finders[name].find(url, seconds=seconds) for name in names))
        found = [(self._clusters[name], seen) for name, orders in zip(names, told, strict=True) for seen in orders]
        where = f"cluster {' or '.join(names)}"
        if not found:
            raise Unauthorized(
                f"no Order in {where} has this order's URL in its status; only cert-manager's orders are served to "
                "this account, so ask for a Certificate instead"
            )
        if len(found) > 1:
            # Whose they are is for the operator: each would learn of the other's.
            listed = sorted(f"{client.name}:{seen.namespace}/{seen.name}" for client, seen in found)
            log.error("several Orders claim one order", order=url, orders=listed[:10])
            raise Unauthorized(
                f"{len(found)} Orders in {where} claim this order's URL, and cert-manager wrote only one of them. Ask "
                "your cluster's operator who may write Orders (GHSA-8rvj-mm4h-c258), then ask for the Certificate anew"
            )
        return found[0]

    # 7. For whom the credential may speak.

    def _check_limits(self, query: AttributionQuery, client: ApiClient, looked: Look) -> None:
        credential, namespace = query.credential, looked.order.metadata.namespace
        if credential is not None and not namespace_allowed(credential, namespace):
            raise Unauthorized(
                f"the credential {credential.kid} of this account does not speak for namespace {namespace} in cluster "
                f"{client.name}; it speaks for {', '.join(credential.binding.namespaces)}"
            )

    # 8. At finalize, the same as at the first authorization fetch.

    def _check_same(self, query: AttributionQuery, workload: Workload) -> None:
        before = None if query.order is None else query.order.workload
        if before is None:
            return
        same = (before.source, before.cluster) == (workload.source, workload.cluster)
        if not same or any(before.evidence.get(key) != workload.evidence[key] for key in _LASTING):
            raise Unauthorized("this order was placed by another Order than the one that carries its URL now")
