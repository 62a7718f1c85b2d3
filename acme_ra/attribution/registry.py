"""The attribution sources of this server, one line each."""

from collections.abc import Callable

from acme_ra.attribution.contract import AttributionSource
from acme_ra.attribution.sources.credential import CredentialSource

SOURCES: dict[str, Callable[[], AttributionSource]] = {
    "credential": CredentialSource,
}


def all_sources() -> dict[str, AttributionSource]:
    """Every registered source, made ready."""
    return {name: make() for name, make in SOURCES.items()}
