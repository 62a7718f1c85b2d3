"""The audit log as a stream: pages by key, in threads, in constant memory."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec

from acme_ra.core.events import StoredEvent
from acme_ra.storage import codecs
from acme_ra.storage.contract import EventFilter, StoreUnavailable
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.sqlite import statements as sql
from acme_ra.storage.sqlite.connection import connect_export
from acme_ra.storage.sqlite.entries import BLOCK_BITS, MARKED

_EVER = (1 << 63) - 1
_BLOCK = 1 << BLOCK_BITS

#: Filter field → its condition in a page.
_CONDITIONS = {
    "order_id": "order_id = ? AND order_id IS NOT NULL",
    "serial": "serial_hash = ? AND serial = ? AND serial_hash IS NOT NULL",
    "account_id": "account_id = ?",
    "namespace": "namespace = ?",
    "outcome": "outcome = ?",
    "kind": "kind = ?",
}


async def stream_events(settings: StorageSettings, wanted: EventFilter, batch: int) -> AsyncIterator[StoredEvent]:
    """Every event that was in the log when the stream began and that `wanted` admits, in order of seq.

    `since` and `until` are inclusive.
    """
    # One thread for all of it: whatever cancels the stream, the connection is closed after its last use.
    thread = ThreadPoolExecutor(1, "storage-export")
    run = partial(asyncio.get_running_loop().run_in_executor, thread)
    connection: sqlite3.Connection | None = None
    try:
        with _readable():
            connection = await run(connect_export, settings)
            scan = await run(Scan, connection, wanted)
        while True:
            with _readable():
                rows = await run(scan.read, batch)
            if not rows:
                return
            for row in rows:
                yield codecs.event(row)
    finally:
        if connection is not None:
            thread.submit(connection.close)
        thread.shutdown(wait=False)


class Scan:
    """One pass over the log. It goes along one index, or through the blocks that can match, never further."""

    def __init__(self, connection: sqlite3.Connection, wanted: EventFilter) -> None:
        self._connection = connection
        self._wanted = wanted
        self._after = wanted.after_seq
        self._last: int = connection.execute(sql.LAST_EVENT).fetchone()[0] or 0
        self._text, self._values = page_statement(wanted)
        if any(getattr(wanted, field) == "" for field in ("kind", "outcome", "namespace", "serial", "name")):
            self._last = 0  # Empty means no.
        elif wanted.name is not None:
            _collect_name(connection, wanted.name, self._after, self._last)
        self._marks: tuple[int, ...] = ()
        if wanted.order_id is None and wanted.serial is None and wanted.name is None:
            given = ((field, getattr(wanted, field)) for field in MARKED)
            self._marks = tuple(codecs.mark_hash(field, value) for field, value in given if value is not None)
        self._by_block = bool(self._marks) or wanted.since is not None or wanted.until is not None

    def read(self, limit: int) -> list[Any]:
        """The next rows, at most `limit`; none at the end."""
        rows: list[Any] = []
        while len(rows) < limit and self._after < self._last:
            found = self._next_range()
            if found is None:
                self._after = self._last
                break
            page = self._connection.execute(self._text, (*self._values, *found, limit - len(rows))).fetchall()
            rows.extend(page)
            self._after = page[-1][0] if len(rows) == limit else found[1]
        return rows

    def _next_range(self) -> tuple[int, int] | None:
        """The seqs to read on: after the first, up to the second."""
        if not self._by_block:
            return self._after, self._last
        block = self._next_block((self._after + 1) >> BLOCK_BITS)
        if block is None:
            return None
        return max(self._after, block * _BLOCK - 1), min(self._last, block * _BLOCK + _BLOCK - 1)

    def _next_block(self, block: int) -> int | None:
        """The first block from `block` on that has every mark and a time in question."""
        since = 0 if self._wanted.since is None else self._wanted.since
        until = _EVER if self._wanted.until is None else self._wanted.until
        looked_up: int | None = None
        while looked_up != block:
            looked_up = block
            for mark in self._marks:
                found = self._connection.execute(sql.NEXT_BLOCK_MARKED, (mark, block)).fetchone()
                if found is None:
                    return None
                block = found[0]
            found = self._connection.execute(sql.NEXT_BLOCK_AT, (block, since, until)).fetchone()
            if found is None:
                return None
            block = found[0]
        return block


def page_statement(wanted: EventFilter) -> tuple[str, tuple[Any, ...]]:
    """A page's SQL and values; to be added are the seq to go on after, the last seq, and the limit."""
    conditions: list[str] = []
    values: list[Any] = []
    for field, condition in _CONDITIONS.items():
        value = getattr(wanted, field)
        if value is not None:
            conditions.append(condition)
            values.extend((codecs.hash63(value), value) if field == "serial" else (value,))
    if wanted.since is not None:
        conditions.append("at >= ?")
        values.append(wanted.since)
    if wanted.until is not None:
        conditions.append("at <= ?")
        values.append(wanted.until)
    seq = "e.seq"
    if wanted.name is not None:
        source, seq = "temp.wanted w CROSS JOIN audit_events e ON e.seq = w.seq", "w.seq"
    elif wanted.order_id is not None:
        source = "audit_events e INDEXED BY audit_events_order"
    elif wanted.serial is not None:
        source = "audit_events e INDEXED BY audit_events_serial"
    else:
        source = "audit_events e NOT INDEXED"
    narrowed = "".join(f"{condition} AND " for condition in conditions)
    # Every part is a constant of this file; values are bound.
    text = (
        f"SELECT {sql.EVENT_COLUMNS} FROM {source} "  # noqa: S608
        f"WHERE {narrowed}{seq} > ? AND {seq} <= ? ORDER BY {seq} LIMIT ?"
    )
    return text, tuple(values)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the audit log could not be read: {error}") from error


def _collect_name(connection: sqlite3.Connection, name: str, after: int, last: int) -> None:
    """Put into temp.wanted each event that names `name`, and each event of an order that does."""
    connection.execute(sql.CREATE_WANTED)
    name_hash = codecs.hash63(name)
    connection.execute("BEGIN")
    position = -_EVER
    while refs := connection.execute(sql.NAME_REFS, (name_hash, position, 500)).fetchall():
        for (ref,) in refs:
            if ref > 0 and _order_names(connection, ref, name):
                connection.execute(sql.WANT_ORDER, (ref, after, last))
            elif ref < 0 and name in _names(connection, sql.NAMES_OF_EVENT, -ref):
                connection.execute(sql.WANT_EVENT, (-ref,))
        position = refs[-1][0]
    connection.execute("COMMIT")


def _order_names(connection: sqlite3.Connection, order_id: int, name: str) -> bool:
    """Hashes may collide, so the text decides: the order's own identifiers, or what its events say."""
    found = connection.execute(sql.ORDER_ASKS_FOR, (order_id,)).fetchone()
    if found is not None and any(identifier["value"] == name for identifier in msgspec.json.decode(found[0])):
        return True
    return name in _names(connection, sql.NAMES_OF_ORDER_EVENTS, order_id)


def _names(connection: sqlite3.Connection, statement: str, key: int) -> set[str]:
    rows = connection.execute(statement, (key,)).fetchall()
    return {name for (names,) in rows for name in msgspec.json.decode(names)}
