"""Look-up rows that one commit adds for names and audit events, gathered over the batch and written once.

An entry too many, left by a job that was rolled back, costs a look-up some time and nothing else: readers compare the
events and orders themselves. So entries need not know of savepoints, and one that is known to be there is left out.
"""

import sqlite3

from acme_ra.core.clock import Instant
from acme_ra.core.events import EventRecord
from acme_ra.storage.codecs import hash63, mark_hash
from acme_ra.storage.sqlite import statements as sql

#: Events per block, as a shift.
BLOCK_BITS = 10

#: Fields of an event that blocks are marked with.
MARKED = ("kind", "outcome", "namespace", "account_id")

_KNOWN_MARKS = 100_000


class KnownMarks:
    """Marks that this process has committed; they need not be written again. Bounded."""

    def __init__(self) -> None:
        self._marks: set[tuple[int, int]] = set()

    def missing(self, marks: set[tuple[int, int]]) -> set[tuple[int, int]]:
        return marks - self._marks

    def committed(self, marks: set[tuple[int, int]]) -> None:
        if len(self._marks) > _KNOWN_MARKS:
            self._marks.clear()
        self._marks |= marks


class IndexEntries:
    """What one batch adds."""

    __slots__ = ("_names", "_times", "marks")

    def __init__(self) -> None:
        self.marks: set[tuple[int, int]] = set()
        self._names: set[tuple[int, int]] = set()
        self._times: dict[int, tuple[Instant, Instant]] = {}

    def name(self, name: str, order_id: int) -> None:
        """An order asks for this name."""
        self._names.add((hash63(name), order_id))

    def event(self, seq: int, record: EventRecord) -> None:
        block = seq >> BLOCK_BITS
        at = record.at
        earliest, latest = self._times.get(block, (at, at))
        self._times[block] = (min(earliest, at), max(latest, at))
        marks = self.marks
        marks.add((mark_hash("kind", record.kind), block))
        if record.outcome:
            marks.add((mark_hash("outcome", record.outcome), block))
        if record.namespace:
            marks.add((mark_hash("namespace", record.namespace), block))
        if record.account_id is not None:
            marks.add((mark_hash("account_id", record.account_id), block))
        ref = -seq if record.order_id is None else record.order_id
        for name in record.names:
            self._names.add((hash63(name), ref))

    def write(self, connection: sqlite3.Connection, known: KnownMarks) -> None:
        """In the batch's transaction, after its jobs."""
        for block, (earliest, latest) in self._times.items():
            connection.execute(sql.WIDEN_BLOCK, (block, earliest, latest))
        if missing := known.missing(self.marks):
            connection.executemany(sql.MARK_BLOCK, missing)
        if self._names:
            # In the order of the index, so that neighbours share a page.
            connection.executemany(sql.REFER_TO_NAME, sorted(self._names))
