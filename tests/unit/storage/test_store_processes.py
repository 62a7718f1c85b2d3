"""Several processes on one file, and a process that is killed: nothing told of is lost, and the log has no gap."""

import asyncio
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from storage_world import record, seqs

from acme_ra.core.clock import SystemClock
from acme_ra.storage.contract import EventFilter
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.store import open_store

CHILD = Path(__file__).with_name("storage_child.py")


@asynccontextmanager
async def _started(settings: StorageSettings, name: str, jobs: int) -> AsyncIterator[Process]:
    """A child for a block; it is killed at the end if it still runs."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), str(settings.path), name, str(jobs), stdout=PIPE
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


def _told(output: bytes) -> set[tuple[int, int]]:
    """Whole lines only: the last may be cut by the kill."""
    whole = output[: output.rfind(b"\n") + 1].decode().splitlines()
    return {(int(seq), int(order)) for seq, order in (line.split() for line in whole)}


def _stored(settings: StorageSettings) -> list[tuple[int, int]]:
    with closing(sqlite3.connect(settings.path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        orders = {row[0] for row in connection.execute("SELECT id FROM orders")}
        events = connection.execute("SELECT seq, order_id FROM audit_events ORDER BY seq").fetchall()
    # An order and its event are of one transaction: neither is ever there without the other.
    assert {order for _, order in events} == orders
    return events


async def test_two_processes_write_at_once(settings: StorageSettings) -> None:
    """Each gets its turns, every acknowledged transaction is there, and seq goes 1, 2, 3 without a gap."""
    async with _started(settings, "one", 800) as one, _started(settings, "two", 800) as two:
        children = (one, two)
        told = [_told(output) for output, _ in await asyncio.gather(*(child.communicate() for child in children))]

    assert [child.returncode for child in children] == [0, 0]
    stored = _stored(settings)
    assert [seq for seq, _ in stored] == list(range(1, 1601))
    assert told[0] | told[1] == set(stored)
    assert not told[0] & told[1]
    store = await open_store(settings, clock=SystemClock())
    for name in ("one", "two"):
        found = [event async for event in store.events(EventFilter(namespace=name))]
        by_name = [event async for event in store.events(EventFilter(name=f"{name}.example.test"))]
        assert len(found) == 800
        assert by_name == found
    await store.close()


async def test_a_killed_writer_loses_nothing_it_told_of(settings: StorageSettings) -> None:
    """kill -9 in the middle of commits, three times on one file; afterwards it is whole and writable."""
    told: set[tuple[int, int]] = set()
    for round_ in range(3):
        async with _started(settings, f"round{round_}", 0) as child:
            assert child.stdout is not None
            output = b"".join([await child.stdout.readline() for _ in range(150)])
            child.send_signal(signal.SIGKILL)
            output += await child.stdout.read()
        told |= _told(output)

    stored = _stored(settings)

    assert len(told) >= 450
    assert told <= set(stored)
    assert [seq for seq, _ in stored] == list(range(1, len(stored) + 1))
    store = await open_store(settings, clock=SystemClock())
    assert await store.transact(lambda tx: tx.append_event(record())) == len(stored) + 1
    assert (await seqs(store))[-1] == len(stored) + 1
    await store.close()
