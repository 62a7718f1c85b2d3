"""Carrying out challenges: attempts, retries, and what they lead to (RFC 8555 §7.5.1, §8.2)."""

import asyncio
import contextlib
from weakref import WeakValueDictionary

import msgspec
import structlog

from acme_ra.audit import events
from acme_ra.audit.events import Subject
from acme_ra.core.clock import MINUTE, SECOND, Clock, Instant
from acme_ra.core.objects import Account, Authorization, Challenge, Order, StoredError
from acme_ra.core.problems import Problem
from acme_ra.core.status import AuthorizationStatus, ChallengeStatus, OrderStatus
from acme_ra.registration.approvals import make_ready
from acme_ra.registration.directories import Directory
from acme_ra.registration.loading import authorization_as_of, stored
from acme_ra.registration.settings import OrderSettings
from acme_ra.storage.contract import Conflict as StoreConflict
from acme_ra.storage.contract import Store, Transaction
from acme_ra.validation.contract import ValidationTarget
from acme_ra.validation.service import ValidationAuthority

log = structlog.get_logger(__name__)

#: After this long without news of an attempt, whoever made it is taken for dead and the worker goes on.
TAKE_OVER = 1 * MINUTE
#: A client may have the next attempt made at once, but no more often than this (RFC 8555 §8.2).
SHORTEST_PAUSE = 1 * SECOND


class Validations:
    """Owns the tasks of validations under way in this process."""

    def __init__(self, *, store: Store, clock: Clock, validation: ValidationAuthority, settings: OrderSettings) -> None:
        self._store = store
        self._clock = clock
        self._validation = validation
        self._settings = settings
        self._tasks: dict[tuple[int, str], asyncio.Task[Authorization]] = {}
        self._asked_again: dict[tuple[int, str], asyncio.Event] = {}
        self._shares: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()

    async def respond(
        self, directory: Directory, account: Account, authorization: Authorization, challenge: Challenge
    ) -> Authorization:
        """Start to validate, and wait a moment: a quick success is answered, and committed, at once.

        A repeated response asks for the next attempt now rather than when it is due (RFC 8555 §8.2).
        """
        again = self._asked_again.get((authorization.id, challenge.type))
        if again is not None:
            again.set()
        task = self.start(directory, account, authorization, challenge.type)
        await asyncio.wait({task}, timeout=self._settings.inline_validation / SECOND)
        if task.done():
            return task.result()
        now = self._clock.now()
        return await self._store.transact(lambda tx: _mark_processing(tx, authorization.id, challenge.type, now))

    def start(
        self, directory: Directory, account: Account, authorization: Authorization, challenge_type: str
    ) -> asyncio.Task[Authorization]:
        """The task that carries this challenge to its end; one per challenge, whoever asks."""
        key = (authorization.id, challenge_type)
        task = self._tasks.get(key)
        if task is None:
            target = ValidationTarget(
                identifier=authorization.identifier,
                token=authorization.token,
                key_authorization=f"{authorization.token}.{account.thumbprint}",
                networks=directory.allowed_networks,
            )
            task = asyncio.ensure_future(self._carry_out(key, target, self._share_of(account.id)))
            self._tasks[key] = task
            self._asked_again[key] = asyncio.Event()
            task.add_done_callback(lambda done: self._finished(key, done))
        return task

    async def close(self) -> None:
        """Stop what is under way. What was promised to a client is stored, and a worker goes on with it."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finished(self, key: tuple[int, str], task: asyncio.Task[Authorization]) -> None:
        self._tasks.pop(key, None)
        self._asked_again.pop(key, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("validation.failed_to_record", authorization=key[0], exc_info=task.exception())

    def _share_of(self, account_id: int) -> asyncio.Semaphore:
        """Alive as long as a task of the account holds it: no account can take every slot of validation."""
        share = self._shares.get(account_id)
        if share is None:
            share = self._shares[account_id] = asyncio.Semaphore(self._settings.validations_per_account)
        return share

    async def _carry_out(
        self, key: tuple[int, str], target: ValidationTarget, share: asyncio.Semaphore
    ) -> Authorization:
        authorization_id, challenge_type = key
        while True:
            async with share:
                error = await self._attempt(challenge_type, target)
            now = self._clock.now()
            authorization = await self._record(authorization_id, challenge_type, error, now)
            challenge = find_challenge(authorization, challenge_type)
            if authorization.status != AuthorizationStatus.PENDING or challenge.status != ChallengeStatus.PROCESSING:
                return authorization  # decided, or nobody waits for it any more
            await self._pause(self._asked_again[key], self._backoff(challenge.attempts))

    async def _pause(self, asked_again: asyncio.Event, backoff: int) -> None:
        """Until the next attempt is due, or the client asks for it. The attempts that it may have stay as few."""
        shortest = min(backoff, SHORTEST_PAUSE)
        await asyncio.sleep(shortest / SECOND)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout((backoff - shortest) / SECOND):
                await asked_again.wait()
        asked_again.clear()

    async def _attempt(self, challenge_type: str, target: ValidationTarget) -> StoredError | None:
        try:
            await self._validation.validate(challenge_type, target)
        except Problem as problem:
            log.info(
                "validation.attempt_failed",
                identifier=target.identifier.value,
                challenge=challenge_type,
                token=problem.token,
                detail=problem.detail.replace(target.key_authorization, "(key authorization)"),
            )
            return stored(problem)
        return None

    async def _record(
        self, authorization_id: int, challenge_type: str, error: StoredError | None, now: Instant
    ) -> Authorization:
        if error is None:
            settings = self._settings
            return await self._store.transact(lambda tx: _succeed(tx, authorization_id, challenge_type, now, settings))

        def fail(tx: Transaction) -> Authorization:
            authorization = _load(tx, authorization_id, now)
            challenge = find_challenge(authorization, challenge_type)
            if challenge.attempts + 1 < self._settings.validation_attempts:
                due_at = now + self._backoff(challenge.attempts + 1) + TAKE_OVER
                return _fail_for_now(tx, authorization, challenge, error, due_at)
            return _fail_for_good(tx, authorization, challenge, error, now)

        return await self._store.transact(fail)

    def _backoff(self, attempts: int) -> int:
        doubled = self._settings.validation_backoff << max(attempts - 1, 0)
        return min(doubled, self._settings.validation_backoff_limit)


def find_challenge(authorization: Authorization, challenge_type: str) -> Challenge:
    """The authorization's challenge of a type. Raises KeyError; callers have checked what clients send."""
    for challenge in authorization.challenges:
        if challenge.type == challenge_type:
            return challenge
    raise KeyError(challenge_type)


def _load(tx: Transaction, authorization_id: int, now: Instant) -> Authorization:
    """As it stands: an expired one is not pending any more, and nothing is recorded for it."""
    authorization = tx.authorization(authorization_id)
    if authorization is None:
        raise StoreConflict("the authorization is gone")
    return authorization_as_of(authorization, now)


def _with_challenge(authorization: Authorization, changed: Challenge, **more: object) -> Authorization:
    challenges = tuple(changed if one.type == changed.type else one for one in authorization.challenges)
    return msgspec.structs.replace(authorization, challenges=challenges, **more)


def _write(tx: Transaction, changed: Authorization) -> Authorization:
    tx.replace_authorization(changed)
    return msgspec.structs.replace(changed, version=changed.version + 1)


def _mark_processing(tx: Transaction, authorization_id: int, challenge_type: str, now: Instant) -> Authorization:
    """Promise the client that the validation is under way; whoever survives a crash keeps the promise."""
    authorization = _load(tx, authorization_id, now)
    challenge = find_challenge(authorization, challenge_type)
    if authorization.status != AuthorizationStatus.PENDING or challenge.status != ChallengeStatus.PENDING:
        return authorization
    processing = msgspec.structs.replace(challenge, status=ChallengeStatus.PROCESSING)
    return _write(tx, _with_challenge(authorization, processing, due_at=now + TAKE_OVER))


def _succeed(
    tx: Transaction, authorization_id: int, challenge_type: str, now: Instant, settings: OrderSettings
) -> Authorization:
    authorization = _load(tx, authorization_id, now)
    if authorization.status != AuthorizationStatus.PENDING:
        return authorization
    challenge = find_challenge(authorization, challenge_type)
    proved = msgspec.structs.replace(
        challenge, status=ChallengeStatus.VALID, validated_at=now, attempts=challenge.attempts + 1, error=None
    )
    changed = _write(
        tx,
        _with_challenge(
            authorization,
            proved,
            status=AuthorizationStatus.VALID,
            expires_at=now + settings.authorization_lifetime,
            due_at=None,
        ),
    )
    event = events.AuthorizationValid(
        authorization=changed.id,
        identifier=changed.identifier,
        challenge=challenge_type,
        attempts=proved.attempts,
    )
    order = _order_of(tx, changed)
    subject = _subject(changed, order)
    tx.append_event(event.record(now, subject))
    if order is not None and order.status == OrderStatus.PENDING and _all_valid(tx, changed, order):
        make_ready(tx, order, subject, now, timeout=settings.approval_timeout)
    return changed


def _fail_for_now(
    tx: Transaction, authorization: Authorization, challenge: Challenge, error: StoredError, due_at: Instant
) -> Authorization:
    """Told in the challenge's `error` while it stays `processing` (RFC 8555 §8.2)."""
    if authorization.status != AuthorizationStatus.PENDING:
        return authorization
    failed = msgspec.structs.replace(
        challenge, status=ChallengeStatus.PROCESSING, attempts=challenge.attempts + 1, error=error
    )
    return _write(tx, _with_challenge(authorization, failed, due_at=due_at))


def _fail_for_good(
    tx: Transaction, authorization: Authorization, challenge: Challenge, error: StoredError, now: Instant
) -> Authorization:
    """The order ends too: cert-manager would otherwise hang on a pending order for ten hours."""
    if authorization.status != AuthorizationStatus.PENDING:
        return authorization
    failed = msgspec.structs.replace(
        challenge, status=ChallengeStatus.INVALID, attempts=challenge.attempts + 1, error=error
    )
    changed = _write(tx, _with_challenge(authorization, failed, status=AuthorizationStatus.INVALID, due_at=None))
    order = _order_of(tx, changed)
    subject = _subject(changed, order)
    event = events.AuthorizationInvalid(
        authorization=changed.id,
        identifier=changed.identifier,
        challenge=challenge.type,
        attempts=failed.attempts,
        error=error,
    )
    tx.append_event(event.record(now, subject))
    if order is not None and order.status == OrderStatus.PENDING:
        told = StoredError(
            error.token,
            f"{challenge.type} for {changed.identifier} failed: {error.detail}",
            ((error.token, error.detail, changed.identifier.type.value, changed.identifier.value),),
        )
        tx.move_order(order.id, expected=OrderStatus.PENDING, to=OrderStatus.INVALID, error=told)
        tx.append_event(events.OrderInvalid(error=told).record(now, subject))
    return changed


def _order_of(tx: Transaction, authorization: Authorization) -> Order | None:
    return None if authorization.order_id is None else tx.order(authorization.order_id)


def _all_valid(tx: Transaction, changed: Authorization, order: Order) -> bool:
    for resource_id in order.authorizations:
        row = int(resource_id.partition(".")[0])
        other = changed if row == changed.id else tx.authorization(row)
        if other is None or other.status != AuthorizationStatus.VALID:
            return False
    return True


def _subject(authorization: Authorization, order: Order | None) -> Subject:
    if order is None:
        return Subject(account_id=authorization.account_id, names=(authorization.identifier.value,))
    namespace = "" if order.workload is None else order.workload.namespace
    return Subject(directory=order.directory, account_id=order.account_id, order_id=order.id, namespace=namespace)
