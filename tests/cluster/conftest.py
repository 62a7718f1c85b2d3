"""One etcd and one API server for the session, shared by every file: use namespaces, users and issuers of your own."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.harness import Cluster, Etcd, running_cluster, running_etcd, started
from tests.cluster.harness.world import World, build_world, join_world
from tests.support.oracle import check
from tests.support.reporting import add_logs


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
def west(cluster_root: Path, etcd: Etcd) -> Cluster:
    """The cluster `west`, with its port and its keys, before it is started."""
    return Cluster(cluster_root, etcd, "west")


@pytest.fixture(scope="session")
def other_cluster(west: Cluster) -> Iterator[Cluster]:
    """The cluster `west`."""
    with started(west) as running:
        yield running


@pytest.fixture(scope="session")
def world(cluster_root: Path, cluster: Cluster, west: Cluster) -> Iterator[World]:
    """cert-manager in `east`, and an acme-ra for both clusters, which must have kept its invariants at the end."""
    with ExitStack() as stack:
        made = build_world(stack, cluster_root, cluster, west)
        made.issuer()
        yield made
        check(made.server)


@pytest.fixture(scope="session")
def other_world(world: World, other_cluster: Cluster) -> Iterator[World]:
    """cert-manager in `west`, with the same acme-ra and an issuer of its own."""
    with ExitStack() as stack:
        made = join_world(stack, world, other_cluster)
        made.issuer()
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    add_logs(item, report)
    return report
