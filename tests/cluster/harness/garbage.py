"""Collects cert-manager's garbage, as kube-controller-manager does where there is one.

cert-manager relies on it: a CertificateRequest that is made anew gets an Order only when the old one's is gone.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.harness.api import ApiError, Object
from tests.cluster.harness.control_plane import Cluster

KINDS = ("CertificateRequest", "Order", "Challenge")
OWNERS = ("Certificate", *KINDS)
EVERY = 2.0


class Collector:
    """Deletes what is owned by an object that is gone; only owners of cert-manager's own kinds are looked at."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(130)

    def _run(self) -> None:
        while not self._ended.wait(EVERY):
            try:
                self._collect()
            except (OSError, ApiError):
                continue  # the API server is restarting, or somebody else deleted it first

    def _collect(self) -> None:
        # Owners are listed after what they own: an owner is there before it owns anything.
        owned = [(kind, meta) for kind in KINDS for meta in self._metadata(kind)]
        alive = {meta["uid"] for kind in OWNERS for meta in self._metadata(kind)}
        for kind, meta in owned:
            if any(_gone(owner, alive) for owner in meta.get("ownerReferences", ())):
                self._cluster.delete(kind, meta["name"], meta["namespace"], uid=meta["uid"])

    def _metadata(self, kind: str) -> list[Object]:
        return [found["metadata"] for found in self._cluster.objects(kind, metadata_only=True)]


def _gone(owner: Object, alive: set[str]) -> bool:
    return owner["kind"] in OWNERS and owner["uid"] not in alive


@contextmanager
def collecting(cluster: Cluster) -> Iterator[Collector]:
    collector = Collector(cluster)
    try:
        yield collector
    finally:
        collector.close()
