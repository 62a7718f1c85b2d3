"""What a certificate costs as the database grows: `python -m bench.scale`.

Measured under the load client at each size, then for one account that holds 100,000 orders. Between the measurements
the server is stopped and the database is filled with copies of a really issued order (bench/fill.py).
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from acme_ra.storage.settings import StorageSettings
from bench.fill import fill
from bench.load import Target, drive
from tests.support.acme_client import AcmeClient
from tests.support.oracle import database, rows
from tests.support.server import Ports, Server

SIZES = (0, 50_000, 100_000, 200_000)
_HZ_MS = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    options = _parse(arguments)
    with tempfile.TemporaryDirectory(prefix="acme-ra-scale-") as scratch:
        server = Server(Path(scratch), ports=Ports())
        try:
            measured = _sizes(server, options)
            account = asyncio.run(_account(server, options))
        finally:
            if server.process is not None and server.process.running():
                server.stop()
    _print(measured, account)
    if options.json:
        Path(options.json).write_text(json.dumps({"sizes": measured, "account": account}, indent=1) + "\n")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--sizes", type=lambda text: tuple(map(int, text.split(","))), default=SIZES)
    parser.add_argument("--orders", type=int, default=100_000, help="orders of one account [100000]")
    parser.add_argument("--seconds", type=int, default=15, help="length of each measurement [15]")
    parser.add_argument("--workers", type=int, default=16, help="concurrent clients [16]")
    parser.add_argument("--json", metavar="FILE", help="write everything measured there")
    return parser.parse_args(arguments)


def _sizes(server: Server, options: argparse.Namespace) -> list[dict[str, Any]]:
    credential = server.credential("scale", uses=options.workers * 2 * (len(options.sizes) + 1))
    target = Target(
        "acme-ra", server.directory, server.ports.http01, server.ports.dns, credential.kid, credential.hmac_key
    )
    measured = []
    for size in options.sizes:
        if size and (missing := size - _count(server)) > 0:
            _grow(server, missing, certificate=1)
        if server.process is None or not server.process.running():
            server.start()
        assert server.process is not None
        drive(target, server.process.pids(), workers=options.workers, seconds=3)
        stored = _count(server)
        one = drive(target, server.process.pids(), workers=options.workers, seconds=options.seconds)
        _say(f"{stored} stored: {one.per_second:.1f} per second, {one.cpu_ms:.2f} ms of CPU each")
        measured.append({"stored": stored, "megabytes": database(server).stat().st_size / 1e6, **asdict(one)})
    return measured


async def _account(server: Server, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The same account, first with few orders, then with many; names that need no challenge, one request at a time."""
    measured = []
    credential = server.credential("scale-account", uses=1)
    client = AcmeClient(server.directory, server.tls())
    async with client:
        await client.register(credential.kid, credential.hmac_key)
        measured.append(await _issue_many(server, client))
    newest = rows(server, "SELECT max(id) AS id FROM certificates")[0]["id"]
    await asyncio.to_thread(_grow, server, options.orders, certificate=newest)
    server.start()
    client.forget_nonces()
    async with client:
        measured.append(await _issue_many(server, client))
    return measured


async def _issue_many(server: Server, client: AcmeClient) -> dict[str, Any]:
    assert server.process is not None
    pids, count = server.process.pids(), 100
    await client.issue(["warm.demo.svc.cluster.local"])
    before, started = _cpu_ms(pids), time.monotonic()
    for number in range(count):
        await client.issue([f"n{number}.demo.svc.cluster.local"])
    elapsed, cpu = time.monotonic() - started, (_cpu_ms(pids) - before) / count
    url = (await client.post(client.urls["newAccount"], {"onlyReturnExisting": True}, jwk=True)).json["orders"]
    listed, pages, slowest = 0, 0, 0.0
    while url:
        began = time.monotonic()
        page = (await client.get(url)).ok(200)
        slowest = max(slowest, time.monotonic() - began)
        listed, pages = listed + len(page.json["orders"]), pages + 1
        url = next((link[1 : link.index(">")] for link in page.links if 'rel="next"' in link), "")
    return {
        "orders": listed,
        "cpu_ms": cpu,
        "latency_ms": elapsed / count * 1000,
        "pages": pages,
        "slowest_page_ms": slowest * 1000,
    }


def _grow(server: Server, count: int, *, certificate: int) -> None:
    server.stop()
    settings = _storage(server)
    started = time.monotonic()

    def progress(done: int) -> None:
        if done % 10_000 == 0 or done == count:
            _say(f"Filled {done} of {count} ({time.monotonic() - started:.0f} s)")

    fill(settings, certificate=certificate, count=count, progress=progress)


def _storage(server: Server) -> StorageSettings:
    section = yaml.safe_load(server.prepared.config.read_text()).get("storage") or {}
    return StorageSettings(**{**section, "path": database(server)})


def _count(server: Server) -> int:
    count: int = rows(server, "SELECT count(*) AS n FROM certificates")[0]["n"]
    return count


def _cpu_ms(pids: Sequence[int]) -> float:
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total * _HZ_MS


def _print(measured: list[dict[str, Any]], account: list[dict[str, Any]]) -> None:
    print(f"{'certificates stored':>20}{'file MB':>10}{'per second':>12}{'CPU ms':>9}{'p50 ms':>9}{'p99 ms':>9}")
    for one in measured:
        print(
            f"{one['stored']:>20}{one['megabytes']:>10.0f}{one['per_second']:>12.1f}{one['cpu_ms']:>9.2f}"
            f"{one['p50_ms']:>9.0f}{one['p99_ms']:>9.0f}"
        )
    print(f"{'orders of one account':>22}{'CPU ms':>9}{'latency ms':>12}{'list pages':>12}{'slowest page ms':>17}")
    for one in account:
        print(
            f"{one['orders']:>22}{one['cpu_ms']:>9.2f}{one['latency_ms']:>12.1f}{one['pages']:>12}"
            f"{one['slowest_page_ms']:>17.1f}"
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
