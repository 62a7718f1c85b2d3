"""One etcd and one API server for the session, shared by every file: use namespaces, users and issuers of your own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.harness import Cluster, Etcd, running_cluster, running_etcd


@pytest.fixture(scope="session")
def cluster_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clusters")


@pytest.fixture(scope="session")
def etcd(cluster_root: Path) -> Iterator[Etcd]:
    with running_etcd(cluster_root) as running:
        yield running


@pytest.fixture(scope="session")
def cluster(cluster_root: Path, etcd: Etcd) -> Iterator[Cluster]:
    """The cluster `east`, with the resources of cert-manager and of the Gateway API; nothing else is in it."""
    with running_cluster(cluster_root, etcd, "east") as running:
        yield running


@pytest.fixture(scope="session")
def other_cluster(cluster_root: Path, etcd: Etcd) -> Iterator[Cluster]:
    """The cluster `west`."""
    with running_cluster(cluster_root, etcd, "west") as running:
        yield running
