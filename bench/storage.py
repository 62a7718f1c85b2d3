"""What storage costs: durable transactions a second, CPU per transaction, point reads. `python -m bench.storage`."""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from acme_ra.core.clock import DAY, SystemClock
from acme_ra.core.events import EventRecord
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.status import AuthorizationStatus, OrderStatus
from acme_ra.storage.admin import upgrade
from acme_ra.storage.contract import Store, Transaction
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.store import open_store

NOW = 1_800_000_000_000
CHALLENGES = b'[{"type":"http-01"},{"type":"dns-01"},{"type":"tls-alpn-01"}]'
SECRET = "s" * 16
BODY = b'{"identifiers":[{"type":"dns","value":"host.example.test"}],"policy_digest":"' + b"d" * 64 + b'"}'


def new_order(tx: Transaction, number: int) -> int:
    """What newOrder writes: the order, one authorization, one event."""
    name = Identifier(IdentifierType.DNS, f"host-{number}.example.test")
    order = tx.insert_order(
        secret=SECRET,
        directory="internal",
        account_id=1,
        status=OrderStatus.PENDING,
        identifiers=(name,),
        not_before=None,
        not_after=None,
        profile="",
        replaces="",
        workload=b'{"source":"credential","namespace":"demo"}',
        now=NOW,
        expires_at=NOW + 7 * DAY,
    )
    authorization = tx.insert_authorization(
        secret=SECRET,
        account_id=1,
        order_id=order,
        identifier=name,
        wildcard=False,
        subdomains=False,
        scope="scope" * 8,
        status=AuthorizationStatus.PENDING,
        token="t" * 32,
        challenges=CHALLENGES,
        now=NOW,
        expires_at=NOW + 7 * DAY,
    )
    tx.set_authorizations(order, (f"{authorization}.{SECRET}",), OrderStatus.READY)
    tx.append_event(EventRecord(NOW, "order.created", "allowed", BODY, "internal", 1, order, "demo", "", (name.value,)))
    return order


def finish(tx: Transaction, order: int) -> None:
    """What finalize writes after the signature: certificate, order, one event."""
    serial = f"{order + (1 << 120):x}"
    row = tx.insert_certificate(
        secret=SECRET,
        order_id=order,
        account_id=1,
        authority="local",
        serial=serial,
        ari_id="",
        key_fingerprint="f" * 64,
        leaf=os.urandom(700),
        chain_id="c",
        not_before=NOW,
        not_after=NOW + 30 * DAY,
        now=NOW,
    )
    tx.complete_order(order, f"{row}.{SECRET}")
    tx.append_event(EventRecord(NOW, "certificate.issued", "allowed", BODY, "internal", 1, order, "demo", serial))


async def issue(store: Store, number: int) -> None:
    """Three commits of an issuance."""
    order = await store.transact(lambda tx: new_order(tx, number))

    def claim(tx: Transaction) -> None:
        tx.claim_order(order, csr_digest="d" * 64, key_fingerprint="f" * 64, approval=b"a" * 800, now=NOW)
        tx.append_event(EventRecord(NOW, "decision.allowed", "allowed", BODY * 4, "internal", 1, order, "demo"))
        tx.append_event(EventRecord(NOW, "certificate.intended", "allowed", BODY, "internal", 1, order, "demo", "ab"))

    await store.transact(claim)
    await store.transact(lambda tx: finish(tx, order))


async def measure(title: str, count: int, clients: int, work: Callable[[int], Awaitable[object]]) -> None:
    numbers = iter(range(count))

    async def client() -> None:
        for number in numbers:
            await work(number)

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*[client() for _ in range(clients)])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{title:<34} {count / wall:>9,.0f}/s {cpu / count * 1e6:>8.1f} µs CPU")


async def main(rounds: int, clients: int, path: Path) -> None:
    settings = StorageSettings(path=path)
    upgrade(settings)
    store = await open_store(settings, clock=SystemClock())
    try:
        await store.transact(
            lambda tx: tx.insert_account(
                secret=SECRET,
                directory="internal",
                thumbprint="t",
                jwk=b"{}",
                contacts=(),
                credential_id=None,
                eab=None,
                now=NOW,
            )
        )
        await measure("empty transaction", rounds, clients, lambda _: store.transact(lambda tx: None))
        await measure("newOrder", rounds, clients, lambda n: store.transact(lambda tx: new_order(tx, n)))
        await measure("newOrder, one client", rounds // 5, 1, lambda n: store.transact(lambda tx: new_order(tx, n)))
        await measure("issuance (three commits)", rounds, clients, lambda n: issue(store, rounds + n))
        for title, read in (
            ("read an account", lambda n: store.account(1)),
            ("read an order", lambda n: store.order(n % rounds + 1)),
            ("read an authorization", lambda n: store.authorization(n % rounds + 1)),
            ("read a certificate", lambda n: store.certificate(n % rounds + 1)),
        ):
            await measure(title, rounds, 1, read)
    finally:
        await store.close()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5000)
    arguments.add_argument("--clients", type=int, default=32)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(main(given.rounds, given.clients, Path(folder) / "bench.db"))
