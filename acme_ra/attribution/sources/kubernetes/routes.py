"""What carries a name in a namespace: Ingress, Gateway listener, HTTPRoute, TLSRoute (Ingress and Gateway API specs).

Wildcards mean what their specification says: an Ingress' `*.a.b` is one label more, a Gateway's is one or more. What
names no host at all carries everything, and so shows nothing: it is passed over.
"""

from collections.abc import AsyncGenerator, Iterator

import msgspec

from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.kubernetes.client import ApiClient
from acme_ra.kubernetes.errors import ApiNotFound
from acme_ra.kubernetes.resources import Metadata, Resource

GATEWAY_GROUP = "gateway.networking.k8s.io"
INGRESSES = Resource("networking.k8s.io", "v1", "ingresses")
GATEWAYS = Resource(GATEWAY_GROUP, "v1", "gateways")
HTTP_ROUTES = Resource(GATEWAY_GROUP, "v1", "httproutes")
#: The versions that were served over the years, the newest first.
TLS_ROUTES = tuple(Resource(GATEWAY_GROUP, version, "tlsroutes") for version in ("v1", "v1alpha3", "v1alpha2"))


_SOLVER = "acme.cert-manager.io/http01-solver"


class _Host(msgspec.Struct, frozen=True):
    host: str = ""


class _Hosts(msgspec.Struct, frozen=True):
    hosts: list[str] | None = None


class _Listener(msgspec.Struct, frozen=True):
    hostname: str | None = None


class _Spec(msgspec.Struct, frozen=True):
    """The parts of all four kinds that name hosts."""

    rules: list[_Host] | None = None  # of an Ingress; a route's rules have no host
    tls: list[_Hosts] | None = None
    listeners: list[_Listener] | None = None
    hostnames: list[str] | None = None


class RouteObject(msgspec.Struct, frozen=True):
    metadata: Metadata
    spec: _Spec | None = None


async def find_routes(client: ApiClient, namespace: str, identifiers: tuple[Identifier, ...]) -> dict[str, str]:
    """Identifier value → `Ingress web`. Kinds are asked one after the other until all names are found.

    Raises KubernetesError. A kind that the cluster does not know carries nothing.
    """
    carried: dict[str, str] = {}
    missing = [one for one in identifiers if one.type == IdentifierType.DNS]
    for kind, versions, deep in (
        ("Ingress", (INGRESSES,), False),
        ("Gateway", (GATEWAYS,), True),
        ("HTTPRoute", (HTTP_ROUTES,), True),
        ("TLSRoute", TLS_ROUTES, True),
    ):
        if not missing:
            break
        async for name, hosts in _objects(client, versions, namespace):
            for identifier in tuple(missing):
                if any(carries(host, identifier, deep=deep) for host in hosts):
                    carried[identifier.value] = f"{kind} {name}"
                    missing.remove(identifier)
    return carried


async def _objects(
    client: ApiClient, versions: tuple[Resource, ...], namespace: str
) -> AsyncGenerator[tuple[str, tuple[str, ...]], None]:
    for resource in versions:
        try:
            async for page in client.pages(resource, namespace=namespace, into=RouteObject):
                for item in page.items or ():
                    if _counts(item.metadata, namespace):
                        yield item.metadata.name, tuple(_hosts_of(item.spec))
            return
        except ApiNotFound:
            continue


def _counts(metadata: Metadata, namespace: str) -> bool:
    # The namespace was asked for; an answer with another one would be somebody else's.
    if metadata.namespace != namespace or metadata.deletion_timestamp is not None:
        return False
    # While cert-manager solves http-01 it carries the name itself, for whoever asked: that is no route of anybody.
    return _SOLVER not in (metadata.labels or {})


def _hosts_of(spec: _Spec | None) -> Iterator[str]:
    if spec is None:
        return
    for rule in spec.rules or ():
        yield rule.host
    for tls in spec.tls or ():
        yield from tls.hosts or ()
    for listener in spec.listeners or ():
        yield listener.hostname or ""
    yield from spec.hostnames or ()


def carries(host: str, identifier: Identifier, *, deep: bool) -> bool:
    """Whether every name that the identifier stands for is the host's. `deep`: `*.` stands for one or more labels."""
    host, name = host.lower(), identifier.value
    if not host or identifier.type != IdentifierType.DNS:
        return False
    if not host.startswith("*."):
        return host == name
    if host == name:
        return True
    base = name[2:] if identifier.wildcard else name
    if not base.endswith(host[1:]):
        return False
    if identifier.wildcard:
        return deep  # `*.x.a.b` below `*.a.b`: only where that reaches over several labels
    return deep or "." not in base[: -len(host[1:])]
