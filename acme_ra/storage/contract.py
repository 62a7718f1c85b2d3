"""The Store contract: consistent reads, and transactions that one group-committing writer runs.

A transaction is a short synchronous function over a Transaction. It runs on the event loop together with others of
its moment, and raising rolls back that one alone. `transact` returns after the commit is durable, so a reply that
awaits it never tells of something a crash could take back.
"""

from collections.abc import AsyncIterator, Callable
from typing import Protocol, TypeVar

import msgspec

from acme_ra.core.clock import Instant
from acme_ra.core.events import EventRecord, StoredEvent
from acme_ra.core.identifiers import Identifier
from acme_ra.core.objects import (
    Account,
    Authorization,
    Certificate,
    Credential,
    Order,
    OrderApproval,
    StoredError,
)
from acme_ra.core.problems import ServiceUnavailable
from acme_ra.core.status import AccountStatus, AuthorizationStatus, OrderStatus

T = TypeVar("T")


class Conflict(Exception):
    """A compare-and-set found the row changed, or a unique value taken. The transaction is rolled back."""


class StoreUnavailable(ServiceUnavailable):
    """The store could not commit or read (disk full, I/O error, lock timeout). Nothing was changed; answered with 503.

    `reason` is for the log and never told to a client.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("storage is not available just now; nothing was changed, try again")
        self.reason = reason


class ResourceRow(msgspec.Struct, frozen=True):
    id: int
    secret: str


class Page(msgspec.Struct, frozen=True):
    """Row ids of one page, ascending; `next_after` is the key to go on with, or None at the end."""

    rows: tuple[ResourceRow, ...]
    next_after: int | None


class EventFilter(msgspec.Struct, frozen=True):
    """Every field narrows; None means any. `name` matches events of orders that ask for exactly that name."""

    since: Instant | None = None
    until: Instant | None = None
    kind: str | None = None
    outcome: str | None = None
    namespace: str | None = None
    name: str | None = None
    serial: str | None = None
    order_id: int | None = None
    account_id: int | None = None
    after_seq: int = 0


class Reader(Protocol):
    """Point reads see every committed transaction, of any process. `None` when there is no such row."""

    async def account(self, row: int) -> tuple[Account, Credential | None] | None:
        """The account with its credential: one indexed look-up, made on every request."""

    async def account_by_key(self, directory: str, thumbprint: str) -> Account | None: ...
    async def credential(self, kid: str) -> Credential | None: ...
    async def order(self, row: int) -> Order | None: ...
    async def orders_of(self, account_id: int, *, after: int, limit: int) -> Page:
        """Orders of an account that are not invalid, ascending (RFC 8555 §7.1.2.1)."""

    async def approvals(self, order_id: int) -> tuple[OrderApproval, ...]:
        """The approvals of people that an order needs, by policy; none for most orders."""

    async def overdue_approvals(self, now: Instant, limit: int) -> tuple[OrderApproval, ...]:
        """Those that nobody decided in time, the oldest first."""

    async def authorization(self, row: int) -> Authorization | None: ...
    async def authorizations(self, rows: tuple[int, ...]) -> tuple[Authorization, ...]: ...
    async def reusable_authorizations(
        self, account_id: int, scope: str, names: tuple[str, ...], *, now: Instant
    ) -> tuple[Authorization, ...]:
        """Valid, unexpired, made by newAuthz, of that account and scope, whose identifier value is in `names`."""

    async def due_authorizations(self, now: Instant, limit: int) -> tuple[Authorization, ...]: ...
    async def certificate(self, row: int) -> Certificate | None: ...
    async def certificate_by_serial(self, serial: str) -> Certificate | None: ...
    async def certificate_by_ari_id(self, ari_id: str) -> Certificate | None: ...
    async def chain(self, chain_id: str) -> tuple[bytes, ...]:
        """PEM of the chains above a leaf, default first, each without the leaf. Empty when unknown."""

    async def processing_orders(self, claimed_before: Instant, limit: int) -> tuple[Order, ...]: ...
    async def key_is_blocked(self, fingerprint: str) -> bool: ...
    async def covers(self, account_id: int, names: tuple[str, ...], *, now: Instant) -> bool:
        """Whether the account holds valid, unexpired authorizations for every name (RFC 8555 §7.6).

        A name with `*.` needs a wildcard authorization for its base name. One for subdomains of an ancestor, proved by
        dns-01, serves for every name below it (RFC 9444), as it does when they are ordered.
        """

    async def revoked(self, authority: str, *, not_after_since: Instant) -> tuple[tuple[str, Instant, int], ...]:
        """(serial, revoked_at, reason) of revoked certificates whose notAfter is at or past `not_after_since`."""


class Transaction(Protocol):
    """What a transaction may do. Synchronous; every method raises Conflict when its condition does not hold."""

    def insert_account(
        self,
        *,
        secret: str,
        directory: str,
        thumbprint: str,
        jwk: bytes,
        contacts: tuple[str, ...],
        credential_id: int | None,
        eab: bytes | None,
        now: Instant,
    ) -> Account:
        """Conflict when the key has an account in this directory."""

    def use_credential(self, credential_id: int, *, now: Instant) -> None:
        """Count one use. Conflict when disabled, expired or used up."""

    def update_contacts(self, account_id: int, contacts: tuple[str, ...]) -> None: ...
    def move_account(self, account_id: int, *, expected: AccountStatus, to: AccountStatus) -> None: ...
    def change_key(self, account_id: int, *, expected: str, thumbprint: str, jwk: bytes) -> None:
        """Replace the key if it is still the one with thumbprint `expected`. Conflict also when the key is taken."""

    def insert_order(
        self,
        *,
        secret: str,
        directory: str,
        account_id: int,
        status: OrderStatus,
        identifiers: tuple[Identifier, ...],
        not_before: Instant | None,
        not_after: Instant | None,
        profile: str,
        replaces: str,
        workload: bytes | None,
        now: Instant,
        expires_at: Instant,
    ) -> int:
        """Returns the row id. The authorizations are set by `set_authorizations` in the same transaction."""

    def pending_orders(self, account_id: int, *, limit: int) -> int:
        """How many orders of the account are pending, ready or processing; counts no further than `limit`."""

    def orders_to_cancel(self, account_id: int, *, limit: int) -> tuple[Order, ...]:
        """Orders of the account that are pending or ready, at most `limit`."""

    def set_authorizations(self, order_id: int, resource_ids: tuple[str, ...], status: OrderStatus) -> None: ...
    def set_workload(self, order_id: int, workload: bytes) -> None:
        """Record the attribution. Conflict when the order already has a different workload."""

    def insert_authorization(
        self,
        *,
        secret: str,
        account_id: int,
        order_id: int | None,
        identifier: Identifier,
        wildcard: bool,
        subdomains: bool,
        scope: str,
        status: AuthorizationStatus,
        token: str,
        challenges: bytes,
        now: Instant,
        expires_at: Instant,
    ) -> int: ...
    def own_authorizations(self, account_id: int, *, limit: int) -> int:
        """How many that newAuthz made for the account are pending or valid; counts no further than `limit`."""

    def replace_authorization(self, changed: Authorization) -> None:
        """Write status, challenges, scope, expiry and due_at if the version is `changed.version`, which is raised."""

    def authorization(self, row: int) -> Authorization | None: ...
    def order(self, row: int) -> Order | None: ...
    def move_order(
        self, order_id: int, *, expected: OrderStatus, to: OrderStatus, error: StoredError | None = None
    ) -> None:
        """Compare-and-set on the status; only moves of core/status.ORDER_MOVES.

        Conflict also for an order that would become ready without an approval that it needs. One that becomes invalid
        waits for nobody any more.
        """

    def insert_approval(self, order_id: int, *, policy: str, group: str) -> None:
        """The order will need this one; nobody is asked yet."""

    def await_approvals(self, order_id: int, *, now: Instant, expires_at: Instant) -> None:
        """What was planned waits from now on."""

    def approvals(self, order_id: int) -> tuple[OrderApproval, ...]: ...
    def decide_approval(self, decided: OrderApproval) -> None:
        """Write status, decision and seal. Conflict unless it is waiting."""

    def tell_approvals(self, order_id: int, *, now: Instant) -> None:
        """Remember when the client was first told of a refusal."""

    def claim_order(
        self, order_id: int, *, csr_digest: str, key_fingerprint: str, approval: bytes, now: Instant
    ) -> None:
        """ready → processing with the sealed approval, if the order is ready. Conflict for the loser of a race."""

    def complete_order(self, order_id: int, certificate: str) -> None:
        """processing → valid; forgets the approval."""

    def insert_certificate(
        self,
        *,
        secret: str,
        order_id: int,
        account_id: int,
        authority: str,
        serial: str,
        ari_id: str,
        key_fingerprint: str,
        leaf: bytes,
        chain_id: str,
        not_before: Instant,
        not_after: Instant,
        now: Instant,
    ) -> int:
        """Conflict when the order has a certificate, or the serial is taken."""

    def insert_chain(self, chain_id: str, pems: tuple[bytes, ...]) -> None:
        """Does nothing when the chain is known."""

    def mark_replaced(self, certificate_id: int, order_id: int) -> None:
        """Conflict when the certificate was replaced by another order."""

    def revoke_certificate(self, certificate_id: int, *, reason: int, now: Instant) -> None:
        """Conflict when already revoked."""

    def block_key(self, fingerprint: str, *, now: Instant) -> None: ...
    def insert_credential(
        self,
        *,
        kid: str,
        name: str,
        binding: bytes,
        sealed_secret: bytes,
        now: Instant,
        expires_at: Instant | None,
        max_uses: int | None,
    ) -> int: ...
    def disable_credential(self, kid: str, *, now: Instant) -> None: ...
    def rotate_credential(self, kid: str, *, sealed_secret: bytes, now: Instant) -> None:
        """Replaces the secret and raises the generation."""

    def append_event(self, record: EventRecord) -> int:
        """Append to the audit log; returns its seq, one more than the last."""


class Store(Reader, Protocol):
    """Everything that the registration authority needs from storage."""

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run `work`, wait for the durable commit, return its result.

        `work` may be run twice when a neighbour of its batch fails, so it has no effect but through its Transaction.
        Raises what `work` raised (rolled back, neighbours unharmed), or StoreUnavailable.
        """
        ...

    def events(self, wanted: EventFilter, *, batch: int = 500) -> AsyncIterator[StoredEvent]:
        """Stream events in order of seq, in constant memory."""
        ...

    async def housekeep(self, now: Instant, *, batch: int = 500) -> int:
        """Expire pending orders and authorizations, remove what is past its use; returns rows touched, 0 when done."""
        ...

    async def close(self) -> None: ...
