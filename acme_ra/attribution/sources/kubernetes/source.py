"""Attribution by the cluster: whose Order carries our order's URL. Numbers as in docs/attribution.md."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar, cast

import structlog

from acme_ra.attribution.contract import AttributionQuery
from acme_ra.attribution.credentials import check_credential, evidence_of, namespace_allowed
from acme_ra.attribution.sources.kubernetes.chain import follow
from acme_ra.attribution.sources.kubernetes.finder import OrderFinder
from acme_ra.attribution.sources.kubernetes.objects import ORDERS, IssuerObject, OrderObject, SeenOrder, csr_of
from acme_ra.attribution.sources.kubernetes.routes import find_routes
from acme_ra.core.clock import SECOND
from acme_ra.core.identifiers import Identifier
from acme_ra.core.problems import ServiceUnavailable, Unauthorized
from acme_ra.core.request import Workload
from acme_ra.kubernetes.client import ApiClient
from acme_ra.kubernetes.clusters import Clusters
from acme_ra.kubernetes.errors import ApiNotFound, KubernetesError
from acme_ra.kubernetes.resources import NAMESPACES, Meta

log = structlog.get_logger(__name__)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


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
        order = await self._read(client, seen, query.order_url)
        namespace, issuer, chain = await _together(
            self._namespace(client, order), self._check_issuer(client, order, query), follow(client, order)
        )
        self._check_csr(order, query)
        self._check_limits(query, client, order)
        # 7. What was read in between belongs together: the Order lived all the while, and so did its namespace.
        last = await self._read(client, seen, query.order_url)
        metadata = order.metadata
        evidence = {} if query.credential is None else evidence_of(query.credential)
        evidence |= {
            "order": metadata.name,
            "order_uid": metadata.uid,
            "order_version": last.metadata.resource_version,
            "namespace_uid": namespace.metadata.uid,
            "issuer": str(order.spec.issuer_ref),
            "issuer_uid": issuer.metadata.uid,
            **chain.evidence,
        }
        self._check_same(query, client, evidence)
        return Workload(
            source=self.name,
            cluster=client.name,
            namespace=metadata.namespace,
            labels=dict(namespace.metadata.labels or {}),
            name=chain.certificate,
            owner=chain.owner,
            evidence=evidence,
        )

    # 2. The one Order that carries the URL.

    async def _find(
        self, query: AttributionQuery, names: tuple[str, ...], seconds: float
    ) -> tuple[ApiClient, SeenOrder]:
        url = query.order_url
        told = await _all(*(self._finders[name].find(url, seconds=seconds) for name in names))
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

    # 3. The Order itself, live.

    async def _read(self, client: ApiClient, seen: SeenOrder, url: str) -> OrderObject:
        told = f"Order {seen.namespace}/{seen.name} in cluster {client.name}"
        try:
            order = await client.get(ORDERS, seen.name, namespace=seen.namespace, into=OrderObject)
        except ApiNotFound as error:
            raise Unauthorized(f"{told}, which this order belongs to, was deleted") from error
        metadata = order.metadata
        if metadata.uid != seen.uid or not metadata.uid or metadata.namespace != seen.namespace:
            raise Unauthorized(f"{told} was made anew since this order was placed; its order is another one")
        if order.url != url:
            raise Unauthorized(f"{told} does not carry this order's URL any more")
        if metadata.deletion_timestamp is not None:
            raise Unauthorized(f"{told}, which this order belongs to, is being deleted")
        return order

    # 4. Its namespace, whose labels policy selects by.

    async def _namespace(self, client: ApiClient, order: OrderObject) -> Meta:
        name = order.metadata.namespace
        try:
            namespace = await client.get(NAMESPACES, name, into=Meta)
        except ApiNotFound as error:
            raise Unauthorized(f"namespace {name} in cluster {client.name} was deleted") from error
        if namespace.metadata.deletion_timestamp is not None or not namespace.metadata.uid:
            raise Unauthorized(f"namespace {name} in cluster {client.name} is being deleted")
        return namespace

    # 5. Its issuer, whose account must be the one that asks.

    async def _check_issuer(self, client: ApiClient, order: OrderObject, query: AttributionQuery) -> IssuerObject:
        reference, namespace = order.spec.issuer_ref, order.metadata.namespace
        told = f"{reference} of Order {namespace}/{order.metadata.name} in cluster {client.name}"
        resource = reference.resource
        if resource is None:
            raise Unauthorized(f"{told} is no issuer of cert-manager")
        where = namespace if resource.plural == "issuers" else ""
        try:
            issuer = await client.get(resource, reference.name, namespace=where, into=IssuerObject)
        except ApiNotFound as error:
            raise Unauthorized(f"{told} was deleted") from error
        if not issuer.account:
            # cert-manager clears it for a moment when the issuer is changed.
            raise ServiceUnavailable(f"{told} has no account yet; try again")
        if issuer.account != query.account_url:
            raise Unauthorized(f"{told} has another account than the one that placed this order")
        return issuer

    # 6. What is asked for, and for whom.

    def _check_csr(self, order: OrderObject, query: AttributionQuery) -> None:
        if query.csr is not None and csr_of(order.spec.request) != query.csr:
            raise Unauthorized(
                f"the CSR is not the one in spec.request of Order {order.metadata.namespace}/{order.metadata.name}"
            )

    def _check_limits(self, query: AttributionQuery, client: ApiClient, order: OrderObject) -> None:
        credential, namespace = query.credential, order.metadata.namespace
        if credential is not None and not namespace_allowed(credential, namespace):
            raise Unauthorized(
                f"the credential {credential.kid} of this account does not speak for namespace {namespace} in cluster "
                f"{client.name}; it speaks for {', '.join(credential.binding.namespaces)}"
            )

    # 8. The same Order as at the first authorization fetch.

    def _check_same(self, query: AttributionQuery, client: ApiClient, evidence: dict[str, str]) -> None:
        before = None if query.order is None else query.order.workload
        if before is None:
            return
        same = before.source == self.name and before.cluster == client.name
        if not same or any(before.evidence.get(key) != evidence[key] for key in ("order_uid", "namespace_uid")):
            raise Unauthorized("this order was placed by another Order than the one that carries its URL now")


async def _together(first: Awaitable[A], second: Awaitable[B], third: Awaitable[C]) -> tuple[A, B, C]:
    """Three at one time; none is left running, and of several failures the first one's is raised."""
    return cast(tuple[A, B, C], tuple(await _all(cast(Awaitable[object], first), second, third)))


async def _all(*awaitables: Awaitable[A]) -> list[A]:
    done = await asyncio.gather(*awaitables, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException):
            raise one
    return cast(list[A], done)
