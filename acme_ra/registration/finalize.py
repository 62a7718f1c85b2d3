"""Order finalization (RFC 8555 §7.4): the one road to a signature. Numbers as in docs/finalize.md."""

from typing import NoReturn

import msgspec
import structlog

from acme_ra.audit import events
from acme_ra.core.approval import Approval, ApprovedCertificate
from acme_ra.core.clock import Clock
from acme_ra.core.csr import VerifiedCSR, parse_csr
from acme_ra.core.decision import Decision, Outcome
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.objects import Authorization, Order
from acme_ra.core.problems import BadCSR, OrderNotReady, Problem, ServerInternal, ServiceUnavailable, Unauthorized
from acme_ra.core.request import IssuanceRequest, Stage, Workload
from acme_ra.core.status import AuthorizationStatus, OrderStatus
from acme_ra.core.urls import Urls
from acme_ra.registration.accounts import Requester
from acme_ra.registration.deciding import Decider, identity_of, namespace_of
from acme_ra.registration.jwks import key_fingerprint
from acme_ra.registration.loading import as_of, authorization_as_of, load_order, stored
from acme_ra.registration.refusals import tell
from acme_ra.registration.signing import Signing
from acme_ra.storage.contract import Conflict as StoreConflict
from acme_ra.storage.contract import Store, Transaction
from acme_ra.validation.service import ValidationAuthority

log = structlog.get_logger(__name__)


class ProofEnded(Unauthorized):
    """What proved a name does not hold any more, so the order can never be finalized (RFC 8555 §7.1.6)."""


class Finalizer:
    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        decider: Decider,
        validation: ValidationAuthority,
        signing: Signing,
        urls: Urls,
    ) -> None:
        self._store = store
        self._clock = clock
        self._decider = decider
        self._validation = validation
        self._signing = signing
        self._urls = urls

    async def finalize(self, requester: Requester, unverified_id: str, csr: bytes) -> Order:
        """Turn a ready order into a certificate; the answer is the order, `valid` or `processing`.

        Raises OrderNotReady, BadCSR, the refusal of policy, CAAForbids, Unauthorized, or ServiceUnavailable when
        something could not be evaluated: then nothing was issued, and the same request may succeed later.
        """
        # 1. Load the order; a repeated finalize with the same key and names answers with the order.
        order = as_of(await load_order(self._store, requester, unverified_id), self._clock.now())
        if order.status in (OrderStatus.PROCESSING, OrderStatus.VALID):
            return _repeated(order, parse_csr(csr))
        if order.status != OrderStatus.READY:
            raise _not_ready(order, await self._awaited(order))
        try:
            # 2. CSR → facts.
            verified = await self._check_csr(requester, order, csr)
            # 3. Attribute and gather facts. Facts come first; rules are pure.
            workload = await self._attribute(requester, order, csr)
            proofs = await self._gather_proofs(requester, order, workload)
            await self._check_caa(requester, order, proofs)
            approved = await self._decider.approved(requester, order, workload)
        except ServiceUnavailable:
            raise
        except Problem as problem:
            await self._record_refusal(requester, order, problem)
            raise
        # 4. Decide: only policy/engine can make an Approval.
        request = IssuanceRequest(
            stage=Stage.FINALIZE,
            directory=requester.directory.name,
            account=requester.account.resource_id,
            credential="" if requester.credential is None else requester.credential.kid,
            identifiers=order.identifiers,
            workload=workload,
            profile=order.profile,
            not_before=order.not_before,
            not_after=order.not_after,
            replaces=order.replaces,
            key=verified.key.algorithm,
            key_fingerprint=verified.key.fingerprint,
            csr_digest=verified.digest,
            proofs=proofs,
            approved=approved,
        )
        decision = await self._decider.decide(requester, request, (workload,))
        if decision.outcome == Outcome.REFUSED:
            await self._refuse(requester, order, decision)
        approval = self._decider.policy.approve(
            decision, order_id=order.id, key=verified.key, serial=self._signing.new_serial()
        )
        # 5. Claim the order and record the intent, in one transaction.
        try:
            order = await self._claim(requester, order, verified, decision, approval)
        except StoreConflict:
            return _repeated(await load_order(self._store, requester, unverified_id), verified)
        # 6 to 9 are the same for a first try and for a resumed one.
        return await self._complete(order, approval)

    async def _awaited(self, order: Order) -> str:
        """Which people a pending order waits for, if its client was too impatient."""
        return await self._decider.approvals.awaited(order) if order.status == OrderStatus.PENDING else ""

    async def _check_csr(self, requester: Requester, order: Order, csr: bytes) -> VerifiedCSR:
        """Signature, grammar and key; names and nothing else equal to the order; not the account's own key."""
        verified = parse_csr(csr)
        check_names(order, verified)
        if verified.key.fingerprint == key_fingerprint(requester.account.jwk):
            raise BadCSR("the CSR's key is the account's key (RFC 8555 §11.1); make a key for the certificate")
        if await self._store.key_is_blocked(verified.key.fingerprint):
            raise BadCSR("the CSR's key was reported as compromised; make a new one")
        return verified

    async def _attribute(self, requester: Requester, order: Order, csr: bytes) -> Workload:
        """The workload that the order was attributed to, read again; it may not have become another one."""
        candidates = await self._decider.candidates(requester, order=order, csr=csr)
        if candidates is None:
            raise ServiceUnavailable("the workload behind this order cannot be told yet; try again", retry_after=2)
        wanted = identity_of(requester, order.workload)
        for workload in candidates:
            if identity_of(requester, workload) == wanted:
                return workload
        raise Unauthorized(
            f"this order was placed for namespace {namespace_of(order.workload) or '(none)'}, which its account "
            "may not speak for any more; place a new order"
        )

    async def _gather_proofs(self, requester: Requester, order: Order, workload: Workload) -> dict[str, str]:
        """What proves each name: authorizations that are valid now, of this account and this workload."""
        rows = tuple(int(resource_id.partition(".")[0]) for resource_id in order.authorizations)
        authorizations = {one.id: one for one in await self._store.authorizations(rows)}
        identity = identity_of(requester, workload)
        now = self._clock.now()
        proofs: dict[str, str] = {}
        for identifier, row in zip(order.identifiers, rows, strict=True):
            authorization = authorizations.get(row)
            if authorization is None or not _proves(authorization, identifier):
                raise ServerInternal(f"order {order.id} and its authorizations disagree")
            status = authorization_as_of(authorization, now).status
            if status != AuthorizationStatus.VALID or authorization.account_id != requester.account.id:
                raise ProofEnded(f"the authorization for {identifier} is {status}; place a new order")
            if authorization.scope.partition(":")[0] != identity:
                raise ProofEnded(f"the authorization for {identifier} belongs to another workload; place a new order")
            proofs[identifier.value] = authorization.proof
        return proofs

    async def _check_caa(self, requester: Requester, order: Order, proofs: dict[str, str]) -> None:
        settings = requester.directory.settings
        if settings.caa == "off":
            return
        await self._validation.check_caa(
            order.identifiers,
            mode=settings.caa,
            issuers=tuple(settings.caa_identities),
            account_url=self._urls.account(requester.directory.name, requester.account.resource_id),
            proofs=proofs,
        )

    async def _claim(
        self, requester: Requester, order: Order, verified: VerifiedCSR, decision: Decision, approval: Approval
    ) -> Order:
        now = self._clock.now()
        sealed = self._decider.policy.seal(approval)
        subject = requester.subject(
            order_id=order.id, namespace=namespace_of(decision.request.workload), serial=approval.certificate.serial
        )
        allowed = events.DecisionAllowed(decision=decision).record(now, subject)
        intended = _intent(approval.certificate).record(now, subject)

        def claim(tx: Transaction) -> None:
            tx.claim_order(
                order.id,
                csr_digest=verified.digest,
                key_fingerprint=verified.key.fingerprint,
                approval=sealed,
                now=now,
            )
            tx.append_event(allowed)
            tx.append_event(intended)

        await self._store.transact(claim)
        return msgspec.structs.replace(
            order,
            status=OrderStatus.PROCESSING,
            csr_digest=verified.digest,
            key_fingerprint=verified.key.fingerprint,
            approval=sealed,
        )

    async def _refuse(self, requester: Requester, order: Order, decision: Decision) -> NoReturn:
        """A refusal by policy is final: the order ends, and keeps the reason for whoever looks at it.

        Only where the CSR is at fault it stays ready, so that a better one can be sent (RFC 8555 §7.4).
        """
        assert decision.refusal is not None
        problem = decision.refusal.problem()
        now = self._clock.now()
        subject = requester.subject(order_id=order.id, namespace=namespace_of(decision.request.workload))
        record = events.DecisionRefused(decision=decision).record(now, subject)

        def refuse(tx: Transaction) -> None:
            if not isinstance(problem, BadCSR):
                tx.move_order(order.id, expected=OrderStatus.READY, to=OrderStatus.INVALID, error=stored(problem))
            tx.append_event(record)

        try:
            await self._store.transact(refuse)
        except StoreConflict as error:
            raise OrderNotReady("the order was finalized by another request at the same time") from error
        tell(self._decider.refusals, decision.request.workload, order.identifiers, problem)
        raise problem

    async def _record_refusal(self, requester: Requester, order: Order, problem: Problem) -> None:
        now = self._clock.now()
        subject = requester.subject(order_id=order.id, namespace=namespace_of(order.workload))
        record = events.FinalizeRefused(error=stored(problem)).record(now, subject)

        def refuse(tx: Transaction) -> None:
            current = tx.order(order.id)
            if isinstance(problem, ProofEnded) and current is not None and current.status == OrderStatus.READY:
                tx.move_order(order.id, expected=OrderStatus.READY, to=OrderStatus.INVALID, error=stored(problem))
            tx.append_event(record)

        await self._store.transact(refuse)
        tell(self._decider.refusals, order.workload, order.identifiers, problem)

    async def _complete(self, order: Order, approval: Approval) -> Order:
        try:
            return await self._signing.complete(order, approval)
        except Problem as problem:
            tell(self._decider.refusals, order.workload, order.identifiers, problem)
            raise


def check_names(order: Order, verified: VerifiedCSR) -> None:
    """The CSR asks for the order's names, all of them and no other (RFC 8555 §7.4). Raises BadCSR."""
    ordered = frozenset(order.identifiers)
    if verified.identifiers == ordered:
        return
    missing = ", ".join(sorted(one.value for one in ordered - verified.identifiers))
    extra = ", ".join(sorted(one.value for one in verified.identifiers - ordered))
    parts = [f"it lacks {missing}" if missing else "", f"it also asks for {extra}" if extra else ""]
    told = tuple(
        one.subproblem(
            "badCSR", "in the order but not in the CSR" if one in ordered else "in the CSR but not in the order"
        )
        for one in sorted(ordered ^ verified.identifiers)
    )
    raise BadCSR(
        f"the CSR's names are not the order's: {' and '.join(part for part in parts if part)}"[:900], subproblems=told
    )


def _proves(authorization: Authorization, identifier: Identifier) -> bool:
    """Whether the authorization is for this identifier at all (a shield against our own mistakes)."""
    if authorization.identifier.type != identifier.type:
        return False
    value = authorization.identifier.value
    if value == identifier.base:
        return authorization.wildcard or not identifier.wildcard or authorization.subdomains
    return identifier.type == IdentifierType.DNS and authorization.subdomains and identifier.base.endswith("." + value)


def _repeated(order: Order, verified: VerifiedCSR) -> Order:
    """The same CSR again, or the loser of a race: 200 and the order. Another key: the order is taken."""
    same = frozenset(order.identifiers) == verified.identifiers and order.key_fingerprint == verified.key.fingerprint
    if order.status in (OrderStatus.PROCESSING, OrderStatus.VALID) and same:
        return order
    raise _not_ready(order)


def _not_ready(order: Order, awaited: str = "") -> OrderNotReady:
    told = {
        OrderStatus.PENDING: f"the order is pending; {awaited or 'fulfil its authorizations first'}",
        OrderStatus.PROCESSING: "the order is processing with another CSR",
        OrderStatus.VALID: "the order has its certificate; place a new order for another CSR",
        OrderStatus.INVALID: "the order is invalid; place a new one",
        OrderStatus.READY: "the order changed at the same time; try again",
    }
    detail = told[order.status]
    if order.status == OrderStatus.INVALID and order.error is not None:
        detail = f"{detail}. It ended with: {order.error.detail}"
    return OrderNotReady(detail[:1100])


def _intent(approved: ApprovedCertificate) -> events.CertificateIntended:
    return events.CertificateIntended(
        decision=approved.decision,
        authority=approved.authority,
        profile=approved.profile,
        key_fingerprint=approved.key_fingerprint,
        not_before=approved.not_before,
        not_after=approved.not_after,
    )
