"""Asking whose request it is and whether policy allows it: attribution first, then rules over facts."""

import hashlib

import msgspec

from acme_ra.attribution.contract import AttributionQuery
from acme_ra.attribution.service import Attribution
from acme_ra.audit import events
from acme_ra.core.clock import Clock, Instant
from acme_ra.core.decision import Decision, Outcome, Refusal
from acme_ra.core.events import EventRecord
from acme_ra.core.objects import Credential, Order
from acme_ra.core.problems import Problem
from acme_ra.core.request import GivenApproval, IssuanceRequest, Workload
from acme_ra.core.urls import Urls
from acme_ra.policy.engine import PolicyEngine
from acme_ra.registration.accounts import Requester
from acme_ra.registration.approvals import Approvals, requesters
from acme_ra.registration.refusals import RefusalListener


class Decider:
    """Joins attribution and policy for the steps of an order."""

    def __init__(
        self,
        *,
        attribution: Attribution,
        policy: PolicyEngine,
        approvals: Approvals,
        urls: Urls,
        clock: Clock,
        refusals: RefusalListener,
    ) -> None:
        self._attribution = attribution
        self.policy = policy
        self.approvals = approvals
        self.refusals = refusals
        self._urls = urls
        self._clock = clock

    async def candidates(
        self, requester: Requester, *, order: Order | None = None, csr: bytes | None = None
    ) -> tuple[Workload, ...] | None:
        """The workloads that the requester may speak for, or None when that cannot be known yet."""
        url = "" if order is None else self._urls.order(requester.directory.name, order.resource_id)
        query = AttributionQuery(
            directory=requester.directory.name,
            account=requester.account,
            credential=requester.credential,
            order=order,
            order_url=url,
            csr=csr,
            account_url=self._urls.account(requester.directory.name, requester.account.resource_id),
            clusters=tuple(requester.directory.settings.clusters),
        )
        return await self._attribution.attribute(query)

    async def approved(self, requester: Requester, order: Order, workload: Workload) -> tuple[GivenApproval, ...]:
        """What people approved of this order, for this workload; looked up only where a policy asks for it."""
        if not self.policy.policies.needs_approvals:
            return ()
        known = requesters(workload, requester.account, requester.credential)
        return await self.approvals.given(order, identity=identity_of(requester, workload), requesters=known)

    async def decide(
        self, requester: Requester, request: IssuanceRequest, candidates: tuple[Workload, ...]
    ) -> Decision:
        """Ask policy for each candidate in turn; the first that is allowed wins, else the first refusal is told.

        Facts come first: what carries the names is looked up where a policy asks for it. Raises ServiceUnavailable.
        """
        facts = requester.directory.facts(self._clock.now())
        refused: Decision | None = None
        for workload in candidates:
            asked = msgspec.structs.replace(request, workload=workload)
            if self.policy.needs_routes(asked, facts):
                routes = await self._attribution.routes(workload, request.identifiers)
                asked = msgspec.structs.replace(asked, routes=routes)
            decision = self.policy.decide(asked, facts)
            if decision.outcome == Outcome.ALLOWED:
                return decision
            refused = refused or decision
        return refused or self.policy.decide(request, facts)


def identity_of(requester: Requester, workload: Workload | None) -> str:
    """What a proof is bound to besides its policy: account, credential generation, cluster and namespace."""
    return identity(requester.account.id, requester.credential, workload)


def identity(account_id: int, credential: Credential | None, workload: Workload | None) -> str:
    """The same of an account that is not asking."""
    bound = "" if credential is None else f"{credential.kid}/{credential.generation}"
    whose = ("", "", "") if workload is None else (workload.source, workload.cluster, workload.namespace)
    text = "\x00".join((str(account_id), bound, *whose))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def scope_of(requester: Requester, workload: Workload | None, policy_digest: str) -> str:
    """The scope of an authorization: never reused for another identity, nor under a changed policy."""
    return f"{identity_of(requester, workload)}:{policy_digest[:32]}"


def namespace_of(workload: Workload | None) -> str:
    return "" if workload is None else workload.namespace


def refuse(decision: Decision, refusal: Refusal) -> Decision:
    """The same decision, refused for a reason that policy's own rules cannot see."""
    return msgspec.structs.replace(decision, outcome=Outcome.REFUSED, terms=None, refusal=refusal)


def refusal_event(requester: Requester, decision: Decision, now: Instant, order: Order | None = None) -> EventRecord:
    """The audit record of a refusal before finalize."""
    subject = requester.subject(
        order_id=None if order is None else order.id,
        namespace=namespace_of(decision.request.workload),
        names=tuple(identifier.value for identifier in decision.request.identifiers) if order is None else (),
    )
    return events.OrderRefused(decision=decision).record(now, subject)


def refusal_problem(decision: Decision) -> Problem:
    assert decision.refusal is not None
    return decision.refusal.problem()
