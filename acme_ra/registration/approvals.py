"""Orders that wait for the approval of people: asked when the authorizations are valid, believed only if sealed.

docs/approvals.md traces one. approving.py is the people's side of it.
"""

import hashlib
import hmac
import re
from typing import Final

import msgspec
import structlog

from acme_ra.audit import events
from acme_ra.audit.events import Subject
from acme_ra.core.clock import HOUR, Clock, Instant, to_rfc3339
from acme_ra.core.decision import NeededApproval
from acme_ra.core.identifiers import brief
from acme_ra.core.objects import Account, Credential, Order, OrderApproval, StoredError
from acme_ra.core.problems import Malformed, Problem, RejectedIdentifier, Subproblem, Unauthorized
from acme_ra.core.request import GivenApproval, Workload
from acme_ra.core.status import ApprovalStatus, OrderStatus
from acme_ra.storage.contract import Conflict as StoreConflict
from acme_ra.storage.contract import Store, Transaction

log = structlog.get_logger(__name__)

#: For so long after the first time, whoever fetches a refused order is told the refusal as an error; after that they
#: get the order, which is invalid and has the same text. A client that could not keep the first answer asks again.
TOLD_FOR: Final = HOUR
_TYPES: Final[dict[str, type[Problem]]] = {"malformed": Malformed, "unauthorized": Unauthorized}
_PARTS: Final = re.compile(r"[:/#\\|]")
_encode: Final = msgspec.msgpack.Encoder(order="deterministic").encode


class ApprovalSeal:
    """The MAC that makes an approval count: nobody who can merely write the database can grant one."""

    __slots__ = ("_mac",)

    def __init__(self, key: bytes) -> None:
        """`key`: 32 bytes that every replica and the operators' commands share, derived from the master key."""
        if len(key) < 32:
            raise ValueError("the key must have at least 32 bytes")
        self._mac = hmac.new(key, b"acme-ra order approval 1", hashlib.sha256)

    def of(self, order: Order, approval: OrderApproval, *, identity: str) -> bytes:
        """Over all that was approved (the order, its names, whose it is) and all that is told of the approval."""
        content = _encode(
            (
                (order.id, order.secret, order.account_id, order.directory),
                [str(one) for one in order.identifiers],
                (order.not_before, order.not_after, order.profile, order.expires_at),
                identity,
                (approval.policy, approval.group, approval.status.value),
                (approval.asked_at, approval.expires_at, approval.decided_at),
                (approval.decided_by, approval.reason),
            )
        )
        mac = self._mac.copy()
        mac.update(content)
        return mac.digest()

    def holds(self, order: Order, approval: OrderApproval, *, identity: str) -> bool:
        """Whether this server sealed this very approval, of this very order of this requester."""
        if approval.seal is None or approval.order_id != order.id or approval.status != ApprovalStatus.GRANTED:
            return False
        return hmac.compare_digest(approval.seal, self.of(order, approval, identity=identity))


class Approvals:
    """What the server does with them. Nothing here can grant one."""

    def __init__(self, *, store: Store, clock: Clock, seal: ApprovalSeal, timeout: int) -> None:
        """`timeout`: milliseconds that an order waits at most."""
        self.timeout = timeout
        self._store = store
        self._clock = clock
        self._seal = seal

    async def given(self, order: Order, *, identity: str, requesters: frozenset[str]) -> tuple[GivenApproval, ...]:
        """The granted approvals of the order whose seal holds for this requester; any other is none.

        Nor is one by somebody who turns out to be the requester, by what is known of them now.
        """
        given = []
        for one in await self._store.approvals(order.id):
            if one.status != ApprovalStatus.GRANTED or one.decided_at is None:
                continue
            if not self._seal.holds(order, one, identity=identity):
                log.error("approval.seal_broken", order=order.id, policy=one.policy, by=one.decided_by)
                continue
            if not requesters.isdisjoint(names_of(one.decided_by)):
                log.error("approval.by_the_requester", order=order.id, policy=one.policy, by=one.decided_by)
                continue
            given.append(GivenApproval(one.policy, one.group, one.decided_by, one.decided_at))
        return tuple(given)

    async def awaited(self, order: Order) -> str:
        """What a pending order waits for, in words; empty if it waits for nobody."""
        return _awaited(order, await self._store.approvals(order.id))

    async def settle(self, order: Order) -> tuple[Order, str]:
        """The order as its client may see it, and what it waits for, in words.

        Raises the refusal of one that was rejected, or not approved in time.

        cert-manager shows the text of an error, and never that of an invalid order: so it is an error that is told
        first (ADR 7).
        """
        approvals = await self._store.approvals(order.id)
        if not approvals:
            return order, ""
        now = self._clock.now()
        if order.status == OrderStatus.PENDING and _overdue(approvals, now):
            await expire(self._store, order.id, now)
            order = await self._store.order(order.id) or order
            approvals = await self._store.approvals(order.id)
        refused = [one for one in approvals if one.asked_at is not None and one.status in _REFUSED]
        if order.status != OrderStatus.INVALID or order.error is None or not refused:
            return order, _awaited(order, approvals)
        told_at = refused[0].told_at
        if told_at is None:
            await self._store.transact(lambda tx: tx.tell_approvals(order.id, now=now))
        elif told_at + TOLD_FOR <= now:
            return order, ""
        raise _problem(order.error)


_REFUSED: Final = frozenset({ApprovalStatus.REJECTED, ApprovalStatus.EXPIRED, ApprovalStatus.ENDED})


def plan_approvals(tx: Transaction, order_id: int, needed: tuple[NeededApproval, ...]) -> None:
    """Remember who will be asked, in the transaction that follows the decision."""
    for one in needed:
        tx.insert_approval(order_id, policy=one.policy, group=one.group)


def make_ready(tx: Transaction, order: Order, subject: Subject, now: Instant, *, timeout: int) -> OrderStatus:
    """The authorizations are valid: the pending order becomes ready, or waits for those whose approval was planned."""
    planned = [one for one in tx.approvals(order.id) if one.status == ApprovalStatus.PLANNED]
    if not planned:
        tx.move_order(order.id, expected=OrderStatus.PENDING, to=OrderStatus.READY)
        return OrderStatus.READY
    # An order never waits longer than it lives.
    expires_at = min(now + timeout, order.expires_at)
    tx.await_approvals(order.id, now=now, expires_at=expires_at)
    for one in planned:
        event = events.ApprovalRequested(
            policy=one.policy, group=one.group, identifiers=order.identifiers, expires_at=expires_at
        )
        tx.append_event(event.record(now, subject))
    return OrderStatus.PENDING


async def expire(store: Store, order_id: int, now: Instant) -> None:
    """End an order whose approval was not given in time. Does nothing when somebody decided meanwhile."""

    def end(tx: Transaction) -> None:
        order = tx.order(order_id)
        overdue = [
            one
            for one in tx.approvals(order_id)
            if one.status == ApprovalStatus.WAITING and one.expires_at is not None and one.expires_at <= now
        ]
        if order is None or order.status != OrderStatus.PENDING or not overdue:
            for one in overdue:  # of an order that ended in some other way
                tx.decide_approval(msgspec.structs.replace(one, status=ApprovalStatus.ENDED))
            return
        subject = subject_of(order)
        for one in overdue:
            tx.decide_approval(msgspec.structs.replace(one, status=ApprovalStatus.EXPIRED, decided_at=now))
            event = events.ApprovalExpired(policy=one.policy, group=one.group)
            tx.append_event(event.record(now, subject))
        asked = " and ".join(_asked(one) for one in overdue)
        error = refusal_of(order, f"nobody gave {asked} in time; place a new order and ask them before it ends")
        end_order(tx, order, error, now)

    await store.transact(end)


async def expire_overdue(store: Store, now: Instant, limit: int) -> int:
    """End the orders that nobody decided about in time; returns how many approvals that were."""
    overdue = await store.overdue_approvals(now, limit)
    for order_id in dict.fromkeys(one.order_id for one in overdue):
        try:
            await expire(store, order_id, now)
        except StoreConflict:
            # A person decided in this moment. One such order must not keep the others waiting.
            log.info("approval.decided_meanwhile", order=order_id)
    return len(overdue)


def end_order(tx: Transaction, order: Order, error: StoredError, now: Instant) -> None:
    """The pending order is refused, and its error says why to whoever looks at it later."""
    tx.move_order(order.id, expected=OrderStatus.PENDING, to=OrderStatus.INVALID, error=error)
    tx.append_event(events.OrderInvalid(error=error).record(now, subject_of(order)))


def refusal_of(order: Order, why: str) -> StoredError:
    """The error of a refused order; it names what was asked for, since some clients show nothing else."""
    return StoredError("rejectedIdentifier", f"{brief(order.identifiers)}: {why}"[:1000])


def requesters(workload: Workload | None, account: Account, credential: Credential | None) -> frozenset[str]:
    """Every name of who asks: in the cluster, in the account's contacts, of its credential."""
    told = list(account.contacts)
    if credential is not None:
        told.append(credential.name)
    if workload is not None:
        told.append(workload.evidence.get("requested_by", ""))
    return frozenset(name for one in told for name in names_of(one))


def names_of(text: str) -> frozenset[str]:
    """`mailto:Anna@example.com` is anna@example.com and anna; `oidc:anna` is anna. Too many are better than too few."""
    whole = text.strip().casefold()
    last = _PARTS.split(whole)[-1]
    return frozenset(one for one in (whole, last, last.partition("@")[0]) if one)


def subject_of(order: Order) -> Subject:
    namespace = "" if order.workload is None else order.workload.namespace
    return Subject(directory=order.directory, account_id=order.account_id, order_id=order.id, namespace=namespace)


def _asked(one: OrderApproval) -> str:
    return f"the approval of group {one.group} (policy {one.policy})"


def _awaited(order: Order, approvals: tuple[OrderApproval, ...]) -> str:
    waiting = [one for one in approvals if one.status == ApprovalStatus.WAITING]
    if not waiting:
        return ""
    asked = " and ".join(_asked(one) for one in waiting)
    until = f", until {to_rfc3339(waiting[0].expires_at)}" if waiting[0].expires_at is not None else ""
    return f"it waits for {asked}{until}; they say `acme-ra order approve {order.id}`"


def _overdue(approvals: tuple[OrderApproval, ...], now: Instant) -> bool:
    return any(
        one.status == ApprovalStatus.WAITING and one.expires_at is not None and one.expires_at <= now
        for one in approvals
    )


def _problem(error: StoredError) -> Problem:
    subproblems = tuple(Subproblem(*one) for one in error.subproblems)
    return _TYPES.get(error.token, RejectedIdentifier)(error.detail, subproblems=subproblems)
