"""Housekeeping: what ran out ends, with an audit event; what counts stays for good."""

from typing import Any

import msgspec
from storage_world import NOW, SECRET, add_account, add_authorization, add_certificate, add_order, claim, issue

from acme_ra.core.clock import DAY, HOUR, SystemClock
from acme_ra.core.status import AuthorizationStatus, OrderStatus
from acme_ra.storage.contract import EventFilter, Transaction
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.store import SQLiteStore, open_store

LATER = NOW + 2 * DAY
MUCH_LATER = NOW + 40 * DAY


async def test_an_unfinished_order_expires_with_an_event(store: SQLiteStore) -> None:
    order_id = await store.transact(lambda tx: add_order(tx, "a.example.test", namespace="demo"))

    assert await store.housekeep(LATER) == 2
    assert await store.housekeep(LATER) == 0

    order = await store.order(order_id)
    assert order is not None
    assert order.status == OrderStatus.INVALID
    assert order.error is not None
    assert "expired" in order.error.detail
    authorization = await store.authorization(1)
    assert authorization is not None
    assert authorization.status == AuthorizationStatus.EXPIRED
    (stored,) = [event async for event in store.events(EventFilter(name="a.example.test"))]
    assert (stored.record.kind, stored.record.namespace, stored.record.order_id) == ("order.expired", "demo", order_id)
    assert msgspec.json.decode(stored.record.body)["identifiers"] == [{"type": "dns", "value": "a.example.test"}]


async def test_a_ready_order_expires_too(store: SQLiteStore) -> None:
    order_id = await store.transact(lambda tx: add_order(tx, status=OrderStatus.READY))

    await store.housekeep(LATER)

    order = await store.order(order_id)
    assert order is not None
    assert order.status == OrderStatus.INVALID


async def test_nothing_ends_early(store: SQLiteStore) -> None:
    await store.transact(add_order)

    assert await store.housekeep(NOW + DAY - 1) == 0


async def test_what_was_claimed_or_issued_stays(store: SQLiteStore) -> None:
    """Accounts, certificates, valid orders, orders being signed, and a withheld certificate's order."""

    def prepare(tx: Transaction) -> tuple[int, int, int, int]:
        add_account(tx)
        valid, certificate = issue(tx, "abc")
        processing = add_order(tx, status=OrderStatus.READY)
        claim(tx, processing)
        withheld = add_order(tx, status=OrderStatus.READY)
        claim(tx, withheld)
        add_certificate(tx, withheld, "def")
        tx.move_order(withheld, expected=OrderStatus.PROCESSING, to=OrderStatus.INVALID)
        add_order(tx)
        return valid, processing, withheld, certificate

    valid, processing, withheld, certificate = await store.transact(prepare)

    for now in (LATER, MUCH_LATER, MUCH_LATER * 2):
        while await store.housekeep(now):
            pass

    assert await store.account(1) is not None
    assert await store.certificate(certificate) is not None
    for row, status in ((valid, "valid"), (processing, "processing"), (withheld, "invalid")):
        order = await store.order(row)
        assert order is not None
        assert order.status == status
        assert all([await store.authorization(int(one.partition(".")[0])) for one in order.authorizations])


async def test_an_expired_order_is_removed_later_with_its_authorizations(store: SQLiteStore) -> None:
    """Its events stay, a pre-authorization that it used stays, and no id is given twice."""

    def prepare(tx: Transaction) -> tuple[int, int]:
        shared = add_authorization(tx, "a.example.test", status=AuthorizationStatus.VALID, until=MUCH_LATER * 2)
        order_id = add_order(tx)
        used = add_order(tx)
        # The other order uses the pre-authorization instead of one of its own.
        cast: Any = tx
        cast.execute("UPDATE orders SET authorizations = ? WHERE id = ?", (f'["{shared}.{SECRET}"]', used))
        add_order(tx, expires_at=MUCH_LATER * 2)
        return order_id, shared

    order_id, shared = await store.transact(prepare)
    await store.housekeep(LATER)
    assert await store.order(order_id) is not None

    await store.housekeep(MUCH_LATER)

    assert await store.order(order_id) is None
    assert await store.authorization(2) is None
    assert await store.authorization(shared) is not None
    assert len([event async for event in store.events(EventFilter(order_id=order_id))]) == 1
    assert await store.transact(add_order) == 4


async def test_the_newest_rows_are_not_removed(store: SQLiteStore) -> None:
    """SQLite would give their ids to other rows, and the audit log would speak of the wrong ones."""

    def prepare(tx: Transaction) -> None:
        add_order(tx)
        add_authorization(tx, "a.example.test")

    await store.transact(prepare)
    for now in (LATER, MUCH_LATER, MUCH_LATER + HOUR):
        while await store.housekeep(now):
            pass

    assert await store.transact(add_order) == 2
    assert await store.authorization(2) is not None
    assert await store.transact(lambda tx: add_authorization(tx, "a.example.test")) == 4


async def test_a_pre_authorization_expires_and_is_removed_later(store: SQLiteStore) -> None:
    def prepare(tx: Transaction) -> list[int]:
        rows = [add_authorization(tx, "a.example.test", status=status) for status in AuthorizationStatus]
        add_authorization(tx, "last.example.test", until=MUCH_LATER * 2)
        return rows

    rows = await store.transact(prepare)

    await store.housekeep(LATER)
    statuses = [one.status for one in await store.authorizations(tuple(rows))]
    await store.housekeep(MUCH_LATER)

    assert statuses == ["expired", "expired", "invalid", "deactivated", "expired", "revoked"]
    assert await store.authorizations(tuple(rows)) == ()


async def test_a_prolonged_authorization_is_left_alone(store: SQLiteStore) -> None:
    """Validation may move the expiry; the row is looked at again then."""
    row = await store.transact(lambda tx: add_authorization(tx, "a.example.test"))
    read = await store.authorization(row)
    assert read is not None
    longer = msgspec.structs.replace(read, status=AuthorizationStatus.VALID, expires_at=NOW + 5 * DAY)
    await store.transact(lambda tx: tx.replace_authorization(longer))

    await store.housekeep(LATER)
    kept = await store.authorization(row)
    await store.housekeep(NOW + 5 * DAY)
    ended = await store.authorization(row)

    assert kept is not None
    assert ended is not None
    assert (kept.status, ended.status) == (AuthorizationStatus.VALID, AuthorizationStatus.EXPIRED)
    assert not await store.covers(1, ("a.example.test",), now=NOW)


async def test_a_due_validation_ends_with_its_authorization(store: SQLiteStore) -> None:
    """A retry of what has expired would go on for ever."""
    row = await store.transact(lambda tx: add_authorization(tx, "a.example.test"))
    read = await store.authorization(row)
    assert read is not None
    await store.transact(lambda tx: tx.replace_authorization(msgspec.structs.replace(read, due_at=NOW)))

    await store.housekeep(LATER)

    assert await store.due_authorizations(LATER, 10) == ()


async def test_much_is_done_in_small_steps(settings: StorageSettings) -> None:
    """A call touches no more than it was asked to, and comes to an end."""
    store = await open_store(settings, clock=SystemClock())

    def prepare(tx: Transaction) -> None:
        for _ in range(120):
            add_order(tx)

    await store.transact(prepare)
    touched = []
    while step := await store.housekeep(LATER, batch=70):
        touched.append(step)

    assert touched == [70, 70, 70, 30]
    assert await store.transact(lambda tx: tx.pending_orders(1, limit=10)) == 0
    await store.close()
