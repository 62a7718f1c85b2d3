"""The one writer of a process: transactions of a moment share a commit (group commit).

1. Take this process's turn: the lock among processes, then BEGIN IMMEDIATE. If another one has it, a thread waits.
2. Run what waits, one after the other, up to a bound; on the event loop. Raising undoes that job alone.
3. COMMIT in the thread, which returns once the write-ahead log is on disk; only now is anybody answered.
A batch is never made bigger by waiting: under load it fills while the one before it is being written.

Jobs run on the event loop because they are short, and because two threads that take turns at the interpreter's lock,
once for every statement, spend a quarter of their time on that. Only what waits for others or for the disk is handed
over. The connection is used by one side at a time: from step 3 until it is answered, by the thread.
"""

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple

from acme_ra.storage.contract import StoreUnavailable
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.sqlite.connection import WriteLock, connect_writer
from acme_ra.storage.sqlite.entries import IndexEntries, KnownMarks
from acme_ra.storage.sqlite.transaction import Execute, SQLiteTransaction

Work = Callable[[SQLiteTransaction], Any]

#: What SQLite raises when the file, not the statement, is at fault: full disk, I/O error, lock, read-only, damage.
_STORE_FAULTS = (sqlite3.OperationalError, sqlite3.InternalError)
_PRIMARY_CODE = 0xFF
_POLL = 0.005  # seconds, for somebody who writes without the lock among processes


class _Job(NamedTuple):
    work: Work
    answer: "asyncio.Future[Any]"


class _Outcome(NamedTuple):
    value: Any
    error: BaseException | None


class _Batch(NamedTuple):
    """Jobs that have run, and what is to be known after their commit."""

    jobs: list[_Job]
    outcomes: list[_Outcome]
    marks: set[tuple[int, int]]


class Writer:
    """Owned by one event loop. `close` finishes what was handed in."""

    def __init__(self, settings: StorageSettings) -> None:
        """Raises sqlite3.Error or OSError when the file cannot be written."""
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._lock = WriteLock(settings.path)
        self._connection: sqlite3.Connection | None = connect_writer(settings)
        self._known_marks = KnownMarks()
        self._waiting: deque[_Job] = deque()
        self._busy = False  # from the first job until nothing waits any more
        self._idle: asyncio.Future[None] | None = None  # awaited by `close`
        self._closing = False
        self._stuck = False
        self._patience: asyncio.TimerHandle | None = None
        self._errands: SimpleQueue[Callable[[], bool] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run_errands, name="storage-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> "asyncio.Future[Any]":
        """Hand in a transaction. The future gets its result after the commit is durable."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self._closing or self._stuck:
            reason = "the store is closed" if self._closing else "another process holds the write lock"
            answer.set_exception(StoreUnavailable(reason))
            return answer
        self._waiting.append(_Job(work, answer))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._take_turn)
        return answer

    async def close(self) -> None:
        """Commit what was handed in, then let go of the file. A thread that hangs in the lock is left behind."""
        if self._closing:
            return
        self._closing = True
        patience = 2 * self._settings.busy_timeout / 1000
        if self._busy:
            self._idle = self._loop.create_future()
            await asyncio.wait({self._idle}, timeout=patience)
        self._errands.put(None)
        if not self._busy:
            await asyncio.to_thread(self._thread.join, patience)

    # On the event loop.

    def _take_turn(self) -> None:
        if not self._waiting:
            self._busy = False
            if self._idle is not None and not self._idle.done():
                self._idle.set_result(None)
            return
        try:
            if not self._lock.try_acquire():
                self._patience = self._loop.call_later(self._settings.busy_timeout / 1000, self._give_up)
                self._errands.put(self._wait_for_turn)
                return
            begun = self._begin()
        except (sqlite3.Error, OSError) as error:
            self._turn_came(error)
            return
        if begun:
            self._run_batch()
        else:
            self._errands.put(self._wait_for_turn)

    def _turn_came(self, error: Exception | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._stuck = False
        if error is None:
            self._run_batch()
            return
        jobs = list(self._waiting)
        self._waiting.clear()
        self._drop_connection()
        self._lock.release()
        self._finish(jobs, [_Outcome(None, _unavailable(error)) for _ in jobs])

    def _run_batch(self) -> None:
        """In this process's turn, with a transaction begun: run what waits, and have it committed."""
        jobs = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._settings.batch))]
        try:
            batch = self._run_jobs(jobs)
        except Exception as error:  # whatever it is, nothing was committed, and nobody may wait for ever
            self._drop_connection()
            self._lock.release()
            self._finish(jobs, [_Outcome(None, _unavailable(error)) for _ in jobs])
            return
        self._errands.put(lambda: self._commit(batch))

    def _committed(self, batch: _Batch, error: Exception | None) -> None:
        if error is None:
            self._known_marks.committed(batch.marks)
            self._finish(batch.jobs, batch.outcomes)
            return
        self._finish(batch.jobs, [_Outcome(None, _unavailable(error)) for _ in batch.jobs])

    def _finish(self, jobs: list[_Job], outcomes: list[_Outcome]) -> None:
        """Whoever is answered goes first, and may have a next transaction for the next batch."""
        _answer(jobs, outcomes)
        self._loop.call_soon(self._take_turn)

    def _give_up(self) -> None:
        """The process that holds the lock hangs: answer those who wait, and refuse others until it lets go."""
        self._patience = None
        self._stuck = True
        jobs = list(self._waiting)
        self._waiting.clear()
        error = "another process has held the write lock too long"
        _answer(jobs, [_Outcome(None, StoreUnavailable(error)) for _ in jobs])

    def _begin(self) -> bool:
        """False when somebody writes who did not take the lock among processes, such as a person with a shell."""
        connection = self._connection
        if connection is None:
            connection = self._connection = connect_writer(self._settings)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY_CODE == sqlite3.SQLITE_BUSY:
                return False
            raise
        return True

    def _run_jobs(self, jobs: list[_Job]) -> _Batch:
        """Raises when nothing of the batch may be committed.

        Most jobs succeed, and most that raise have written nothing yet; only one that raises after it wrote makes the
        batch start again with a savepoint for each job. Savepoints cost a quarter of what a small job does.
        """
        connection = self._connection
        assert connection is not None
        entries = IndexEntries()
        outcomes: list[_Outcome] = []
        for job in jobs:
            before = connection.total_changes
            outcome = self._run_job(job.work, connection.execute, entries)
            outcomes.append(outcome)
            if outcome.error is not None and connection.total_changes != before:
                connection.execute("ROLLBACK")
                connection.execute("BEGIN IMMEDIATE")
                entries = IndexEntries()
                outcomes = self._run_isolated(connection, jobs, entries)
                break
        entries.write(connection, self._known_marks)
        return _Batch(jobs, outcomes, entries.marks)

    def _run_isolated(self, connection: sqlite3.Connection, jobs: list[_Job], entries: IndexEntries) -> list[_Outcome]:
        """Run the batch with each job in a savepoint, so that raising undoes that one alone; leaves it uncommitted."""
        execute = connection.execute
        outcomes: list[_Outcome] = []
        for job in jobs:
            execute("SAVEPOINT job")
            outcome = self._run_job(job.work, execute, entries)
            if outcome.error is not None:
                execute("ROLLBACK TO job")
            execute("RELEASE job")
            outcomes.append(outcome)
        return outcomes

    def _run_job(self, work: Work, execute: Execute, entries: IndexEntries) -> _Outcome:
        transaction = SQLiteTransaction(execute, entries, self._settings.keep_invalid)
        try:
            return _Outcome(work(transaction), None)
        except _STORE_FAULTS:
            raise
        except BaseException as error:
            if type(error) is sqlite3.DatabaseError:
                raise
            return _Outcome(None, error)
        finally:
            transaction.end()

    def _drop_connection(self) -> None:
        """After a failure nothing is known of the connection; closing it rolls back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # On the thread.

    def _run_errands(self) -> None:
        try:
            while (errand := self._errands.get()) is not None and errand():
                pass
        finally:
            self._drop_connection()
            self._lock.close()

    def _wait_for_turn(self) -> bool:
        """Where somebody else writes: the lock among processes queues, and SQLite's own has to be polled."""
        error: Exception | None = None
        try:
            self._lock.acquire()
            deadline = time.monotonic() + self._settings.busy_timeout / 1000
            while not self._begin():
                if time.monotonic() > deadline:
                    raise sqlite3.OperationalError("the database is locked by somebody without the write lock")
                time.sleep(_POLL)
        except Exception as fault:  # whatever it is, somebody waits to be told
            error = fault
        return self._tell(self._turn_came, error)

    def _commit(self, batch: _Batch) -> bool:
        error: Exception | None = None
        try:
            assert self._connection is not None
            self._connection.execute("COMMIT")
        except Exception as fault:  # whatever it is, somebody waits to be told
            error = fault
            self._drop_connection()  # before others may write
        self._lock.release()
        return self._tell(self._committed, batch, error)

    def _tell(self, callback: Callable[..., None], *values: object) -> bool:
        """Go on with this on the event loop. False when that is closed, and nobody waits for an answer any more."""
        try:
            self._loop.call_soon_threadsafe(callback, *values)
        except RuntimeError:
            return False
        return True


def _unavailable(cause: Exception) -> StoreUnavailable:
    error = StoreUnavailable(f"{getattr(cause, 'sqlite_errorname', None) or type(cause).__name__}: {cause}")
    error.__cause__ = cause
    return error


def _answer(jobs: list[_Job], outcomes: list[_Outcome]) -> None:
    """Who has gone away, by a time-out or a closed connection, is passed over; the commit stands."""
    for (_, answer), (value, error) in zip(jobs, outcomes, strict=True):
        if answer.done():
            continue
        if error is None:
            answer.set_result(value)
        elif isinstance(error, StopIteration):
            answer.set_exception(RuntimeError("a transaction raised StopIteration"))
        else:
            answer.set_exception(error)
