"""Point reads, inline on the event loop: one costs less than handing it to another thread would.

The methods are `async` for the contract's sake and never suspend. Each statement is a transaction of its own, so it
sees the newest commit of any process.
"""

import heapq
import sqlite3
from typing import Any

from acme_ra.core.clock import Instant
from acme_ra.core.objects import Account, Authorization, Certificate, Credential, Order, OrderApproval
from acme_ra.storage import codecs
from acme_ra.storage.contract import Page, ResourceRow, StoreUnavailable
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.sqlite import statements as sql
from acme_ra.storage.sqlite.connection import connect_reader

_ACCOUNT_WIDTH = sql.ACCOUNT_COLUMNS.count(",") + 1
_MOST_CHAINS = 64


class SQLiteReader:
    """The Reader contract. Raises StoreUnavailable when the file cannot be read."""

    def __init__(self, settings: StorageSettings) -> None:
        self._settings = settings
        self._connection: sqlite3.Connection | None = connect_reader(settings)
        self._chains: dict[str, tuple[bytes, ...]] = {}

    def _all(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        connection = self._connection
        try:
            if connection is None:
                connection = self._connection = connect_reader(self._settings)
            return connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            self._close_reader()
            raise StoreUnavailable(f"a read failed: {error}") from error

    def _one(self, statement: str, values: tuple[Any, ...]) -> Any:
        """The first row or None. Fetching all ends the statement, so that no read transaction stays open."""
        rows = self._all(statement, values)
        return rows[0] if rows else None

    def _close_reader(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def account(self, row: int) -> tuple[Account, Credential | None] | None:
        found = self._one(sql.ACCOUNT, (row,))
        if found is None:
            return None
        credential = found[_ACCOUNT_WIDTH:]
        return codecs.account(found), None if credential[0] is None else codecs.credential(credential)

    async def account_by_key(self, directory: str, thumbprint: str) -> Account | None:
        found = self._one(sql.ACCOUNT_BY_KEY, (codecs.key_hash(directory, thumbprint), thumbprint, directory))
        return None if found is None else codecs.account(found)

    async def credential(self, kid: str) -> Credential | None:
        found = self._one(sql.CREDENTIAL, (kid,))
        return None if found is None else codecs.credential(found)

    async def order(self, row: int) -> Order | None:
        found = self._one(sql.ORDER, (row,))
        return None if found is None else codecs.order(found)

    async def orders_of(self, account_id: int, *, after: int, limit: int) -> Page:
        """Unfinished and valid orders lie in two ranges of one index; a page is the start of both, merged."""
        unfinished, valid = (self._all(sql.ORDERS_OF, (account_id, phase, after, limit + 1)) for phase in (0, 1))
        rows = tuple(ResourceRow(*row) for row in heapq.merge(unfinished, valid))
        return Page(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)

    async def approvals(self, order_id: int) -> tuple[OrderApproval, ...]:
        return tuple(map(codecs.approval, self._all(sql.APPROVALS, (order_id,))))

    async def overdue_approvals(self, now: Instant, limit: int) -> tuple[OrderApproval, ...]:
        return tuple(map(codecs.approval, self._all(sql.OVERDUE_APPROVALS, (now, limit))))

    async def authorization(self, row: int) -> Authorization | None:
        found = self._one(sql.AUTHORIZATION, (row,))
        return None if found is None else codecs.authorization(found)

    async def authorizations(self, rows: tuple[int, ...]) -> tuple[Authorization, ...]:
        """In the order of `rows`; what does not exist is left out."""
        found = (self._one(sql.AUTHORIZATION, (row,)) for row in rows)
        return tuple(codecs.authorization(row) for row in found if row is not None)

    async def reusable_authorizations(
        self, account_id: int, scope: str, names: tuple[str, ...], *, now: Instant
    ) -> tuple[Authorization, ...]:
        """The latest to expire first, for each name; at most 20 of a name."""
        found: list[Authorization] = []
        for name in dict.fromkeys(names):
            values = (codecs.holder_hash(account_id, name), now, account_id, name, scope)
            found.extend(map(codecs.authorization, self._all(sql.REUSABLE_AUTHORIZATIONS, values)))
        return tuple(found)

    async def due_authorizations(self, now: Instant, limit: int) -> tuple[Authorization, ...]:
        return tuple(map(codecs.authorization, self._all(sql.DUE_AUTHORIZATIONS, (now, limit))))

    async def certificate(self, row: int) -> Certificate | None:
        found = self._one(sql.CERTIFICATE, (row,))
        return None if found is None else codecs.certificate(found)

    async def certificate_by_serial(self, serial: str) -> Certificate | None:
        found = self._one(sql.CERTIFICATE_BY_SERIAL, (codecs.hash63(serial), serial))
        return None if found is None else codecs.certificate(found)

    async def certificate_by_ari_id(self, ari_id: str) -> Certificate | None:
        serial = codecs.serial_of_ari_id(ari_id)
        found = None if serial is None else await self.certificate_by_serial(serial)
        return found if found is not None and found.ari_id == ari_id else None

    async def chain(self, chain_id: str) -> tuple[bytes, ...]:
        """An id is given to one chain for ever, so what was read once is kept."""
        known = self._chains.get(chain_id)
        if known is not None:
            return known
        found = self._one(sql.CHAIN, (chain_id,))
        if found is None:
            return ()
        if len(self._chains) >= _MOST_CHAINS:
            self._chains.clear()
        chain = self._chains[chain_id] = codecs.chain(found[0])
        return chain

    async def processing_orders(self, claimed_before: Instant, limit: int) -> tuple[Order, ...]:
        return tuple(map(codecs.order, self._all(sql.PROCESSING_ORDERS, (claimed_before, limit))))

    async def key_is_blocked(self, fingerprint: str) -> bool:
        return self._one(sql.KEY_IS_BLOCKED, (fingerprint,)) is not None

    async def covers(self, account_id: int, names: tuple[str, ...], *, now: Instant) -> bool:
        return bool(names) and all(
            self._proved(account_id, name, now) or self._proved_above(account_id, name, now) for name in names
        )

    def _proved(self, account_id: int, name: str, now: Instant) -> bool:
        base = name.removeprefix("*.")
        values = (codecs.holder_hash(account_id, base), int(base != name), now, account_id, base)
        return self._one(sql.COVERS, values) is not None

    def _proved_above(self, account_id: int, name: str, now: Instant) -> bool:
        """By the zone of an ancestor, for all names below it (RFC 9444); for a wildcard that is its own base too."""
        _, _, ancestor = name.partition(".")
        while ancestor:
            values = (codecs.holder_hash(account_id, ancestor), now, account_id, ancestor)
            if any(codecs.authorization(row).proof == "dns-01" for row in self._all(sql.COVERS_BELOW, values)):
                return True
            _, _, ancestor = ancestor.partition(".")
        return False

    async def revoked(self, authority: str, *, not_after_since: Instant) -> tuple[tuple[str, Instant, int], ...]:
        return tuple(self._all(sql.REVOKED, (authority, not_after_since)))
