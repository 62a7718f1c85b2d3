"""Fills a database with issued orders, through the Store contract: copies of one that the server really issued.

Each copy has an order, its authorizations, a certificate row and every audit event of its model, under names, serials
and secrets of its own. Nothing is signed: the leaf's bytes are the model's.
"""

import asyncio
import secrets
from collections.abc import Callable

import msgspec

from acme_ra.core.clock import SystemClock
from acme_ra.core.encoding import b64url, random_secret
from acme_ra.core.events import EventRecord
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.objects import Authorization, Certificate, Order, ResourceId
from acme_ra.core.status import OrderStatus
from acme_ra.storage.contract import EventFilter, Store, Transaction
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.store import open_store

_BATCH = 200


class Model(msgspec.Struct, frozen=True):
    """What is copied."""

    order: Order
    authorization: Authorization
    certificate: Certificate
    events: tuple[EventRecord, ...]
    challenges: bytes
    workload: bytes | None


def fill(settings: StorageSettings, *, certificate: int, count: int, progress: Callable[[int], None]) -> None:
    """Add `count` copies of the certificate with this row id to its account. The server must not be running."""
    asyncio.run(_fill(settings, certificate, count, progress))


async def _fill(settings: StorageSettings, row: int, count: int, progress: Callable[[int], None]) -> None:
    store = await open_store(settings, clock=SystemClock())
    try:
        model = await _model(store, row)
        done = 0
        while done < count:
            batch = min(_BATCH, count - done)
            await store.transact(lambda transaction, batch=batch: _copy(transaction, model, batch))  # type: ignore[misc]
            done += batch
            progress(done)
    finally:
        await store.close()


async def _model(store: Store, row: int) -> Model:
    certificate = await store.certificate(row)
    assert certificate is not None, f"there is no certificate {row}"
    order = await store.order(certificate.order_id)
    assert order is not None
    authorization = await store.authorization(ResourceId.parse(order.authorizations[0]).row)
    assert authorization is not None
    events = tuple([event.record async for event in store.events(EventFilter(order_id=order.id))])
    return Model(
        order,
        authorization,
        certificate,
        events,
        msgspec.json.encode(authorization.challenges),
        msgspec.json.encode(order.workload) if order.workload else None,
    )


def _copy(transaction: Transaction, model: Model, count: int) -> None:
    for _ in range(count):
        identifier = Identifier(IdentifierType.DNS, f"f{secrets.token_hex(6)}.fill.test")
        order = _copy_order(transaction, model, identifier)
        _copy_certificate(transaction, model, identifier, order)


def _copy_order(transaction: Transaction, model: Model, identifier: Identifier) -> int:
    old, proof = model.order, model.authorization
    order = transaction.insert_order(
        secret=random_secret(),
        directory=old.directory,
        account_id=old.account_id,
        status=OrderStatus.PENDING,
        identifiers=(identifier,),
        not_before=old.not_before,
        not_after=old.not_after,
        profile=old.profile,
        replaces="",
        workload=model.workload,
        now=old.created_at,
        expires_at=old.expires_at,
    )
    secret = random_secret()
    authorization = transaction.insert_authorization(
        secret=secret,
        account_id=old.account_id,
        order_id=order,
        identifier=identifier,
        wildcard=False,
        subdomains=False,
        scope=proof.scope,
        status=proof.status,
        token=proof.token,
        challenges=model.challenges,
        now=proof.created_at,
        expires_at=proof.expires_at,
    )
    transaction.set_authorizations(order, (f"{authorization}.{secret}",), OrderStatus.READY)
    return order


def _copy_certificate(transaction: Transaction, model: Model, identifier: Identifier, order: int) -> None:
    old = model.certificate
    serial = secrets.token_hex(16).lstrip("0")
    number = int(serial, 16)
    secret = random_secret()
    transaction.claim_order(
        order,
        csr_digest=model.order.csr_digest,
        key_fingerprint=old.key_fingerprint,
        approval=b"",
        now=old.created_at,
    )
    certificate = transaction.insert_certificate(
        secret=secret,
        order_id=order,
        account_id=old.account_id,
        authority=old.authority,
        serial=serial,
        ari_id=f"{old.ari_id.partition('.')[0]}.{b64url(number.to_bytes(number.bit_length() // 8 + 1))}",
        key_fingerprint=secrets.token_hex(32),
        leaf=old.leaf,
        chain_id=old.chain_id,
        not_before=old.not_before,
        not_after=old.not_after,
        now=old.created_at,
    )
    transaction.complete_order(order, f"{certificate}.{secret}")
    for event in model.events:
        named = (identifier.value,) if event.names else ()
        serial_of = serial if event.serial else ""
        transaction.append_event(msgspec.structs.replace(event, order_id=order, serial=serial_of, names=named))
