"""500 Certificates in 50 namespaces at once, through one ClusterIssuer: all ready, none crossed, and what it cost."""

import datetime
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cluster.harness import RA, Object
from tests.cluster.harness.api import CERT_MANAGER
from tests.cluster.harness.describe import condition
from tests.cluster.harness.world import World
from tests.support.oracle import Event, events
from tests.support.processes import wait_for

NAMESPACES = [f"many-{number:02}" for number in range(50)]
EACH = 10
NAMES = {
    (namespace, f"web-{number}"): f"web-{number}.{namespace}.svc" for namespace in NAMESPACES for number in range(EACH)
}


def test_five_hundred_at_once(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Each namespace gets its own names and nothing else; the decision behind each names that very Certificate."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(world.cluster.namespace, NAMESPACES))
        before = measured(world)
        started = time.monotonic()
        list(pool.map(lambda key: world.ask(*key, NAMES[key]), NAMES))
        asked = time.monotonic() - started
        ready = wait_for(lambda: all_ready(world), what="500 ready Certificates", seconds=900, every=1)
        seconds = time.monotonic() - started
        after = measured(world)
        leaves = list(pool.map(world.held, ready))

    assert len({leaf.serial_number for leaf in leaves}) == len(NAMES)
    decided = decisions(world)
    for certificate, leaf in zip(ready, leaves, strict=True):
        meta = certificate["metadata"]
        workload = decided[f"{leaf.serial_number:x}"]
        assert (workload["cluster"], workload["namespace"], workload["name"]) == (
            world.cluster.name,
            meta["namespace"],
            meta["name"],
        )
        assert workload["evidence"]["certificate_uid"] == meta["uid"]
    spent = {key: after[key] - before[key] for key in after}
    with capsys.disabled():
        print(table(seconds, asked, sorted(took(one) for one in ready), spent, world))

    # Five calls at the first authorization fetch, five at finalize, whatever the number of Orders in the cluster.
    assert spent["ra"] <= 11 * len(NAMES)


def all_ready(world: World) -> list[Object] | None:
    found = [one for one in world.cluster.objects("Certificate") if one["metadata"]["namespace"] in NAMESPACES]
    return found if len(found) == len(NAMES) and all(condition("Ready")(one) for one in found) else None


def took(certificate: Object) -> float:
    """Seconds from the Certificate to its readiness, as the API server's clock tells them."""
    ready = next(told for told in certificate["status"]["conditions"] if told["type"] == "Ready")
    edges = (certificate["metadata"]["creationTimestamp"], ready["lastTransitionTime"])
    start, end = (datetime.datetime.fromisoformat(edge) for edge in edges)
    return (end - start).total_seconds()


def decisions(world: World) -> dict[str, Object]:
    """Serial of a certificate → the workload in the decision that led to it."""
    log = events(world.server)
    allowed = {one["order_id"]: one for one in log if one["kind"] == "decision.allowed"}
    issued: list[Event] = [one for one in log if one["kind"] == "certificate.issued"]
    return {one["serial"]: allowed[one["order_id"]]["body"]["decision"]["request"]["workload"] for one in issued}


def measured(world: World) -> dict[str, float]:
    """Requests to acme-ra, calls of the API server by acme-ra and by cert-manager, seconds of CPU."""
    calls = [world.cluster.requests(user.name) for user in (RA, CERT_MANAGER)]
    assert world.server.process is not None
    return {
        "acme": acme_requests(world),
        "ra": len(calls[0]),
        "watches": sum(one["verb"] == "watch" for one in calls[0]),
        "manager": len(calls[1]),
        "cpu": sum(map(cpu_seconds, world.server.process.pids())),
    }


def acme_requests(world: World) -> float:
    with urllib.request.urlopen(world.metrics, timeout=30) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("acme_ra_requests_total{"))


def cpu_seconds(pid: int) -> float:
    fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def table(seconds: float, asked: float, waits: list[float], spent: dict[str, float], world: World) -> str:
    count = len(NAMES)
    verbs = Counter(f"{one['verb']} {one['objectRef']['resource']}" for one in world.cluster.requests(RA.name))
    rows = [
        ("Certificates", f"{count} in {len(NAMESPACES)} namespaces, all ready, none crossed"),
        ("time until all were ready", f"{seconds:.1f} s, of which {asked:.1f} s to apply them"),
        ("a Certificate waited", f"{waits[count // 2]:.0f} s at the median, {waits[-1]:.0f} s at most"),
        ("ACME requests", f"{spent['acme']:.0f}, {spent['acme'] / count:.1f} a certificate"),
        ("API calls of acme-ra", f"{spent['ra']:.0f}, {spent['ra'] / count:.2f} a certificate"),
        ("API calls of cert-manager", f"{spent['manager']:.0f}, {spent['manager'] / count:.1f} a certificate"),
        ("CPU of acme-ra", f"{1000 * spent['cpu'] / count:.1f} ms a certificate"),
        ("acme-ra asked, in the session", ", ".join(f"{number} {verb}" for verb, number in verbs.most_common())),
    ]
    return "\n\n" + "\n".join(f"  {name:<30}{value}" for name, value in rows) + "\n"
