"""One etcd and one API server for the session, shared by every file: use namespaces, users and issuers of your own."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.harness import Cluster, Etcd, running_cluster, running_etcd
from tests.cluster.harness.world import World, build_world
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
def other_cluster(cluster_root: Path, etcd: Etcd) -> Iterator[Cluster]:
    """The cluster `west`."""
    with running_cluster(cluster_root, etcd, "west") as running:
        yield running


@pytest.fixture(scope="session")
def world(cluster_root: Path, cluster: Cluster) -> Iterator[World]:
    """cert-manager in `east`, and an acme-ra, which must have kept its invariants when all is done."""
    with ExitStack() as stack:
        made = build_world(stack, cluster_root, cluster)
        yield made
        check(made.server)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    add_logs(item, report)
    return report
