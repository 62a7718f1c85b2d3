"""One look at an Order and all that it leads to, live. Numbers as in docs/attribution.md."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar, cast

import msgspec

from acme_ra.attribution.sources.kubernetes.chain import Chain, check_request, follow, read_request
from acme_ra.attribution.sources.kubernetes.objects import (
    ORDERS,
    CertificateRequestObject,
    IssuerObject,
    OrderObject,
    SeenOrder,
    csr_of,
)
from acme_ra.core.problems import ServiceUnavailable, Unauthorized
from acme_ra.kubernetes.client import ApiClient
from acme_ra.kubernetes.errors import ApiNotFound
from acme_ra.kubernetes.resources import NAMESPACES, Meta

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


class Look(msgspec.Struct, frozen=True):
    """What was read, each by a call of its own; the Order last of those that say whose it is."""

    order: OrderObject
    namespace: Meta
    issuer: IssuerObject
    request: CertificateRequestObject | None
    chain: Chain

    @property
    def told(self) -> str:
        metadata = self.order.metadata
        return f"Order {metadata.namespace}/{metadata.name}"

    def evidence(self) -> dict[str, str]:
        metadata = self.order.metadata
        return {
            "order": metadata.name,
            "order_uid": metadata.uid,
            "order_version": metadata.resource_version,
            "namespace_uid": self.namespace.metadata.uid,
            "issuer": str(self.order.spec.issuer_ref),
            "issuer_uid": self.issuer.metadata.uid,
            **self.chain.evidence,
        }


async def look(client: ApiClient, seen: SeenOrder, url: str) -> Look:
    """Read the Order that the watch or a list has seen, and what it leads to.

    Raises Unauthorized where something is gone or another one, ServiceUnavailable, KubernetesError.
    """
    for _ in range(2):
        namespace, issuer, request = await _three(
            _namespace(client, seen), _issuer(client, seen), read_request(client, seen)
        )
        order, chain = await _two(_order(client, seen, url), follow(client, request))
        now = SeenOrder.of(order)
        if now == seen:
            return Look(order, namespace, issuer, request, chain)
        # The watch was behind, and led elsewhere than the Order does: once more, from where it leads now.
        seen = now
    raise ServiceUnavailable(f"Order {seen.namespace}/{seen.name} is changing just now; try again", retry_after=1)


# 3. Its namespace, whose labels policy selects by.


async def _namespace(client: ApiClient, seen: SeenOrder) -> Meta:
    told = f"namespace {seen.namespace} in cluster {client.name}"
    try:
        namespace = await client.get(NAMESPACES, seen.namespace, into=Meta)
    except ApiNotFound as error:
        raise Unauthorized(f"{told} was deleted") from error
    if namespace.metadata.deletion_timestamp is not None or not namespace.metadata.uid:
        raise Unauthorized(f"{told} is being deleted")
    return namespace


# 4. Its issuer.


async def _issuer(client: ApiClient, seen: SeenOrder) -> IssuerObject:
    reference = seen.issuer_ref
    told = f"{reference} of Order {seen.namespace}/{seen.name} in cluster {client.name}"
    resource = reference.resource
    if resource is None:
        raise Unauthorized(f"{told} is no issuer of cert-manager")
    where = seen.namespace if resource.plural == "issuers" else ""
    try:
        return await client.get(resource, reference.name, namespace=where, into=IssuerObject)
    except ApiNotFound as error:
        raise Unauthorized(f"{told} was deleted") from error


# 5. The Order itself, after its namespace was read: it lived all the while, and so did its namespace.


async def _order(client: ApiClient, seen: SeenOrder, url: str) -> OrderObject:
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


# 6. Who asks, and what for.


def check_account(looked: Look, account_url: str) -> None:
    """The issuer's account is the one that asks. Raises Unauthorized, ServiceUnavailable."""
    told = f"{looked.order.spec.issuer_ref} of {looked.told}"
    account = looked.issuer.account
    if not account:
        # cert-manager clears it for a moment when the issuer is changed.
        raise ServiceUnavailable(f"{told} has no account yet; try again")
    if account != account_url:
        raise Unauthorized(f"{told} has another account than the one that placed this order")


def check_csr(looked: Look, csr: bytes | None) -> None:
    """The Order asks for what its CertificateRequest asks for, and at finalize it is that. Raises Unauthorized."""
    if looked.request is not None:
        check_request(looked.request, looked.order)
    if csr is not None and csr_of(looked.order.spec.request) != csr:
        raise Unauthorized(f"the CSR is not the one in spec.request of {looked.told}")


# Several reads at one time: none is left running, and of several failures the first one's is raised.


async def all_of(*awaitables: Awaitable[A]) -> list[A]:
    done = await asyncio.gather(*awaitables, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException):
            raise one
    return cast(list[A], done)


async def _two(first: Awaitable[A], second: Awaitable[B]) -> tuple[A, B]:
    return cast(tuple[A, B], tuple(await all_of(cast(Awaitable[object], first), second)))


async def _three(first: Awaitable[A], second: Awaitable[B], third: Awaitable[C]) -> tuple[A, B, C]:
    return cast(tuple[A, B, C], tuple(await all_of(cast(Awaitable[object], first), second, third)))
