"""A writing process for the tests that kill one or run several. `python storage_child.py DATABASE NAME JOBS`.

Prints each committed (seq, order) after its commit was told, a line each, unbuffered; JOBS of 0 means for ever.
"""

import asyncio
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from storage_world import add_order, record

from acme_ra.core.clock import SystemClock
from acme_ra.storage.contract import Transaction
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.store import open_store


async def main(path: str, name: str, jobs: int) -> None:
    store = await open_store(StorageSettings(path=Path(path), busy_timeout=120_000), clock=SystemClock())

    def work(tx: Transaction) -> tuple[int, int]:
        order_id = add_order(tx, f"{name}.example.test")
        return tx.append_event(record(order_id=order_id, namespace=name)), order_id

    async def client(count: int) -> None:
        while count != 0:
            seq, order_id = await store.transact(work)
            os.write(1, f"{seq} {order_id}\n".encode())
            count -= 1

    await asyncio.gather(*[client(jobs // 8 if jobs else -1) for _ in range(8)])
    await store.close()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
