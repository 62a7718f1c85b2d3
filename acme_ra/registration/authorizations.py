"""Authorizations and their challenges (RFC 8555 §7.4.1, §7.5, RFC 9444)."""

from typing import NoReturn

import msgspec

from acme_ra.audit import events
from acme_ra.core.clock import Clock
from acme_ra.core.decision import Decision, Outcome, Refusal
from acme_ra.core.events import EventRecord
from acme_ra.core.identifiers import Identifier, IdentifierType, parse_identifier
from acme_ra.core.objects import Authorization, Order, StoredError
from acme_ra.core.problems import Malformed, NotFound, Problem, RateLimited, ServiceUnavailable
from acme_ra.core.request import IssuanceRequest, Stage, Workload
from acme_ra.core.status import AuthorizationStatus, ChallengeStatus, OrderStatus
from acme_ra.registration.accounts import Requester
from acme_ra.registration.approvals import make_ready, plan_approvals
from acme_ra.registration.deciding import Decider, namespace_of, refusal_event, refusal_problem, refuse, scope_of
from acme_ra.registration.loading import load_authorization, stored
from acme_ra.registration.planning import Plan, Planner
from acme_ra.registration.refusals import tell
from acme_ra.registration.settings import OrderSettings
from acme_ra.registration.validations import Validations
from acme_ra.storage.contract import Conflict as StoreConflict
from acme_ra.storage.contract import Store, Transaction

_OPEN = (ChallengeStatus.PENDING, ChallengeStatus.PROCESSING)


class Authorizations:
    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        decider: Decider,
        planner: Planner,
        validations: Validations,
        settings: OrderSettings,
    ) -> None:
        self._store = store
        self._clock = clock
        self._decider = decider
        self._planner = planner
        self._validations = validations
        self._settings = settings

    async def create(
        self, requester: Requester, *, identifier_type: str, identifier_value: str, subdomains: bool
    ) -> tuple[Authorization, bool]:
        """Pre-authorize one identifier (newAuthz); an existing valid one of the same scope is returned instead.

        Raises Malformed for a wildcard or where only an order can be attributed, RateLimited, or the refusal.
        """
        identifier = parse_identifier(identifier_type, identifier_value)
        if identifier.wildcard:
            raise Malformed("a wildcard cannot be pre-authorized (RFC 8555 §7.4.1); ask for its domain with subdomains")
        subdomains = subdomains and identifier.type == IdentifierType.DNS
        candidates = await self._decider.candidates(requester)
        if candidates is None:
            raise Malformed("this account's requests are attributed by their orders; place an order instead")
        request = self._request(requester, Stage.NEW_ORDER, (identifier,))
        decision = await self._decider.decide(requester, request, candidates)
        plan: Plan | Refusal | None = None
        if decision.outcome == Outcome.ALLOWED:
            plan = await self._plan(requester, decision, subdomains=subdomains)
            if isinstance(plan, Refusal):
                decision = refuse(decision, plan)
        if not isinstance(plan, Plan):
            record = refusal_event(requester, decision, self._clock.now())
            await self._store.transact(lambda tx: tx.append_event(record))
            raise refusal_problem(decision)
        if plan.existing:
            return await self.fetch(requester, plan.existing), False
        return await self._insert(requester, decision, plan), True

    async def _plan(self, requester: Requester, decision: Decision, *, subdomains: bool) -> Plan | Refusal:
        """The authorization to make for the one name of an allowed request, or an existing one that serves.

        What is made anew is proved anew, and by the zone where names below are to follow from it (ADR 6).
        """
        assert decision.terms is not None
        planned = await self._planner.plan(requester, decision, {})
        if isinstance(planned, Refusal):
            return planned
        (plan,) = planned
        if plan.existing and (plan.subdomains or not subdomains):
            return plan
        needed = decision.terms.challenges
        challenges = self._planner.challenges(plan.identifier, wildcard=subdomains, needed=needed)
        if needed and not challenges:
            why = f"subdomains need dns-01, which policy {decision.terms.grant} does not accept"
            told = plan.identifier.subproblem("rejectedIdentifier", why)
            return Refusal(f"{plan.identifier}: {why}", (told,))
        return msgspec.structs.replace(
            plan, subdomains=subdomains, existing="", valid=not needed, challenges=challenges
        )

    async def fetch(self, requester: Requester, unverified_id: str) -> Authorization:
        """The authorization as it stands. The first fetch of an order's attributes the workload, and may refuse."""
        authorization = await load_authorization(self._store, requester, unverified_id, self._clock.now())
        if authorization.status == AuthorizationStatus.PENDING and not authorization.challenges:
            await self._attribute(requester, authorization)
            authorization = await load_authorization(self._store, requester, unverified_id, self._clock.now())
        return authorization

    async def deactivate(self, requester: Requester, unverified_id: str) -> Authorization:
        """RFC 8555 §7.5.2. Raises Malformed unless the authorization is pending or valid."""
        authorization = await load_authorization(self._store, requester, unverified_id, self._clock.now())
        if authorization.status == AuthorizationStatus.DEACTIVATED:
            return authorization
        if authorization.status not in (AuthorizationStatus.PENDING, AuthorizationStatus.VALID):
            raise Malformed(
                f"the authorization is {authorization.status}; only a pending or valid one can be deactivated"
            )
        changed = msgspec.structs.replace(authorization, status=AuthorizationStatus.DEACTIVATED, due_at=None)
        now = self._clock.now()
        event = events.AuthorizationDeactivated(authorization=changed.id, identifier=changed.identifier)
        record = event.record(now, requester.subject(order_id=changed.order_id, names=(changed.identifier.value,)))

        def deactivate(tx: Transaction) -> None:
            tx.replace_authorization(changed)
            tx.append_event(record)
            order = None if changed.order_id is None else tx.order(changed.order_id)
            if order is not None and order.status in (OrderStatus.PENDING, OrderStatus.READY):
                # An order with a deactivated authorization can never be finalized (RFC 8555 §7.1.6).
                error = StoredError("unauthorized", f"the authorization for {changed.identifier} was deactivated")
                tx.move_order(order.id, expected=order.status, to=OrderStatus.INVALID, error=error)
                tx.append_event(events.OrderInvalid(error=error).record(now, requester.subject(order_id=order.id)))

        try:
            await self._store.transact(deactivate)
        except StoreConflict as error:
            raise ServiceUnavailable("the authorization is changing just now; try again", retry_after=1) from error
        return msgspec.structs.replace(changed, version=changed.version + 1)

    async def respond(self, requester: Requester, unverified_id: str, challenge_type: str) -> Authorization:
        """The client says that a challenge is ready (RFC 8555 §7.5.1), or is now after an attempt failed (§8.2).

        One that is decided is returned as it is.
        """
        authorization = await load_authorization(self._store, requester, unverified_id, self._clock.now())
        challenge = next((one for one in authorization.challenges if one.type == challenge_type), None)
        if challenge is None:
            raise NotFound("there is no such challenge")
        if authorization.status != AuthorizationStatus.PENDING or challenge.status not in _OPEN:
            return authorization
        return await self._validations.respond(requester.directory, requester.account, authorization, challenge)

    async def fetch_challenge(self, requester: Requester, unverified_id: str, challenge_type: str) -> Authorization:
        """POST-as-GET of a challenge: nothing is started."""
        authorization = await load_authorization(self._store, requester, unverified_id, self._clock.now())
        if all(one.type != challenge_type for one in authorization.challenges):
            raise NotFound("there is no such challenge")
        return authorization

    def _request(self, requester: Requester, stage: Stage, identifiers: tuple[Identifier, ...]) -> IssuanceRequest:
        return IssuanceRequest(
            stage=stage,
            directory=requester.directory.name,
            account=requester.account.resource_id,
            credential="" if requester.credential is None else requester.credential.kid,
            identifiers=identifiers,
        )

    async def _insert(self, requester: Requester, decision: Decision, plan: Plan) -> Authorization:
        now = self._clock.now()
        workload = decision.request.workload
        scope = scope_of(requester, workload, decision.policy_digest)
        assert decision.terms is not None
        grant = decision.terms.grant

        limit = self._settings.own_authorizations_per_account

        def insert(tx: Transaction) -> str:
            if tx.own_authorizations(requester.account.id, limit=limit) >= limit:
                told = f"this account has {limit} authorizations of its own; use them in orders or deactivate some"
                raise RateLimited(told, retry_after=60)
            resource_id = plan.insert(tx, account_id=requester.account.id, order_id=None, scope=scope, now=now)
            event = events.AuthorizationCreated(
                authorization=int(resource_id.partition(".")[0]),
                identifier=plan.identifier,
                subdomains=plan.subdomains,
                grant=grant,
            )
            subject = requester.subject(namespace=namespace_of(workload), names=(plan.identifier.value,))
            tx.append_event(event.record(now, subject))
            return resource_id

        resource_id = await self._store.transact(insert)
        return await load_authorization(self._store, requester, resource_id, now)

    async def _attribute(self, requester: Requester, authorization: Authorization) -> None:
        """Learn whose order it is, ask policy, and set what each authorization of the order needs."""
        order = None if authorization.order_id is None else await self._store.order(authorization.order_id)
        if order is None or order.status != OrderStatus.PENDING:
            return
        try:
            candidates = await self._decider.candidates(requester, order=order)
        except ServiceUnavailable:
            raise
        except Problem as problem:
            # Nobody's order, or not this account's: it can never be finalized.
            refused = events.AttributionRefused(error=stored(problem))
            await self._end(order, problem, refused.record(self._clock.now(), requester.subject(order_id=order.id)))
        if candidates is None:
            raise ServiceUnavailable("the workload behind this order cannot be told yet; try again", retry_after=2)
        request = msgspec.structs.replace(
            self._request(requester, Stage.AUTHORIZATION, order.identifiers),
            profile=order.profile,
            not_before=order.not_before,
            not_after=order.not_after,
        )
        decision = await self._decider.decide(requester, request, candidates)
        if decision.outcome == Outcome.REFUSED:
            await self._end_order(requester, order, decision)
        rows = tuple(int(one.partition(".")[0]) for one in order.authorizations)
        pending = await self._store.authorizations(rows)
        assert decision.terms is not None
        changed = []
        for one, identifier in zip(pending, order.identifiers, strict=True):
            challenges = self._planner.challenges(
                one.identifier,
                wildcard=identifier.wildcard or one.subdomains,
                needed=decision.terms.challenges,
            )
            if decision.terms.challenges and not challenges:
                why = f"policy {decision.terms.grant} accepts no challenge that can prove {identifier}"
                refusal = Refusal(why, (identifier.subproblem("rejectedIdentifier", why),))
                await self._end_order(requester, order, refuse(decision, refusal))
            status = AuthorizationStatus.PENDING if challenges else AuthorizationStatus.VALID
            changed.append(msgspec.structs.replace(one, challenges=challenges, status=status))
        await self._settle(requester, order, decision, changed)

    async def _settle(
        self, requester: Requester, order: Order, decision: Decision, changed: list[Authorization]
    ) -> None:
        now = self._clock.now()
        workload = decision.request.workload
        assert decision.terms is not None
        scope = scope_of(requester, workload, decision.policy_digest)
        event = events.AuthorizationAttributed(
            decision=decision.id,
            policy_digest=decision.policy_digest,
            grant=decision.terms.grant,
            workload=workload,
        )
        subject = requester.subject(order_id=order.id, namespace=namespace_of(workload))
        record = event.record(now, subject)
        needed, timeout = decision.terms.approvals, self._decider.approvals.timeout

        def settle(tx: Transaction) -> None:
            tx.set_workload(order.id, msgspec.json.encode(workload))
            for one in changed:
                tx.replace_authorization(msgspec.structs.replace(one, scope=scope))
            plan_approvals(tx, order.id, needed)
            tx.append_event(record)
            if all(one.status == AuthorizationStatus.VALID for one in changed):
                make_ready(tx, order, subject, now, timeout=timeout)

        try:
            await self._store.transact(settle)
        except StoreConflict as error:
            raise ServiceUnavailable("the order is changing just now; try again", retry_after=1) from error

    async def _end_order(self, requester: Requester, order: Order, decision: Decision) -> NoReturn:
        record = refusal_event(requester, decision, self._clock.now(), order)
        await self._end(order, refusal_problem(decision), record, workload=decision.request.workload)

    async def _end(
        self, order: Order, problem: Problem, record: EventRecord, *, workload: Workload | None = None
    ) -> NoReturn:
        """End the order durably, then tell why."""

        def end(tx: Transaction) -> None:
            tx.move_order(order.id, expected=OrderStatus.PENDING, to=OrderStatus.INVALID, error=stored(problem))
            tx.append_event(record)

        try:
            await self._store.transact(end)
        except StoreConflict:
            # Another fetch of the same order has ended it already; the refusal is the same.
            raise problem from None
        tell(self._decider.refusals, workload, order.identifiers, problem)
        raise problem
