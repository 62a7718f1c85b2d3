"""The writer: jobs share a commit, fail alone, and a store that cannot commit says so and recovers."""

import asyncio
import fcntl
import os
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from storage_world import add_account, add_order, record, seqs

from acme_ra.core.clock import SystemClock
from acme_ra.core.problems import ServiceUnavailable
from acme_ra.storage.contract import Conflict, EventFilter, StoreUnavailable, Transaction
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.sqlite import writer
from acme_ra.storage.store import SQLiteStore, open_store


async def test_a_failing_job_harms_no_neighbour(store: SQLiteStore) -> None:
    """Every third one of a batch raises, some after writing: those alone are undone, and the log has no gap."""

    def work(number: int) -> Callable[[Transaction], int]:
        def run(tx: Transaction) -> int:
            if number % 6 == 1:
                raise Conflict("before writing")
            seq = tx.append_event(record(account_id=number))
            add_order(tx, account_id=number)
            if number % 3 == 1:
                raise Conflict("after writing")
            return seq

        return run

    results = await asyncio.gather(*[store.transact(work(number)) for number in range(60)], return_exceptions=True)

    for number, result in enumerate(results):
        assert isinstance(result, Conflict) == (number % 3 == 1)
        assert (await store.orders_of(number, after=0, limit=10)).rows == () if number % 3 == 1 else True
    assert await seqs(store) == list(range(1, 41))
    assert sorted(result for result in results if isinstance(result, int)) == list(range(1, 41))


async def test_a_lone_failing_job_is_undone(store: SQLiteStore) -> None:
    def work(tx: Transaction) -> None:
        tx.append_event(record())
        raise KeyError("a mistake")

    with pytest.raises(KeyError):
        await store.transact(work)

    assert await seqs(store) == []
    assert await store.transact(lambda tx: tx.append_event(record())) == 1


async def test_a_commit_is_seen_by_the_next_read_and_by_other_processes(
    store: SQLiteStore, settings: StorageSettings
) -> None:
    account = await store.transact(add_account)

    assert await store.account(account.id) == (account, None)
    with sqlite3.connect(settings.path) as other:
        assert other.execute("SELECT count(*) FROM accounts").fetchone() == (1,)
    other.close()


async def test_many_jobs_share_a_commit(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits while one commit is written goes into the next one together."""
    answered: list[int] = []
    answer = writer._answer
    monkeypatch.setattr(writer, "_answer", lambda jobs, outcomes: (answered.append(len(jobs)), answer(jobs, outcomes)))

    await asyncio.gather(*[store.transact(lambda tx: tx.append_event(record())) for _ in range(200)])

    assert sum(answered) == 200
    assert len(answered) < 50


async def test_a_cancelled_caller_does_not_undo_the_commit(store: SQLiteStore) -> None:
    """A client that goes away leaves a consistent store, and its neighbours get their answers."""
    gone = asyncio.ensure_future(store.transact(lambda tx: tx.append_event(record())))
    await asyncio.sleep(0)
    gone.cancel()

    assert await store.transact(lambda tx: tx.append_event(record())) == 2
    assert await seqs(store) == [1, 2]


@contextmanager
def no_file_may_grow() -> Iterator[None]:
    """What a full disk does to SQLite: a real write that the kernel refuses."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_is_unavailable_and_recovers(store: SQLiteStore) -> None:
    """All of the batch are told 503, nothing is kept of it, and the store goes on when there is room again."""
    await store.transact(lambda tx: tx.append_event(record()))

    with no_file_may_grow():
        failed = await asyncio.gather(
            *[store.transact(lambda tx: tx.append_event(record(body=b"x" * 9000))) for _ in range(20)],
            return_exceptions=True,
        )

    assert [type(error) for error in failed] == [StoreUnavailable] * 20
    assert await store.transact(lambda tx: tx.append_event(record())) == 2
    assert await seqs(store) == [1, 2]


async def test_a_failed_commit_is_unavailable_and_recovers(
    settings: StorageSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An I/O error at COMMIT itself: nobody is told of success, and the next batch has a new connection."""
    faults = ["disk I/O error"]

    class Faulty(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "COMMIT" and faults:
                raise sqlite3.OperationalError(faults.pop())
            return super().execute(sql, *values)

    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: real(*args, factory=Faulty, **more))
    store = await open_store(settings, clock=SystemClock())

    with pytest.raises(StoreUnavailable, match="try again") as told:
        await store.transact(lambda tx: tx.append_event(record()))

    assert isinstance(told.value, ServiceUnavailable)
    assert "disk I/O error" in told.value.reason
    assert "disk" not in told.value.detail
    assert await store.transact(lambda tx: tx.append_event(record())) == 1
    await store.close()


async def test_a_read_only_store_is_unavailable(store: SQLiteStore) -> None:
    def break_it(tx: Any) -> None:
        tx.execute("PRAGMA query_only = ON", ())
        tx.append_event(record())

    with pytest.raises(StoreUnavailable, match="try again"):
        await store.transact(break_it)

    assert await store.transact(lambda tx: tx.append_event(record())) == 1


async def test_a_writer_outside_the_lock_is_waited_for(impatient: SQLiteStore, settings: StorageSettings) -> None:
    """A person's sqlite3 shell in a transaction: unavailable after the busy timeout, then well again."""
    shell = sqlite3.connect(settings.path, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailable):
        await impatient.transact(add_account)

    shell.execute("ROLLBACK")
    shell.close()
    await impatient.transact(add_account)


async def test_a_process_that_hangs_in_the_lock_is_not_waited_for_for_ever(
    impatient: SQLiteStore, settings: StorageSettings
) -> None:
    """Waiting requests are answered 503 after the busy timeout, later ones at once, until the lock is free."""
    hanging = os.open(f"{settings.path}-lock", os.O_RDWR)
    fcntl.flock(hanging, fcntl.LOCK_EX)

    waited = await asyncio.gather(*[impatient.transact(add_account) for _ in range(3)], return_exceptions=True)
    later = asyncio.ensure_future(impatient.transact(add_account))
    for _ in range(5):
        await asyncio.sleep(0)
    assert later.done()  # At once: nothing but turns of the loop has passed.
    assert isinstance(later.exception(), StoreUnavailable)
    os.close(hanging)

    assert [type(error) for error in waited] == [StoreUnavailable] * 3
    async with asyncio.timeout(60):
        while True:
            try:
                account = await impatient.transact(add_account)
                break
            except StoreUnavailable:
                await asyncio.sleep(0.01)
    assert account.id == 1


async def test_close_commits_what_was_handed_in(settings: StorageSettings) -> None:
    store = await open_store(settings, clock=SystemClock())
    jobs = [asyncio.ensure_future(store.transact(lambda tx: tx.append_event(record()))) for _ in range(10)]
    await asyncio.sleep(0)

    await store.close()

    assert sorted(await asyncio.gather(*jobs)) == list(range(1, 11))
    with pytest.raises(StoreUnavailable):
        await store.transact(add_account)


async def test_a_missing_file_is_not_made_by_opening(tmp_path: Path) -> None:
    from acme_ra.storage.store import SchemaOutdated

    with pytest.raises(SchemaOutdated, match="acme-ra db upgrade"):
        await open_store(StorageSettings(path=tmp_path / "none.sqlite"), clock=SystemClock())

    assert list(tmp_path.iterdir()) == []


async def test_an_unreadable_store_is_unavailable(store: SQLiteStore, settings: StorageSettings) -> None:
    """Reads too answer 503 and nothing else, and recover."""
    account = await store.transact(add_account)
    connection = store._connection
    assert connection is not None
    connection.close()

    with pytest.raises(StoreUnavailable):
        await store.account(account.id)

    assert await store.account(account.id) == (account, None)
    assert [event async for event in store.events(EventFilter())] == []
