"""What attribution costs with many Orders in a real cluster: `python -m bench.attribution` builds and starts one.

The Orders are those that cert-manager would have left: each with its certificate in its status, over many namespaces.
"""

import argparse
import asyncio
import base64
import gc
import os
import secrets
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import structlog
import uvloop

from acme_ra.attribution.sources.kubernetes.objects import CERTIFICATE_REQUESTS, CERTIFICATES, CLUSTER_ISSUERS, ORDERS
from acme_ra.attribution.sources.kubernetes.source import KubernetesSource
from acme_ra.core.problems import Unauthorized
from acme_ra.kubernetes.client import ApiClient
from acme_ra.kubernetes.clusters import open_clusters
from acme_ra.kubernetes.resources import NAMESPACES, Resource
from acme_ra.kubernetes.settings import ClusterSettings
from tests.cluster.harness import ADMIN, RA, Cluster, Object, running_cluster, running_etcd
from tests.support.cert_manager import ACCOUNT, query, reference

Work = Callable[[int], Awaitable[None]]
RULES: list[dict[str, Any]] = [
    {"apiGroups": ["acme.cert-manager.io"], "resources": ["orders"], "verbs": ["get", "list", "watch"]},
    {
        "apiGroups": ["cert-manager.io"],
        "resources": ["certificaterequests", "certificates", "issuers", "clusterissuers"],
        "verbs": ["get"],
    },
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]},
]
REF = {"name": "acme-ra", "kind": "ClusterIssuer", "group": "cert-manager.io"}
KIND = b"CERTIFICATE REQUEST-----"
CSR = base64.b64encode(b"-----BEGIN " + KIND + b"A" * 700 + b"-----END " + KIND).decode()
CHAIN = base64.b64encode(os.urandom(3000)).decode()


def url_of(number: int) -> str:
    return f"https://ra.test/acme/default/order/{number}.{number:016}"


class Filler:
    """Writes what cert-manager would have written."""

    def __init__(self, admin: ApiClient, namespaces: int) -> None:
        self._admin = admin
        self.namespaces = [f"team-{number}" for number in range(namespaces)]

    async def prepare(self) -> None:
        for name in self.namespaces:
            await self._admin.create(NAMESPACES, {"metadata": {"name": name, "labels": {"team": name}}})
        acme = {"server": "https://ra.test", "privateKeySecretRef": {"name": "key"}}
        await self._make(CLUSTER_ISSUERS, "ClusterIssuer", {"name": "acme-ra"}, {"acme": acme})
        status = {"acme": {"uri": ACCOUNT}}
        await self._admin.merge(CLUSTER_ISSUERS, "acme-ra", {"status": status}, subresource="status")

    async def order(self, number: int, *, chain: bool) -> None:
        """An Order with its status; with the Certificate and CertificateRequest that it comes from, or alone."""
        namespace = self.namespaces[number % len(self.namespaces)]
        metadata: Object = {"namespace": namespace, "name": f"web-{number}-1-{number}"}
        dns = [f"web-{number}.{namespace}.svc"]
        if chain:
            spec: Object = {"secretName": "tls", "issuerRef": REF, "dnsNames": dns}
            where: Object = {"namespace": namespace, "name": f"web-{number}"}
            certificate = await self._make(CERTIFICATES, "Certificate", where, spec)
            where = {"namespace": namespace, "name": f"web-{number}-1"}
            where["ownerReferences"] = [reference("Certificate", "cert-manager.io/v1", certificate)]
            spec = {"request": CSR, "issuerRef": REF}
            request = await self._make(CERTIFICATE_REQUESTS, "CertificateRequest", where, spec)
            metadata["ownerReferences"] = [reference("CertificateRequest", "cert-manager.io/v1", request)]
        await self._make(ORDERS, "Order", metadata, {"request": CSR, "issuerRef": REF, "dnsNames": dns})
        authorization = {"url": url_of(number) + "/authz", "identifier": dns[0], "initialState": "valid"}
        status = {"url": url_of(number), "state": "valid", "certificate": CHAIN, "authorizations": [authorization]}
        await self._admin.merge(ORDERS, metadata["name"], {"status": status}, namespace=namespace, subresource="status")

    async def _make(self, resource: Resource, kind: str, metadata: Object, spec: Object) -> Object:
        version = f"{resource.group}/{resource.version}"
        body = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
        return await self._admin.create(resource, body, namespace=metadata.get("namespace", ""))


async def together(numbers: Iterator[int], clients: int, work: Work) -> None:
    """Each of `clients` goes on when its last one is done."""

    async def client() -> None:
        for number in numbers:
            await work(number)

    await asyncio.gather(*(client() for _ in range(clients)))


class Report:
    """Prints a table, a line for each way to ask."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        print("| attribution | p50 ms | p99 ms | max ms | each s | calls | CPU ms |")
        print("|---|---|---|---|---|---|---|")

    async def closed(self, title: str, numbers: range, clients: int, work: Work) -> float:
        """Each of `clients` asks again when it is answered; the 99th percentile in milliseconds."""
        return await self._measured(title, work, lambda timed: together(iter(numbers), clients, timed))

    async def open(self, title: str, numbers: range, rate: float, work: Work) -> float:
        """`rate` begin in each second, whatever became of the others."""

        async def arrive(timed: Work) -> None:
            loop = asyncio.get_running_loop()
            begin = loop.time()
            async with asyncio.TaskGroup() as group:
                for index, number in enumerate(numbers):
                    await asyncio.sleep(begin + index / rate - loop.time())
                    group.create_task(_run(timed, number))

        return await self._measured(title, work, arrive)

    async def after(self, title: str, numbers: range, first: Work, work: Work) -> float:
        """Each right after `first`, which is not timed."""

        async def drive(timed: Work) -> None:
            for number in numbers:
                await first(number)
                await timed(number)

        return await self._measured(title, work, drive)

    async def _measured(self, title: str, work: Work, drive: Callable[[Work], Awaitable[None]]) -> float:
        took: list[float] = []

        async def timed(number: int) -> None:
            begin = time.perf_counter()
            await work(number)
            took.append(time.perf_counter() - begin)

        calls, cpu, wall = self._client.calls, time.process_time(), time.perf_counter()
        await drive(timed)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        count = len(took)
        cut = statistics.quantiles(took, n=100, method="inclusive")
        line = f"| {title} | {cut[49] * 1e3:.1f} | {cut[98] * 1e3:.1f} | {max(took) * 1e3:.1f} "
        line += f"| {count / wall:.0f} | {(self._client.calls - calls) / count:.2f} | {cpu / count * 1e3:.2f} |"
        print(line, flush=True)
        return cut[98] * 1e3


async def _run(work: Work, number: int) -> None:
    await work(number)


def resident() -> float:
    """Megabytes of this process."""
    gc.collect()
    told = Path("/proc/self/status").read_text()
    return int(told.partition("VmRSS:")[2].split()[0]) / 1024


async def measure(cluster: Cluster, orders: int, measured: int) -> float:
    """The 99th percentile, in milliseconds, of 20 attributions a second."""
    admin = open_clusters({"prod": _settings(cluster, ADMIN.token)}, {})
    filler = Filler(admin["prod"], 50)
    await filler.prepare()
    begin = time.perf_counter()
    await together(iter(range(orders)), 24, lambda number: filler.order(number, chain=number < measured))
    print(f"{orders} Orders written in {time.perf_counter() - begin:.0f} s", flush=True)

    clusters = open_clusters({"prod": _settings(cluster, RA.token)}, {})
    client, source = clusters["prod"], KubernetesSource(clusters)
    before, begin = resident(), time.perf_counter()
    await source.start()
    assert await source.wait_synced(300)
    took, calls = time.perf_counter() - begin, client.calls
    print(f"watch in step after {took:.1f} s, {calls} calls, {resident() - before:.1f} MB\n", flush=True)

    async def attribute(number: int) -> None:
        workloads = await source.attribute(query(url=url_of(number)))
        assert workloads is not None
        assert workloads[0].name == f"web-{number}"

    async def unknown(number: int) -> None:
        try:
            await source.attribute(query(url=url_of(number)))
        except Unauthorized:
            return
        raise AssertionError("attributed to somebody")

    async def place(number: int) -> None:
        await filler.order(number, chain=True)

    report = Report(client)
    await together(iter(range(200)), 4, attribute)
    await report.closed("one at a time", range(measured), 1, attribute)
    p99 = await report.open("20 begin each second", range(min(measured, 1000)), 20, attribute)
    await report.open("50 begin each second", range(measured), 50, attribute)
    await report.closed("64 at one time", range(measured), 64, attribute)
    await report.after("of an Order of a moment ago", range(orders, orders + 200), place, attribute)
    await report.closed("nobody's, one at a time", range(10**6, 10**6 + 4), 1, unknown)
    await report.closed("nobody's, 200 at one time", range(10**6, 10**6 + 200), 200, unknown)
    await source.close()
    await clusters.close()
    await admin.close()
    return p99


def _settings(cluster: Cluster, token: str) -> ClusterSettings:
    file = cluster.token_file(token, name=f"token-{secrets.token_hex(4)}")
    return ClusterSettings(server=cluster.url, ca_bundle=cluster.ca, token_file=file, timeout=30_000, max_concurrent=32)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--orders", type=int, default=10_000)
    arguments.add_argument("--measured", type=int, default=2_000)
    arguments.add_argument("--check", action="store_true", help="end with 1 when the 99th percentile is over 50 ms")
    chosen = arguments.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    with (
        tempfile.TemporaryDirectory() as folder,
        running_etcd(Path(folder)) as etcd,
        running_cluster(Path(folder), etcd, "bench") as cluster,
    ):
        cluster.grant(RA.name, "acme-ra", RULES)
        p99 = uvloop.run(measure(cluster, chosen.orders, chosen.measured))
    return 1 if chosen.check and p99 >= 50 else 0


if __name__ == "__main__":
    raise SystemExit(main())
