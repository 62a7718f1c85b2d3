"""docs/kubernetes.md's own commands, run in order: from an empty cluster to a certificate, a refusal, and back.

Only addresses are replaced. The cluster has the resources of cert-manager and its controllers, and nothing else.
"""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue

import pytest

from tests.cluster.harness import Cluster, Etcd, running_cert_manager, running_cluster
from tests.peers.build import peer
from tests.support.dns_server import FakeDNS, fake_dns
from tests.support.processes import Process, free_port, wait_for
from tests.support.server import COMMAND

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "kubernetes.md"
_BLOCK = re.compile(r"^```sh *(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """(kind, commands): kind is "" for commands that succeed, else `setup`, `server` or `refused`."""
    return [(found[1], found[2]) for found in _BLOCK.finditer(PAGE.read_text("utf-8"))]


@dataclass
class Reader:
    """Somebody who reads the page from its beginning and types what it says."""

    folder: Path
    environment: dict[str, str]
    port: int
    said: str = ""
    servers: list[Process] = field(default_factory=list)

    def follow(self, kind: str, commands: str) -> None:
        commands = commands.replace("127.0.0.1:14000", f"127.0.0.1:{self.port}")
        if kind in ("setup", "server"):
            server = self._serve(commands)
            if kind == "setup":
                os.killpg(server.pid, signal.SIGINT)
                server.wait(30)
            return
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        self.said += done.stdout
        expected = (done.returncode != 0) == (kind == "refused")
        assert expected, f"{commands}\n{done.stdout}\n{done.stderr}\n{self.servers[-1].log()}"

    def _serve(self, commands: str) -> Process:
        script = ["bash", "-c", f"cd '{self.folder}' && exec {commands.strip()}"]
        name = f"server-{len(self.servers)}"
        server = Process(script, name=name, logs=self.folder / "logs", env=self.environment)
        self.servers.append(server)

        def serves() -> bool:
            assert server.running(), server.log()
            return "Ctrl-C stops" in server.out.read_text() or "Serving https" in server.out.read_text()

        wait_for(serves, what="the server", seconds=120, log=server.log)
        return server


@contextmanager
def resolving() -> Iterator[str]:
    """A resolver that answers, at this address: the network's may not."""
    found: Queue[tuple[FakeDNS, asyncio.Event]] = Queue()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        async with fake_dns() as server:
            stop = asyncio.Event()
            found.put((server, stop))
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    server, stop = found.get(timeout=30)
    try:
        yield server.address
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()


@pytest.fixture(scope="module")
def reader(cluster_root: Path, etcd: Etcd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """An empty cluster with cert-manager, the checkout's deploy/, and kubectl and acme-ra on the PATH."""
    folder = tmp_path_factory.mktemp("reader")
    programs = folder / "bin"
    programs.mkdir()
    (programs / "kubectl").symlink_to(peer("kubectl"))
    (programs / "acme-ra").write_text(f'#!/bin/sh\nexec {" ".join(map(str, COMMAND))} "$@"\n')
    (programs / "acme-ra").chmod(0o755)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    with (
        running_cluster(cluster_root, etcd, "empty") as cluster,
        resolving() as resolver,
        running_cert_manager(cluster),
    ):
        made = Reader(folder, _environment(cluster, programs, resolver), free_port())
        try:
            yield made
        finally:
            for server in made.servers:
                server.kill()


def _environment(cluster: Cluster, programs: Path, resolver: str) -> dict[str, str]:
    """As somebody has it who has just logged in to the cluster; a resolver in place of the network's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ACME_RA_", "KUBE"))}
    return {
        **kept,
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "KUBECONFIG": str(cluster.kubeconfig),
        "ACME_RA_VALIDATION__RESOLVERS": resolver,
        "NO_COLOR": "1",
    }


def test_the_page_takes_a_reader_to_a_certificate_and_a_refusal(reader: Reader) -> None:
    """Every sh block does what the text around it says, within the ten minutes."""
    started = time.monotonic()
    for kind, commands in blocks():
        reader.follow(kind, commands)
    seconds = time.monotonic() - started

    said = reader.said
    assert "certificate.cert-manager.io/db condition met" in said
    assert "DNS:db.team-a.svc, DNS:db.team-a.svc.cluster.local" in said
    assert re.search(r"certificate\.issued +allowed +team-a", said)
    assert re.search(r"policy refuses db\.team-a\.svc.*own-services", said)
    assert re.search(r"Warning +\w+ .*acme-ra .*db\.team-a\.svc", said), "no Event told the refusal"
    assert "clusterissuer.cert-manager.io/acme-ra condition met" in said
    assert said.count("errors: 0") == 3
    assert seconds < 600


def test_every_command_on_the_page_is_run() -> None:
    """No block of another language holds a command, and each sort of block is there."""
    languages = set(re.findall(r"^```(\w*)", PAGE.read_text("utf-8"), re.MULTILINE)) - {""}

    assert languages == {"sh"}
    assert {kind for kind, _ in blocks()} == {"", "setup", "server", "refused"}
