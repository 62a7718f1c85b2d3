"""docs/install.md's own commands, run in order against a real API server, which has no nodes: nothing starts there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.harness import Cluster, Etcd, running_cluster
from tests.peers.build import peer
from tests.support.server import COMMAND

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "install.md"
_BLOCK = re.compile(r"^```sh *(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """(kind, commands): `image` needs a registry (tests/deploy builds the image), `other` is for another cluster."""
    return [(found[1], found[2]) for found in _BLOCK.finditer(PAGE.read_text("utf-8"))]


@pytest.fixture(scope="module")
def empty(cluster_root: Path, etcd: Etcd) -> Iterator[Cluster]:
    """A cluster without any definitions: the chart brings those that it needs."""
    with running_cluster(cluster_root, etcd, "to-install", crds=False) as running:
        yield running


@pytest.fixture(scope="module")
def other(cluster_root: Path, etcd: Etcd) -> Iterator[Cluster]:
    with running_cluster(cluster_root, etcd, "remote", crds=False) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout's deploy/, and the three programs."""
    folder = tmp_path_factory.mktemp("install")
    programs = folder / "bin"
    programs.mkdir()
    for name in ("kubectl", "helm"):
        (programs / name).symlink_to(peer(name))
    (programs / "acme-ra").write_text(f'#!/bin/sh\nexec {" ".join(map(str, COMMAND))} "$@"\n')
    (programs / "acme-ra").chmod(0o755)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    return folder


def test_the_page_installs_the_chart(empty: Cluster, other: Cluster, folder: Path) -> None:
    """Every block ends well; what it made is in the cluster, and the root's key is not."""
    for kind, commands in blocks():
        if kind != "image":
            _follow(commands, folder, other if kind == "other" else empty)

    data = {one["metadata"]["name"]: one.get("data", {}) for one in empty.objects("Secret", "acme-ra")}
    assert set(data["acme-ra-tls"]) == {"tls.crt", "tls.key"}
    assert set(data["acme-ra-ca"]) == {"intermediate.pem", "intermediate.key", "root.pem"}
    assert set(data["acme-ra-keys"]) == {"master.key", "passphrase"}
    container = empty.get("Deployment", "acme-ra", "acme-ra")["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.example.com/acme-ra:0.1.0"
    text = empty.get("ConfigMap", "acme-ra-config", "acme-ra")["data"]["acme-ra.yaml"]
    assert re.search(r"^clusters:\n  one:\n", text, re.MULTILINE)
    assert empty.exists("CustomResourceDefinition", "issuancepolicies.policy.acme-ra.dev")
    assert other.exists("ServiceAccount", "acme-ra", "acme-ra")
    assert other.objects("Deployment", "acme-ra") == []


def _follow(commands: str, folder: Path, cluster: Cluster) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ACME_RA_", "KUBE", "HELM_"))}
    environment = {
        **kept,
        "HOME": str(folder),
        "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "KUBECONFIG": str(cluster.kubeconfig),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
