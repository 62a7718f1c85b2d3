"""Loading what a client names: only its own, and as it stands at this moment (RFC 8555 §7.1.6)."""

import msgspec

from acme_ra.core.clock import Instant
from acme_ra.core.objects import Authorization, Order, ResourceId, StoredError
from acme_ra.core.problems import NotFound, Problem
from acme_ra.core.status import AuthorizationStatus, OrderStatus
from acme_ra.registration.accounts import Requester
from acme_ra.storage.contract import Store


async def load_order(store: Store, requester: Requester, unverified_id: str) -> Order:
    """The row as it is stored, if it is this account's. Raises NotFound."""
    wanted = ResourceId.parse(unverified_id)
    order = await store.order(wanted.row)
    if order is None:
        raise NotFound("there is no such order")
    wanted.check(order.secret)
    requester.check_owns(order.account_id)
    return order


def as_of(order: Order, now: Instant) -> Order:
    """An order past its expiry is invalid from that moment, before housekeeping has written it down."""
    if order.status in (OrderStatus.PENDING, OrderStatus.READY) and order.expires_at <= now:
        error = StoredError("malformed", "the order expired before it was finalized; place a new one")
        return msgspec.structs.replace(order, status=OrderStatus.INVALID, error=error)
    return order


def authorization_as_of(authorization: Authorization, now: Instant) -> Authorization:
    """The same for authorizations (RFC 8555 §7.1.6)."""
    live = authorization.status in (AuthorizationStatus.PENDING, AuthorizationStatus.VALID)
    if live and authorization.expires_at <= now:
        return msgspec.structs.replace(authorization, status=AuthorizationStatus.EXPIRED)
    return authorization


async def load_authorization(store: Store, requester: Requester, unverified_id: str, now: Instant) -> Authorization:
    """The account's authorization as it stands. Raises NotFound."""
    wanted = ResourceId.parse(unverified_id)
    authorization = await store.authorization(wanted.row)
    if authorization is None:
        raise NotFound("there is no such authorization")
    wanted.check(authorization.secret)
    requester.check_owns(authorization.account_id)
    return authorization_as_of(authorization, now)


def stored(problem: Problem) -> StoredError:
    """A problem in the form that is kept with an order or a challenge."""
    return StoredError(problem.token, problem.detail, tuple((*one,) for one in problem.subproblems))
