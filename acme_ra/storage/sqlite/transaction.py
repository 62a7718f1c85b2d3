"""What one transaction may do, on SQLite: the Transaction contract, statement by statement.

The writer holds the file's only write transaction while this runs, so "look, then insert" cannot be raced.
"""

import sqlite3
from collections.abc import Callable
from typing import Any

from acme_ra.core.clock import Instant
from acme_ra.core.events import EventRecord
from acme_ra.core.identifiers import Identifier
from acme_ra.core.objects import Account, Authorization, Order, OrderApproval, StoredError
from acme_ra.core.status import ORDER_MOVES, AccountStatus, AuthorizationStatus, OrderStatus
from acme_ra.storage import codecs
from acme_ra.storage.contract import Conflict
from acme_ra.storage.sqlite import statements as sql
from acme_ra.storage.sqlite.entries import IndexEntries

Execute = Callable[..., sqlite3.Cursor]


class SQLiteTransaction:
    """Usable only while its job runs: `end` makes a leaked reference harmless."""

    __slots__ = ("_entries", "_execute", "_keep_invalid")

    def __init__(self, execute: Execute, entries: IndexEntries, keep_invalid: int) -> None:
        self._execute = execute
        self._entries = entries
        self._keep_invalid = keep_invalid

    def end(self) -> None:
        self._execute = _ended

    def execute(self, statement: str, values: tuple[Any, ...]) -> sqlite3.Cursor:
        """For this package's own housekeeping; the Transaction contract does not have it."""
        return self._execute(statement, values)

    # Accounts and credentials.

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
        key_hash = self._check_key_is_free(directory, thumbprint)
        contact_list = codecs.to_json(contacts)
        row = self._insert(
            sql.INSERT_ACCOUNT,
            (secret, directory, thumbprint, key_hash, jwk, contact_list, credential_id, eab, now),
        )
        return Account(row, secret, directory, thumbprint, jwk, AccountStatus.VALID, contacts, credential_id, eab, now)

    def use_credential(self, credential_id: int, *, now: Instant) -> None:
        self._change(sql.USE_CREDENTIAL, (credential_id, now), "the credential is disabled, expired or used up")

    def update_contacts(self, account_id: int, contacts: tuple[str, ...]) -> None:
        self._change(sql.UPDATE_CONTACTS, (codecs.to_json(contacts), account_id), "the account is not valid")

    def move_account(self, account_id: int, *, expected: AccountStatus, to: AccountStatus) -> None:
        self._change(sql.MOVE_ACCOUNT, (to.value, account_id, expected.value), f"the account is not {expected.value}")

    def change_key(self, account_id: int, *, expected: str, thumbprint: str, jwk: bytes) -> None:
        row = self._execute(sql.ACCOUNT_DIRECTORY, (account_id,)).fetchone()
        if row is None:
            raise Conflict("there is no such account")
        key_hash = self._check_key_is_free(row[0], thumbprint)
        values = (thumbprint, key_hash, jwk, account_id, expected)
        self._change(sql.CHANGE_KEY, values, "the account's key changed meanwhile, or it is not valid")

    def _check_key_is_free(self, directory: str, thumbprint: str) -> int:
        key_hash = codecs.key_hash(directory, thumbprint)
        if self._execute(sql.ACCOUNT_BY_KEY, (key_hash, thumbprint, directory)).fetchone() is not None:
            raise Conflict("the key has an account in this directory")
        return key_hash

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
    ) -> int:
        values = (kid, name, codecs.binding_json(binding), sealed_secret, now, expires_at, max_uses)
        try:
            return self._insert(sql.INSERT_CREDENTIAL, values)
        except sqlite3.IntegrityError as error:
            raise Conflict("a credential of this kid exists") from error

    def disable_credential(self, kid: str, *, now: Instant) -> None:
        self._change(sql.DISABLE_CREDENTIAL, (now, kid), "there is no such credential, or it is disabled already")

    def rotate_credential(self, kid: str, *, sealed_secret: bytes, now: Instant) -> None:
        self._change(sql.ROTATE_CREDENTIAL, (sealed_secret, now, kid), "there is no such credential, or it is disabled")

    # Orders.

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
        if status not in (OrderStatus.PENDING, OrderStatus.READY):
            raise Conflict(f"an order is not born {status.value}")
        row = self._insert(
            sql.INSERT_ORDER,
            (
                secret,
                directory,
                account_id,
                status.value,
                codecs.to_json(identifiers),
                not_before,
                not_after,
                profile,
                replaces,
                codecs.workload_json(workload),
                now,
                expires_at,
                expires_at,
            ),
        )
        for identifier in identifiers:
            self._entries.name(identifier.value, row)
        return row

    def pending_orders(self, account_id: int, *, limit: int) -> int:
        return int(self._execute(sql.PENDING_ORDERS, (account_id, limit)).fetchone()[0])

    def orders_to_cancel(self, account_id: int, *, limit: int) -> tuple[Order, ...]:
        return tuple(map(codecs.order, self._execute(sql.ORDERS_TO_CANCEL, (account_id, limit)).fetchall()))

    def set_authorizations(self, order_id: int, resource_ids: tuple[str, ...], status: OrderStatus) -> None:
        if status not in (OrderStatus.PENDING, OrderStatus.READY):
            raise Conflict(f"an order is not born {status.value}")
        values = (codecs.to_json(resource_ids), status.value, order_id)
        self._change(sql.SET_AUTHORIZATIONS, values, "the order has its authorizations")

    def set_workload(self, order_id: int, workload: bytes) -> None:
        text = codecs.workload_json(workload)
        self._change(sql.SET_WORKLOAD, (text, order_id, text), "the order belongs to another workload")

    def order(self, row: int) -> Order | None:
        found = self._execute(sql.ORDER, (row,)).fetchone()
        return None if found is None else codecs.order(found)

    def move_order(
        self, order_id: int, *, expected: OrderStatus, to: OrderStatus, error: StoredError | None = None
    ) -> None:
        """`processing` is reached by claim_order and `valid` by complete_order only: both need more than a status."""
        wrong = f"the order is not {expected.value}"
        if to not in ORDER_MOVES[expected] or to in (OrderStatus.PROCESSING, OrderStatus.VALID):
            raise Conflict(f"an order does not move from {expected.value} to {to.value} like this")
        if to == OrderStatus.READY:
            self._change(sql.ORDER_READY, (order_id, expected.value), f"{wrong}, or waits for an approval")
        else:
            told = None if error is None else codecs.to_json(error)
            self._change(sql.ORDER_INVALID, (told, self._keep_invalid, order_id, expected.value), wrong)
            self._execute(sql.END_APPROVALS, (order_id,))

    def claim_order(
        self, order_id: int, *, csr_digest: str, key_fingerprint: str, approval: bytes, now: Instant
    ) -> None:
        if not csr_digest:
            raise ValueError("a claim names its CSR")
        self._change(
            sql.CLAIM_ORDER, (csr_digest, key_fingerprint, approval, now, order_id), "the order is not ready any more"
        )

    def complete_order(self, order_id: int, certificate: str) -> None:
        row = int(certificate.partition(".")[0])
        self._change(
            sql.COMPLETE_ORDER, (certificate, order_id, row), "the order is not processing, or has no such certificate"
        )

    # Approvals by people.

    def insert_approval(self, order_id: int, *, policy: str, group: str) -> None:
        try:
            self._execute(sql.INSERT_APPROVAL, (order_id, policy, group))
        except sqlite3.IntegrityError as error:
            raise Conflict("the policy has asked for an approval of this order already") from error

    def await_approvals(self, order_id: int, *, now: Instant, expires_at: Instant) -> None:
        if self._execute(sql.AWAIT_APPROVALS, (now, expires_at, order_id)).rowcount < 1:
            raise Conflict("the order needs no approval, or waits for it already")

    def approvals(self, order_id: int) -> tuple[OrderApproval, ...]:
        return tuple(map(codecs.approval, self._execute(sql.APPROVALS, (order_id,)).fetchall()))

    def decide_approval(self, decided: OrderApproval) -> None:
        values = (
            decided.status.value,
            decided.decided_at,
            decided.decided_by,
            decided.reason,
            decided.seal,
            decided.order_id,
            decided.policy,
        )
        self._change(sql.DECIDE_APPROVAL, values, "the approval is not waiting any more")

    def tell_approvals(self, order_id: int, *, now: Instant) -> None:
        self._execute(sql.TELL_APPROVALS, (now, order_id))

    # Authorizations.

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
    ) -> int:
        value = identifier.value
        return self._insert(
            sql.INSERT_AUTHORIZATION,
            (
                secret,
                account_id,
                order_id,
                identifier.type.value,
                value,
                int(wildcard),
                int(subdomains),
                scope,
                status.value,
                token,
                challenges.decode(),
                now,
                expires_at,
                codecs.holder_hash(account_id, value),
                expires_at,
            ),
        )

    def own_authorizations(self, account_id: int, *, limit: int) -> int:
        return int(self._execute(sql.OWN_AUTHORIZATIONS, (account_id, limit)).fetchone()[0])

    def replace_authorization(self, changed: Authorization) -> None:
        values = (
            changed.status.value,
            codecs.to_json(changed.challenges),
            changed.scope,
            changed.due_at,
            changed.expires_at,
            changed.id,
            changed.version,
        )
        self._change(sql.REPLACE_AUTHORIZATION, values, "the authorization changed meanwhile")

    def authorization(self, row: int) -> Authorization | None:
        found = self._execute(sql.AUTHORIZATION, (row,)).fetchone()
        return None if found is None else codecs.authorization(found)

    # Certificates.

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
        if ari_id and codecs.serial_of_ari_id(ari_id) != serial:
            raise ValueError(f"ARI id {ari_id!r} does not contain serial {serial!r} (RFC 9773 §4.1)")
        serial_hash = codecs.hash63(serial)
        if self._execute(sql.SERIAL_TAKEN, (serial_hash, serial)).fetchone() is not None:
            raise Conflict("the serial is taken")
        try:
            return self._insert(
                sql.INSERT_CERTIFICATE,
                (
                    secret,
                    order_id,
                    account_id,
                    authority,
                    serial,
                    ari_id,
                    key_fingerprint,
                    leaf,
                    chain_id,
                    not_before,
                    not_after,
                    now,
                    serial_hash,
                    order_id,
                ),
            )
        except sqlite3.IntegrityError as error:
            raise Conflict("the order has a certificate") from error

    def insert_chain(self, chain_id: str, pems: tuple[bytes, ...]) -> None:
        self._execute(sql.INSERT_CHAIN, (chain_id, codecs.chain_to_json(pems)))

    def mark_replaced(self, certificate_id: int, order_id: int) -> None:
        values = (order_id, certificate_id, order_id)
        self._change(sql.MARK_REPLACED, values, "the certificate was replaced by another order")

    def revoke_certificate(self, certificate_id: int, *, reason: int, now: Instant) -> None:
        self._change(sql.REVOKE_CERTIFICATE, (now, reason, certificate_id), "the certificate is revoked already")

    def block_key(self, fingerprint: str, *, now: Instant) -> None:
        self._execute(sql.BLOCK_KEY, (fingerprint, now))

    # The audit log.

    def append_event(self, record: EventRecord) -> int:
        serial = record.serial
        order_id = record.order_id
        names = record.names
        seq = self._insert(
            sql.APPEND_EVENT,
            (
                record.at,
                record.kind,
                record.outcome,
                record.body,
                record.directory,
                record.account_id,
                order_id,
                record.namespace,
                serial,
                codecs.to_json(names) if names else "[]",
                codecs.hash63(serial) if serial else None,
            ),
        )
        self._entries.event(seq, record)
        return seq

    def _insert(self, statement: str, values: tuple[Any, ...]) -> int:
        row = self._execute(statement, values).lastrowid
        assert row is not None
        return row

    def _change(self, statement: str, values: tuple[Any, ...], otherwise: str) -> None:
        if self._execute(statement, values).rowcount != 1:
            raise Conflict(otherwise)


def _ended(*_: object) -> sqlite3.Cursor:
    raise RuntimeError("this transaction has ended; work on the store only inside the function given to transact")
