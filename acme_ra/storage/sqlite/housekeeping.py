"""Housekeeping, in small transactions: what ran out is ended, and what nobody can use any more is removed.

`sweep_at` says when a row is looked at next. Accounts, certificates, audit events and every order that was ever
claimed stay for good. An order that expired unfinished is told so (`invalid`), with an audit event in the same
transaction, and removed `keep_invalid` later together with its authorizations.
"""

from typing import Any

from acme_ra.core.clock import HOUR, Instant, to_rfc3339
from acme_ra.core.encoding import canonical_json
from acme_ra.core.events import EventRecord
from acme_ra.core.objects import Authorization, Order, StoredError
from acme_ra.core.status import AuthorizationStatus, OrderStatus
from acme_ra.storage import codecs
from acme_ra.storage.sqlite import statements as sql
from acme_ra.storage.sqlite.transaction import SQLiteTransaction

_LIVE = (AuthorizationStatus.PENDING, AuthorizationStatus.VALID)
EXPIRED = StoredError("malformed", "the order expired before it was finalized; place a new one")


def sweep(transaction: SQLiteTransaction, *, now: Instant, limit: int, keep: int) -> int:
    """One step; returns how many rows were touched."""
    orders = transaction.execute(sql.ORDERS_TO_SWEEP, (now, limit)).fetchall()
    for row in orders:
        _sweep_order(transaction, codecs.order(row), now)
    rest = limit - len(orders)
    authorizations = transaction.execute(sql.AUTHORIZATIONS_TO_SWEEP, (now, rest)).fetchall() if rest else []
    for row in authorizations:
        _sweep_authorization(transaction, codecs.authorization(row), now, keep)
    return len(orders) + len(authorizations)


def _sweep_order(transaction: SQLiteTransaction, order: Order, now: Instant) -> None:
    if order.status in (OrderStatus.PENDING, OrderStatus.READY):
        transaction.move_order(order.id, expected=order.status, to=OrderStatus.INVALID, error=EXPIRED)
        transaction.append_event(_expired(order, now))
        return
    for resource_id in order.authorizations:
        transaction.execute(sql.DELETE_AUTHORIZATION_OF_ORDER, (int(resource_id.partition(".")[0]), order.id))
    if transaction.execute(sql.DELETE_ORDER, (order.id,)).rowcount != 1:
        transaction.execute(sql.POSTPONE_ORDER, (now + HOUR, order.id))
        return
    transaction.execute(sql.DELETE_APPROVALS, (order.id,))


def _expired(order: Order, now: Instant) -> EventRecord:
    body: dict[str, Any] = {
        "expires_at": to_rfc3339(order.expires_at),
        "identifiers": [{"type": one.type.value, "value": one.value} for one in order.identifiers],
        "status": order.status.value,
    }
    return EventRecord(
        at=now,
        kind="order.expired",
        outcome="failed",
        body=canonical_json(body),
        directory=order.directory,
        account_id=order.account_id,
        order_id=order.id,
        namespace="" if order.workload is None else order.workload.namespace,
        names=tuple(identifier.value for identifier in order.identifiers),
    )


def _sweep_authorization(transaction: SQLiteTransaction, authorization: Authorization, now: Instant, keep: int) -> None:
    """One of an order goes when its order goes; one made by newAuthz goes `keep` after its end."""
    if authorization.expires_at > now:
        # Validation prolonged it (RFC 8555 §7.1.4).
        transaction.execute(sql.POSTPONE_AUTHORIZATION, (authorization.expires_at, authorization.id))
        return
    again = None if authorization.order_id is not None else authorization.expires_at + keep
    if authorization.status in _LIVE:
        transaction.execute(sql.EXPIRE_AUTHORIZATION, (AuthorizationStatus.EXPIRED.value, again, authorization.id))
    elif again is None or again > now:
        transaction.execute(sql.POSTPONE_AUTHORIZATION, (again, authorization.id))
    elif transaction.execute(sql.DELETE_AUTHORIZATION, (authorization.id,)).rowcount != 1:
        transaction.execute(sql.POSTPONE_AUTHORIZATION, (now + HOUR, authorization.id))
