"""Going on with what a process left behind: validations and signatures that were promised, and housekeeping."""

import asyncio
from collections.abc import Mapping

import structlog

from acme_ra.core.clock import Clock
from acme_ra.core.objects import Authorization, Order
from acme_ra.core.problems import Problem
from acme_ra.core.status import AuthorizationStatus, ChallengeStatus
from acme_ra.policy.engine import PolicyEngine
from acme_ra.policy.errors import ForgedApproval
from acme_ra.registration.approvals import expire_overdue
from acme_ra.registration.directories import Directory
from acme_ra.registration.loading import authorization_as_of
from acme_ra.registration.settings import OrderSettings
from acme_ra.registration.signing import Signing
from acme_ra.registration.validations import TAKE_OVER, Validations
from acme_ra.storage.contract import Store

log = structlog.get_logger(__name__)

BATCH = 100
MOST_STEPS = 100  # of housekeeping in a round


class Worker:
    """One per server. `run` is owned by the composition root, which cancels and awaits it."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        policy: PolicyEngine,
        signing: Signing,
        validations: Validations,
        directories: Mapping[str, Directory],
        settings: OrderSettings,
    ) -> None:
        self._store = store
        self._clock = clock
        self._policy = policy
        self._signing = signing
        self._validations = validations
        self._directories = directories
        self._settings = settings

    async def run(self, *, interval: float = 5.0) -> None:
        """Until cancelled: a round every `interval` seconds; a failing one is logged, and the next tries again."""
        starting = True
        while True:
            try:
                await self.round(starting=starting)
                starting = False
            except Problem as problem:
                log.warning("worker.postponed", reason=problem.detail)
            except Exception:
                log.exception("worker.round_failed")
            await asyncio.sleep(interval)

    async def round(self, *, starting: bool = False) -> None:
        """Resume what is overdue, then tidy up in small steps.

        `starting`: what was promised before this start is overdue at once, because who promised it is gone. Where a
        sibling is at it all the same, both sign the same bytes or record the same result, and the first one counts.
        """
        now = self._clock.now()
        patience = 0 if starting else self._settings.finalize_timeout
        for order in await self._store.processing_orders(now - patience, BATCH):
            try:
                await self._resume_order(order)
            except Exception:
                # One that cannot be finished must keep neither the others nor housekeeping waiting.
                log.exception("worker.order_failed", order=order.id)
        horizon = TAKE_OVER + self._settings.validation_backoff_limit if starting else 0
        for authorization in await self._store.due_authorizations(now + horizon, BATCH):
            await self._resume_validation(authorization)
        await expire_overdue(self._store, now, BATCH)
        for _ in range(MOST_STEPS):
            if not await self._store.housekeep(self._clock.now()):
                break

    async def _resume_order(self, order: Order) -> None:
        """Sign again what was intended: the approval holds the serial, so that a repeat makes the same certificate."""
        if order.approval is None:
            log.error("worker.order_without_approval", order=order.id)
            return
        try:
            approval = self._policy.reinstate(order.approval)
        except ForgedApproval:
            log.error("worker.forged_approval", order=order.id)
            return
        if approval.certificate.order_id != order.id:
            log.error("worker.approval_of_another_order", order=order.id)
            return
        try:
            finished = await self._signing.complete(order, approval)
        except Problem as problem:
            log.warning("worker.order_refused", order=order.id, reason=problem.detail)
            return
        log.info("worker.order_resumed", order=order.id, status=finished.status)

    async def _resume_validation(self, authorization: Authorization) -> None:
        found = await self._store.account(authorization.account_id)
        if found is None:
            log.error("worker.authorization_without_account", authorization=authorization.id)
            return
        account, _ = found
        if authorization_as_of(authorization, self._clock.now()).status != AuthorizationStatus.PENDING:
            return  # expired; housekeeping writes that down
        directory = self._directories.get(account.directory)
        if directory is None:
            log.warning("worker.directory_gone", directory=account.directory, authorization=authorization.id)
            return
        for challenge in authorization.challenges:
            if challenge.status == ChallengeStatus.PROCESSING:
                log.info("worker.validation_resumed", authorization=authorization.id, challenge=challenge.type)
                self._validations.start(directory, account, authorization, challenge.type)
