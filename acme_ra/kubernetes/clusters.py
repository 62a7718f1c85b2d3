"""All clusters of a server, by name."""

from collections.abc import Iterator, Mapping

from acme_ra.kubernetes.client import ApiClient
from acme_ra.kubernetes.connection import open_connection
from acme_ra.kubernetes.errors import ClusterMisconfigured
from acme_ra.kubernetes.settings import ClusterSettings


class Clusters(Mapping[str, ApiClient]):
    """One client for each configured cluster; nothing is connected before it is needed."""

    def __init__(self, clients: Mapping[str, ApiClient] | None = None) -> None:
        self._clients = dict(clients or {})

    def __getitem__(self, name: str) -> ApiClient:
        return self._clients[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._clients)

    def __len__(self) -> int:
        return len(self._clients)

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()


def open_clusters(settings: Mapping[str, ClusterSettings], environment: Mapping[str, str]) -> Clusters:
    """Raises ClusterMisconfigured, which names the cluster. A cluster that does not answer is no mistake."""
    clients = {}
    for name, one in settings.items():
        try:
            clients[name] = ApiClient(name, open_connection(one, environment), one)
        except ClusterMisconfigured as error:
            raise ClusterMisconfigured(f"clusters.{name}: {error}") from error
    return Clusters(clients)
