"""People decide about orders that wait for them: in a group that is asked, and never the requester."""

from collections.abc import Mapping, Sequence

import msgspec

from acme_ra.audit import events
from acme_ra.core.clock import Clock, Instant, to_rfc3339
from acme_ra.core.objects import Account, Credential, Order, OrderApproval
from acme_ra.core.problems import Malformed, NotFound, OrderNotReady, Unauthorized
from acme_ra.core.status import AccountStatus, ApprovalStatus, OrderStatus
from acme_ra.registration.approvals import ApprovalSeal, end_order, names_of, refusal_of, requesters, subject_of
from acme_ra.registration.deciding import identity
from acme_ra.storage.contract import Store, Transaction

MAX_REASON = 300


class Person(msgspec.Struct, frozen=True):
    """Who decides; `login` where somebody logged in under another name says so."""

    name: str
    login: str = ""


class Decided(msgspec.Struct, frozen=True):
    """What came of it: the decided approvals, the groups that are still missing, and the order's status now."""

    order: Order
    approvals: tuple[OrderApproval, ...]
    missing: tuple[OrderApproval, ...]


class Approvers:
    """The groups of the setting `approvers`, and what its people may do."""

    def __init__(self, *, store: Store, clock: Clock, seal: ApprovalSeal, groups: Mapping[str, Sequence[str]]) -> None:
        self._store = store
        self._clock = clock
        self._seal = seal
        self._groups = {group: frozenset(one.casefold() for one in people) for group, people in groups.items()}

    async def approve(self, order_id: int, person: Person, *, reason: str) -> Decided:
        """Grant every approval that the order waits for and a group of this person's may give.

        With the last one the order becomes ready, in the same transaction. Raises NotFound, Malformed for the reason,
        OrderNotReady when nothing waits (any more), Unauthorized when this person may not decide.
        """
        reason = check_reason(reason)
        account, credential = await self._account_of(order_id)
        now = self._clock.now()

        def grant(tx: Transaction) -> Decided:
            order = _pending(tx, order_id)
            mine = self._mine(tx, order, person, now)
            self._check_not_the_requester(order, person, account, credential)
            whose = identity(account.id, credential, order.workload)
            granted = []
            for one in mine:
                decided = _decided(one, ApprovalStatus.GRANTED, person, reason, now)
                sealed = msgspec.structs.replace(decided, seal=self._seal.of(order, decided, identity=whose))
                tx.decide_approval(sealed)
                granted.append(sealed)
                event = events.ApprovalGranted(
                    policy=one.policy, group=one.group, by=person.name, login=person.login, reason=reason
                )
                tx.append_event(event.record(now, subject_of(order)))
            missing = tuple(one for one in tx.approvals(order_id) if one.status != ApprovalStatus.GRANTED)
            if not missing:
                tx.move_order(order_id, expected=OrderStatus.PENDING, to=OrderStatus.READY)
                order = msgspec.structs.replace(order, status=OrderStatus.READY)
            return Decided(order, tuple(granted), missing)

        return await self._store.transact(grant)

    async def reject(self, order_id: int, person: Person, *, reason: str) -> Decided:
        """Refuse the order for good; its client is told the reason. Raises as `approve` does."""
        reason = check_reason(reason)
        account, credential = await self._account_of(order_id)
        now = self._clock.now()

        def refuse(tx: Transaction) -> Decided:
            order = _pending(tx, order_id)
            mine = self._mine(tx, order, person, now)
            self._check_not_the_requester(order, person, account, credential)
            rejected = []
            for one in mine:
                decided = _decided(one, ApprovalStatus.REJECTED, person, reason, now)
                tx.decide_approval(decided)
                rejected.append(decided)
                event = events.ApprovalRejected(
                    policy=one.policy, group=one.group, by=person.name, login=person.login, reason=reason
                )
                tx.append_event(event.record(now, subject_of(order)))
            group, policy = mine[0].group, mine[0].policy
            error = refusal_of(order, f"{person.name} of group {group} rejected it (policy {policy}): {reason}")
            end_order(tx, order, error, now)
            return Decided(msgspec.structs.replace(order, status=OrderStatus.INVALID, error=error), tuple(rejected), ())

        return await self._store.transact(refuse)

    async def _account_of(self, order_id: int) -> tuple[Account, Credential | None]:
        """Who placed the order. Raises NotFound, or Unauthorized when the requester may not act any more."""
        order = await self._store.order(order_id)
        found = None if order is None else await self._store.account(order.account_id)
        if found is None:
            raise NotFound(f"there is no order {order_id}; see `acme-ra order list --waiting`")
        account, credential = found
        if account.status != AccountStatus.VALID:
            raise Unauthorized(f"account {account.id}, which placed the order, is {account.status}")
        if credential is not None and credential.disabled_at is not None:
            raise Unauthorized(f"the credential {credential.kid} of account {account.id} was disabled")
        return found

    def _mine(self, tx: Transaction, order: Order, person: Person, now: Instant) -> list[OrderApproval]:
        """What this person may decide now. Raises OrderNotReady, Unauthorized."""
        approvals = tx.approvals(order.id)
        waiting = [one for one in approvals if one.status == ApprovalStatus.WAITING]
        if not waiting:
            planned = any(one.status == ApprovalStatus.PLANNED for one in approvals)
            why = "its challenges are not done yet" if planned else "nobody is asked"
            raise OrderNotReady(f"order {order.id} does not wait for an approval: {why}")
        ends = [one.expires_at for one in waiting if one.expires_at is not None]
        if len(ends) < len(waiting) or min(ends) <= now or order.expires_at <= now:
            raise OrderNotReady(f"order {order.id} was to be decided until {to_rfc3339(min(ends, default=now))}")
        mine = [one for one in waiting if person.name.casefold() in self._groups.get(one.group, ())]
        if not mine:
            asked = " or ".join(sorted({one.group for one in waiting}))
            raise Unauthorized(f"{person.name} is not in group {asked}, whose approval order {order.id} waits for")
        return mine

    def _check_not_the_requester(
        self, order: Order, person: Person, account: Account, credential: Credential | None
    ) -> None:
        """Raises Unauthorized for whoever asked for the certificate, under any name that is known of them."""
        known = requesters(order.workload, account, credential)
        for name in (person.name, person.login):
            if name and not known.isdisjoint(names_of(name)):
                raise Unauthorized(
                    f"{name} asked for order {order.id}; somebody else of the group must decide about it"
                )


def check_reason(reason: str) -> str:
    """One line, for the client and the audit log. Raises Malformed."""
    text = reason.strip()
    if not text or len(text) > MAX_REASON or not text.isprintable():
        raise Malformed(f"a reason has one line of 1 to {MAX_REASON} printable characters")
    return text


def _pending(tx: Transaction, order_id: int) -> Order:
    order = tx.order(order_id)
    if order is None:
        raise NotFound(f"there is no order {order_id}; see `acme-ra order list --waiting`")
    if order.status != OrderStatus.PENDING:
        decided = [one for one in tx.approvals(order_id) if one.decided_by]
        by = "".join(f"; {one.decided_by} {one.status} it: {one.reason}" for one in decided)
        raise OrderNotReady(f"order {order_id} is {order.status} and waits for nobody{by}")
    return order


def _decided(one: OrderApproval, status: ApprovalStatus, person: Person, reason: str, now: Instant) -> OrderApproval:
    return msgspec.structs.replace(one, status=status, decided_at=now, decided_by=person.name, reason=reason)
