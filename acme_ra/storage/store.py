"""The Store on SQLite: what the registration authority opens, and the only thing that it sees of this package."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from functools import partial
from typing import TypeVar

from acme_ra.core.clock import Clock, Instant
from acme_ra.core.events import StoredEvent
from acme_ra.storage.contract import EventFilter, Store, StoreUnavailable, Transaction
from acme_ra.storage.schema import SchemaMismatch, SchemaOutdated, SchemaTooNew, check_current
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.sqlite.connection import connect_reader
from acme_ra.storage.sqlite.events import stream_events
from acme_ra.storage.sqlite.housekeeping import sweep
from acme_ra.storage.sqlite.reader import SQLiteReader
from acme_ra.storage.sqlite.writer import Writer

__all__ = ["SQLiteStore", "SchemaMismatch", "SchemaOutdated", "SchemaTooNew", "open_store"]

T = TypeVar("T")

#: Rows of housekeeping in one transaction: about a millisecond, so that requests hardly notice.
_SWEEP_STEP = 50


class SQLiteStore(SQLiteReader):
    """One per process and event loop; open it after forking. Any number of processes may share the file."""

    def __init__(self, settings: StorageSettings) -> None:
        super().__init__(settings)
        self._writer = Writer(settings)

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        result: T = await self._writer.submit(work)
        return result

    def events(self, wanted: EventFilter, *, batch: int = 500) -> AsyncIterator[StoredEvent]:
        return stream_events(self._settings, wanted, batch)

    async def housekeep(self, now: Instant, *, batch: int = 500) -> int:
        keep = self._settings.keep_invalid
        touched = 0
        while touched < batch:
            limit = min(_SWEEP_STEP, batch - touched)
            step: int = await self._writer.submit(partial(sweep, now=now, limit=limit, keep=keep))
            touched += step
            if step < limit:
                break
        return touched

    async def close(self) -> None:
        await self._writer.close()
        self._close_reader()


async def open_store(settings: StorageSettings, *, clock: Clock) -> Store:
    """Open a migrated file. Raises SchemaOutdated, SchemaTooNew, or StoreUnavailable when it cannot be opened.

    Every method is told the time, so `clock` is here for stores that need one of their own.
    """
    if not settings.path.exists():
        raise SchemaOutdated(f"there is no database at {settings.path}; run: acme-ra db upgrade")
    try:
        with closing(connect_reader(settings)) as connection:
            check_current(connection)
        return SQLiteStore(settings)
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"{settings.path}: {error}") from error
