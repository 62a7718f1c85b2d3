"""The policy resources of one cluster, as its API server tells them."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from acme_ra.core.encoding import canonical_json
from acme_ra.kubernetes.cache import Cache, Key
from acme_ra.kubernetes.client import ApiClient
from acme_ra.kubernetes.reflector import Reflector
from acme_ra.kubernetes.resources import Metadata, Resource
from acme_ra.policy.resources import ResourceName
from acme_ra.policy.schema import GROUP, VERSION

log = structlog.get_logger(__name__)

CLUSTER_KIND = "ClusterIssuancePolicy"
LOCAL_KIND = "IssuancePolicy"
RESOURCES = {
    CLUSTER_KIND: Resource(GROUP, VERSION, "clusterissuancepolicies"),
    LOCAL_KIND: Resource(GROUP, VERSION, "issuancepolicies"),
}
#: As much as a file may have. What is larger is not kept, and is a mistake.
MAX_BYTES = 256 * 1024
_NOT_CONTENT = ("apiVersion", "kind", "metadata", "status")
_AFTER_FAULT = 10.0


class SeenPolicy(msgspec.Struct, frozen=True):
    """One object. `content` is what its author wrote, as JSON; None if that is too large to be read."""

    key: Key
    version: str
    generation: int
    content: bytes | None
    status: dict[str, Any]


def seen(obj: dict[str, Any]) -> SeenPolicy:
    """Raises msgspec.ValidationError for what is no object of an API server."""
    metadata = msgspec.convert(obj.get("metadata"), Metadata)
    content = canonical_json({key: value for key, value in obj.items() if key not in _NOT_CONTENT})
    status = obj.get("status")
    return SeenPolicy(
        key=(metadata.namespace, metadata.name),
        version=metadata.resource_version,
        generation=metadata.generation,
        content=content if len(content) <= MAX_BYTES else None,
        status=status if isinstance(status, dict) else {},
    )


class ClusterWatch:
    """Both kinds, or IssuancePolicies alone where the cluster may not speak for more than its namespaces."""

    def __init__(self, client: ApiClient) -> None:
        self.client = client
        kinds = (CLUSTER_KIND, LOCAL_KIND) if client.settings.policies == "all" else (LOCAL_KIND,)
        self._caches: dict[str, Cache[SeenPolicy]] = {kind: Cache() for kind in kinds}
        self._reflectors = [
            Reflector(client=client, resource=RESOURCES[kind], into=dict[str, Any], project=seen, cache=cache)
            for kind, cache in self._caches.items()
        ]
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def synced(self) -> bool:
        """Whether everything was listed once. What was seen stays while the API server is away."""
        return all(cache.synced for cache in self._caches.values())

    async def wait_synced(self, seconds: float) -> bool:
        return all(await asyncio.gather(*(cache.wait_synced(seconds) for cache in self._caches.values())))

    def on_change(self, listener: Callable[[], None]) -> None:
        for cache in self._caches.values():
            cache.on_change(listener)

    def resources(self) -> dict[ResourceName, SeenPolicy]:
        """Everything that is there, in the order of names."""
        found = {
            ResourceName(self.client.name, kind, *one.key): one for kind, cache in self._caches.items() for one in cache
        }
        return dict(sorted(found.items()))

    def start(self) -> None:
        self._tasks = [asyncio.ensure_future(self._keep_watching(one)) for one in self._reflectors]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_watching(self, reflector: Reflector[dict[str, Any], SeenPolicy]) -> None:
        """A fault in the program must not leave a worker with the policies of yesterday."""
        while True:
            try:
                await reflector.run()
            except Exception:
                log.exception("watch of policies failed", cluster=self.client.name)
            await asyncio.sleep(_AFTER_FAULT)
