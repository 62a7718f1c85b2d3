"""The attribution sources of this server, one line each; the first that a query concerns is asked."""

from collections.abc import Callable

from acme_ra.attribution.contract import AttributionSource
from acme_ra.attribution.sources.credential import CredentialSource
from acme_ra.attribution.sources.kubernetes.source import KubernetesSource
from acme_ra.kubernetes.clusters import Clusters

SOURCES: dict[str, Callable[[Clusters], AttributionSource]] = {
    "kubernetes": KubernetesSource,
    "credential": lambda _: CredentialSource(),
}


def all_sources(clusters: Clusters) -> dict[str, AttributionSource]:
    """Every registered source, in the order in which they are tried."""
    return {name: make(clusters) for name, make in SOURCES.items()}
