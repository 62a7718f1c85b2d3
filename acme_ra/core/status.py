"""Statuses and the moves between them (RFC 8555 §7.1.6)."""

from enum import StrEnum


class AccountStatus(StrEnum):
    VALID = "valid"
    DEACTIVATED = "deactivated"
    REVOKED = "revoked"


class OrderStatus(StrEnum):
    PENDING = "pending"
    READY = "ready"
    PROCESSING = "processing"
    VALID = "valid"
    INVALID = "invalid"


class AuthorizationStatus(StrEnum):
    PENDING = "pending"
    VALID = "valid"
    INVALID = "invalid"
    DEACTIVATED = "deactivated"
    EXPIRED = "expired"
    REVOKED = "revoked"


class ChallengeStatus(StrEnum):
    PENDING = "pending"
    PROCESSING = "processing"
    VALID = "valid"
    INVALID = "invalid"


class ApprovalStatus(StrEnum):
    """Of one approval that an order needs from people."""

    PLANNED = "planned"  # the order's authorizations are not valid yet
    WAITING = "waiting"
    GRANTED = "granted"
    REJECTED = "rejected"
    EXPIRED = "expired"
    ENDED = "ended"  # the order ended before anybody decided


ORDER_MOVES: dict[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.PENDING: frozenset({OrderStatus.READY, OrderStatus.INVALID}),
    OrderStatus.READY: frozenset({OrderStatus.PROCESSING, OrderStatus.INVALID}),
    OrderStatus.PROCESSING: frozenset({OrderStatus.VALID, OrderStatus.INVALID}),
    OrderStatus.VALID: frozenset(),
    OrderStatus.INVALID: frozenset(),
}
