"""Orders: what is asked for, checked against policy at once (RFC 8555 §7.4, RFC 9444, RFC 9773 §5, profiles draft)."""

import msgspec

from acme_ra.audit import events
from acme_ra.core.clock import Clock, Instant, parse_rfc3339
from acme_ra.core.decision import Decision, Outcome, Refusal
from acme_ra.core.encoding import random_secret
from acme_ra.core.identifiers import Identifier, IdentifierType, parse_dns_name, parse_identifier
from acme_ra.core.objects import Certificate, Order
from acme_ra.core.problems import (
    AlreadyReplaced,
    Compound,
    InvalidProfile,
    Malformed,
    Problem,
    RateLimited,
    RejectedIdentifier,
)
from acme_ra.core.request import IssuanceRequest, Stage
from acme_ra.core.status import OrderStatus
from acme_ra.registration.accounts import Requester
from acme_ra.registration.approvals import make_ready, plan_approvals
from acme_ra.registration.deciding import Decider, namespace_of, refusal_event, refusal_problem, refuse, scope_of
from acme_ra.registration.loading import as_of, load_order
from acme_ra.registration.planning import Plan, Planner
from acme_ra.registration.refusals import tell, tell_awaited
from acme_ra.registration.settings import OrderSettings
from acme_ra.storage.contract import Conflict as StoreConflict
from acme_ra.storage.contract import Store, Transaction

ALREADY_REPLACED = "the certificate in replaces was already replaced by another order"


class NewOrder(msgspec.Struct, frozen=True):
    """A newOrder payload as the edge read it; every value is unverified."""

    identifiers: tuple[tuple[str, str], ...]  # (type, value)
    ancestors: dict[str, str] = {}  # identifier value → ancestorDomain (RFC 9444 §4.2)
    not_before: str | None = None
    not_after: str | None = None
    profile: str | None = None
    replaces: str | None = None


class Orders:
    def __init__(
        self, *, store: Store, clock: Clock, decider: Decider, planner: Planner, settings: OrderSettings
    ) -> None:
        self._store = store
        self._clock = clock
        self._decider = decider
        self._planner = planner
        self._settings = settings

    async def create(self, requester: Requester, new: NewOrder) -> Order:
        """Create an order, or raise why policy, the grammar or a limit forbids it."""
        identifiers = parse_identifiers(new.identifiers, limit=self._settings.max_identifiers)
        ancestors = _parse_ancestors(new.ancestors, identifiers)
        profile = check_profile(requester, new.profile)
        not_before, not_after = _parse_validity(new, self._clock.now())
        replaced = None
        if new.replaces:
            replaced = await self._check_replaces(requester, new.replaces, identifiers)

        request = IssuanceRequest(
            stage=Stage.NEW_ORDER,
            directory=requester.directory.name,
            account=requester.account.resource_id,
            credential="" if requester.credential is None else requester.credential.kid,
            identifiers=identifiers,
            profile=profile,
            not_before=not_before,
            not_after=not_after,
        )
        candidates = await self._decider.candidates(requester)
        decision: Decision | None = None
        plans: tuple[Plan, ...]
        if candidates is None:
            # The workload is told at the first authorization fetch; until then nothing proves anything.
            plans = self._planner.unattributed(requester, identifiers, ancestors)
        else:
            decision = await self._decider.decide(requester, request, candidates)
            if decision.outcome == Outcome.REFUSED:
                await self._refuse(requester, decision)
            planned = await self._planner.plan(requester, decision, ancestors)
            if isinstance(planned, Refusal):
                await self._refuse(requester, refuse(decision, planned))
            else:
                plans = planned
        draft = self._draft(requester, request, new.replaces or "", decision, plans)
        return await self._insert(requester, draft, decision, plans, replaced)

    async def fetch(self, requester: Requester, unverified_id: str) -> Order:
        """The account's order as it stands. Raises NotFound, and the refusal of one that nobody approved."""
        order = await load_order(self._store, requester, unverified_id)
        if order.status in (OrderStatus.PENDING, OrderStatus.INVALID):
            order = await self._settle(order)
        return as_of(order, self._clock.now())

    async def _settle(self, order: Order) -> Order:
        """The order, or the refusal of its approval; the cluster shows that too, and whom the order waits for."""
        try:
            order, awaited = await self._decider.approvals.settle(order)
        except Problem as problem:
            tell(self._decider.refusals, order.workload, order.identifiers, problem)
            raise
        if awaited:
            tell_awaited(self._decider.refusals, order, awaited)
        return order

    def _draft(
        self,
        requester: Requester,
        request: IssuanceRequest,
        replaces: str,
        decision: Decision | None,
        plans: tuple[Plan, ...],
    ) -> Order:
        """The order as it will be, but for its row and its authorizations.

        It ends with the first of its authorizations (RFC 8555 §7.1.6), and names the end that policy settled.
        """
        now = self._clock.now()
        not_after = request.not_after
        if not_after is not None and decision is not None and decision.terms is not None:
            not_after = decision.terms.not_after
        return Order(
            id=0,
            secret=random_secret(),
            directory=requester.directory.name,
            account_id=requester.account.id,
            status=OrderStatus.READY if all(plan.valid for plan in plans) else OrderStatus.PENDING,
            identifiers=request.identifiers,
            authorizations=(),
            not_before=request.not_before,
            not_after=not_after,
            profile=request.profile,
            replaces=replaces,
            workload=None if decision is None else decision.request.workload,
            created_at=now,
            expires_at=min(now + self._settings.order_lifetime, *(plan.expires_at for plan in plans)),
        )

    async def _insert(
        self,
        requester: Requester,
        draft: Order,
        decision: Decision | None,
        plans: tuple[Plan, ...],
        replaced: Certificate | None,
    ) -> Order:
        now, workload = draft.created_at, draft.workload
        digest = "" if decision is None else decision.policy_digest
        scope = scope_of(requester, workload, digest)
        event = events.OrderCreated(
            identifiers=draft.identifiers,
            policy_digest=digest,
            grant="" if decision is None or decision.terms is None else decision.terms.grant,
            workload=workload,
            profile=draft.profile,
            replaces=draft.replaces,
        )
        names = tuple(identifier.value for identifier in draft.identifiers)
        encoded = None if workload is None else msgspec.json.encode(workload)
        needed = () if decision is None or decision.terms is None else decision.terms.approvals
        born = OrderStatus.PENDING if needed else draft.status
        timeout = self._decider.approvals.timeout
        limit = self._settings.pending_orders_per_account

        def insert(tx: Transaction) -> Order:
            # Counted here, so that requests of one moment cannot pass the limit together.
            if tx.pending_orders(draft.account_id, limit=limit) >= limit:
                told = f"this account has {limit} unfinished orders; finish or let expire some"
                raise RateLimited(told, retry_after=60)
            order_id = tx.insert_order(
                secret=draft.secret,
                directory=draft.directory,
                account_id=draft.account_id,
                status=born,
                identifiers=draft.identifiers,
                not_before=draft.not_before,
                not_after=draft.not_after,
                profile=draft.profile,
                replaces=draft.replaces,
                workload=encoded,
                now=now,
                expires_at=draft.expires_at,
            )
            authorizations = tuple(
                plan.insert(tx, account_id=draft.account_id, order_id=order_id, scope=scope, now=now) for plan in plans
            )
            tx.set_authorizations(order_id, authorizations, born)
            if replaced is not None:
                tx.mark_replaced(replaced.id, order_id)
            subject = requester.subject(order_id=order_id, namespace=namespace_of(workload), names=names)
            tx.append_event(event.record(now, subject))
            order = msgspec.structs.replace(draft, id=order_id, status=born, authorizations=authorizations)
            if needed:
                plan_approvals(tx, order_id, needed)
                if draft.status == OrderStatus.READY:
                    make_ready(tx, order, subject, now, timeout=timeout)
            return order

        try:
            return await self._store.transact(insert)
        except StoreConflict as error:
            if replaced is None:
                raise
            raise AlreadyReplaced(ALREADY_REPLACED) from error

    async def _refuse(self, requester: Requester, decision: Decision) -> None:
        """Record the refusal durably, then tell it."""
        record = refusal_event(requester, decision, self._clock.now())
        await self._store.transact(lambda tx: tx.append_event(record))
        raise refusal_problem(decision)

    async def _check_replaces(
        self, requester: Requester, replaces: str, identifiers: tuple[Identifier, ...]
    ) -> Certificate:
        """RFC 9773 §5: the predecessor is this account's, shares a name, and no other live order replaces it."""
        certificate = await self._store.certificate_by_ari_id(replaces)
        if certificate is None or certificate.account_id != requester.account.id:
            raise Malformed("replaces names no certificate of this account (RFC 9773 §5); leave it out")
        predecessor = await self._store.order(certificate.order_id)
        if predecessor is None or not set(predecessor.identifiers) & set(identifiers):
            raise Malformed("the certificate in replaces shares no name with this order (RFC 9773 §5)")
        if certificate.replaced_by is not None:
            other = await self._store.order(certificate.replaced_by)
            if other is not None and as_of(other, self._clock.now()).status != OrderStatus.INVALID:
                raise AlreadyReplaced(ALREADY_REPLACED)
        return certificate


def parse_identifiers(unverified: tuple[tuple[str, str], ...], *, limit: int) -> tuple[Identifier, ...]:
    """Every identifier in normal form, each once, in the order asked. All mistakes are told together."""
    if not unverified:
        raise Malformed("the order has no identifiers; name at least one")
    if len(unverified) > limit:
        raise RejectedIdentifier(f"the order has {len(unverified)} identifiers; at most {limit} are accepted")
    parsed: dict[Identifier, None] = {}
    problems: list[Problem] = []
    for kind, value in unverified:
        try:
            parsed[parse_identifier(kind, value)] = None
        except Problem as problem:
            problems.append(problem)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        told = tuple(subproblem for one in problems for subproblem in one.subproblems)
        tokens = {one.token for one in problems}
        kind_of_problem = type(problems[0]) if len(tokens) == 1 else Compound
        raise kind_of_problem("; ".join(one.detail for one in problems)[:900], subproblems=told)
    return tuple(parsed)


def check_profile(requester: Requester, profile: str | None) -> str:
    """draft-ietf-acme-profiles §5: a profile that the directory offers, or "" when none was asked for."""
    if not profile:
        return ""
    offered = requester.directory.settings.profiles
    if profile not in offered:
        raise InvalidProfile(f"profile {profile[:64]!a} is not offered here; use one of {', '.join(offered)}")
    return profile


def _parse_validity(new: NewOrder, now: Instant) -> tuple[Instant | None, Instant | None]:
    not_before = None if new.not_before is None else parse_rfc3339(new.not_before)
    not_after = None if new.not_after is None else parse_rfc3339(new.not_after)
    if not_after is not None and not_after <= max(now, not_before or 0):
        raise Malformed("notAfter must be later than now and than notBefore")
    return not_before, not_after


def _parse_ancestors(unverified: dict[str, str], identifiers: tuple[Identifier, ...]) -> dict[Identifier, str]:
    """RFC 9444 §4.2: an ancestorDomain must be a proper ancestor of its dns identifier."""
    ancestors: dict[Identifier, str] = {}
    for value, ancestor in unverified.items():
        normal = parse_dns_name(ancestor, allow_wildcard=False)
        wanted = next((one for one in identifiers if one.value == value.lower()), None)
        if wanted is None or wanted.type != IdentifierType.DNS or not wanted.base.endswith("." + normal):
            raise Malformed(f"ancestorDomain {ancestor[:100]!a} is no ancestor of {value[:100]!a}")
        ancestors[wanted] = normal
    return ancestors
