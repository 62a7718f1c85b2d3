"""An audit event as it is stored: typed fields for filters, and a canonical body.

audit/events.py defines the kinds and makes these; storage appends them inside the transaction of the change.
"""

import msgspec

from acme_ra.core.clock import Instant


class EventRecord(msgspec.Struct, frozen=True):
    """One event before it gets its place in the log. `names` are indexed for look-ups; `body` is canonical JSON."""

    at: Instant
    kind: str  # noun.verb, for example "order.created"
    outcome: str  # "allowed", "refused", "failed", or "" for a plain change
    body: bytes
    directory: str = ""
    account_id: int | None = None
    order_id: int | None = None
    namespace: str = ""
    serial: str = ""
    names: tuple[str, ...] = ()


class StoredEvent(msgspec.Struct, frozen=True):
    """An event in the log. `seq` starts at 1 and has no gaps."""

    seq: int
    record: EventRecord
