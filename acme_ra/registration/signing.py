"""Steps 6 to 9 of finalization: lint, sign, check, store. A first try and a resumed one take the same way."""

import hashlib

import msgspec
import structlog

from acme_ra.audit import events
from acme_ra.audit.events import Subject
from acme_ra.core.approval import Approval, ApprovedCertificate
from acme_ra.core.clock import Clock
from acme_ra.core.encoding import random_secret
from acme_ra.core.objects import Order, StoredError
from acme_ra.core.problems import Problem, ServerInternal
from acme_ra.core.status import OrderStatus
from acme_ra.issuance.contract import AuthorityRefused, AuthorityUnavailable, IssuedChain, IssuedMismatch
from acme_ra.issuance.lint import LinterUnavailable, LintRefused
from acme_ra.issuance.service import CertificateAuthority
from acme_ra.registration.deciding import namespace_of
from acme_ra.registration.loading import stored
from acme_ra.storage.contract import Conflict as StoreConflict
from acme_ra.storage.contract import Store, Transaction

log = structlog.get_logger(__name__)

UNSPECIFIED = 0  # revocation reason (RFC 5280 §5.3.1)


class Signing:
    """The only caller of an authority's signature."""

    def __init__(self, *, store: Store, clock: Clock, issuance: CertificateAuthority) -> None:
        self._store = store
        self._clock = clock
        self._issuance = issuance
        self._known_chains: set[str] = set()

    def new_serial(self) -> str:
        return self._issuance.new_serial()

    async def complete(self, order: Order, approval: Approval) -> Order:
        """Take a claimed order to its end. Returns it `valid`, or still `processing` when the authority is away.

        Raises the refusal of lint or of the authority; the order is then invalid.
        """
        approved = approval.certificate
        try:
            # 6. Lint before signing.
            await self._issuance.lint(approval)
            # 7. The authority signs the Approval, which is all that it gets.  8. Issued certificate == Approval.
            chain = await self._issuance.sign(approval)
        except (AuthorityUnavailable, LinterUnavailable) as error:
            # Nothing was signed; the order stays `processing`, and the worker tries again.
            log.warning("signing.postponed", order=order.id, authority=approved.authority, reason=error.detail)
            return order
        except (LintRefused, AuthorityRefused) as problem:
            return await self._refuse(order, approved, problem)
        except IssuedMismatch as mismatch:
            return await self._withhold(order, approved, mismatch)
        # 9. Store certificate and outcome in one transaction.
        return await self._store_certificate(order, approved, chain)

    async def _store_certificate(self, order: Order, approved: ApprovedCertificate, chain: IssuedChain) -> Order:
        now = self._clock.now()
        secret = random_secret()
        ari_id = self._issuance.ari_id(approved)
        fingerprint = hashlib.sha256(chain.leaf).hexdigest()
        subject = _subject(order, approved)
        chain_known = chain.chain_id in self._known_chains

        def complete(tx: Transaction) -> str:
            if not chain_known:
                tx.insert_chain(chain.chain_id, chain.chains)
            row = _insert(tx, order, approved, chain, secret=secret, ari_id=ari_id, now=now)
            tx.complete_order(order.id, f"{row}.{secret}")
            event = events.CertificateIssued(
                decision=approved.decision,
                certificate=row,
                authority=approved.authority,
                profile=approved.profile,
                fingerprint=fingerprint,
                not_before=approved.not_before,
                not_after=approved.not_after,
            )
            tx.append_event(event.record(now, subject))
            return f"{row}.{secret}"

        try:
            certificate = await self._store.transact(complete)
        except StoreConflict:
            # A resumed order and its slow first try met here; both signed the same bytes, one was stored.
            return await self._reload(order)
        self._known_chains.add(chain.chain_id)
        return msgspec.structs.replace(order, status=OrderStatus.VALID, certificate=certificate, approval=None)

    async def _refuse(self, order: Order, approved: ApprovedCertificate, problem: Problem) -> Order:
        now = self._clock.now()
        error = stored(problem)
        record = events.CertificateRefused(decision=approved.decision, error=error).record(
            now, _subject(order, approved)
        )

        def refuse(tx: Transaction) -> None:
            tx.move_order(order.id, expected=OrderStatus.PROCESSING, to=OrderStatus.INVALID, error=error)
            tx.append_event(record)

        try:
            await self._store.transact(refuse)
        except StoreConflict:
            return await self._reload(order)
        raise problem

    async def _withhold(self, order: Order, approved: ApprovedCertificate, mismatch: IssuedMismatch) -> Order:
        """Keep what was signed, revoked and never handed out: the CA made it, so it must be known."""
        now = self._clock.now()
        chain = mismatch.chain
        error = StoredError("serverInternal", "the authority returned a certificate that differs from the approval")
        secret = random_secret()
        event = events.CertificateWithheld(
            decision=approved.decision,
            authority=approved.authority,
            fingerprint=hashlib.sha256(chain.leaf).hexdigest(),
            differences=tuple(mismatch.differences),
        )
        record = event.record(now, _subject(order, approved))

        def withhold(tx: Transaction) -> None:
            row = _insert(tx, order, approved, chain, secret=secret, ari_id="", now=now)
            tx.revoke_certificate(row, reason=UNSPECIFIED, now=now)
            tx.move_order(order.id, expected=OrderStatus.PROCESSING, to=OrderStatus.INVALID, error=error)
            tx.append_event(record)

        log.error("signing.withheld", order=order.id, authority=approved.authority, differences=mismatch.differences)
        await self._store.transact(withhold)
        raise ServerInternal(error.detail)

    async def _reload(self, order: Order) -> Order:
        current = await self._store.order(order.id)
        if current is None:
            raise ServerInternal(f"order {order.id} is gone")
        return current


def _insert(
    tx: Transaction,
    order: Order,
    approved: ApprovedCertificate,
    chain: IssuedChain,
    *,
    secret: str,
    ari_id: str,
    now: int,
) -> int:
    return tx.insert_certificate(
        secret=secret,
        order_id=order.id,
        account_id=order.account_id,
        authority=approved.authority,
        serial=approved.serial,
        ari_id=ari_id,
        key_fingerprint=approved.key_fingerprint,
        leaf=chain.leaf,
        chain_id=chain.chain_id,
        not_before=approved.not_before,
        not_after=approved.not_after,
        now=now,
    )


def _subject(order: Order, approved: ApprovedCertificate) -> Subject:
    return Subject(
        directory=order.directory,
        account_id=order.account_id,
        order_id=order.id,
        namespace=namespace_of(order.workload),
        serial=approved.serial,
    )
