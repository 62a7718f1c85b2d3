"""Secrets in the audit log (OpenBao CVE-2025-62513): a canary in every secret column, and none in any event."""

import sqlite3
from pathlib import Path

import msgspec

from acme_ra.audit.export import to_csv, to_jsonl
from acme_ra.core.clock import DAY
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.objects import Binding, Challenge
from acme_ra.core.status import AuthorizationStatus, OrderStatus
from acme_ra.storage.admin import upgrade
from acme_ra.storage.contract import EventFilter, Transaction
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.store import open_store

NOW = 1_800_000_000_000
CANARY = "CANARY"
URL_SECRET = CANARY.ljust(16, "x")


class _Clock:
    def now(self) -> int:
        return NOW


def _fill(tx: Transaction) -> None:
    """Every column that holds something secret or unguessable holds the canary."""
    credential = tx.insert_credential(
        kid="kid",
        name="demo",
        binding=msgspec.json.encode(Binding()),
        sealed_secret=CANARY.encode(),
        now=NOW,
        expires_at=None,
        max_uses=None,
    )
    account = tx.insert_account(
        secret=URL_SECRET,
        directory="internal",
        thumbprint="t",
        jwk=CANARY.encode(),
        contacts=(),
        credential_id=credential,
        eab=CANARY.encode(),
        now=NOW,
    )
    name = Identifier(IdentifierType.DNS, "a.example.test")
    order = tx.insert_order(
        secret=URL_SECRET,
        directory="internal",
        account_id=account.id,
        status=OrderStatus.PENDING,
        identifiers=(name,),
        not_before=None,
        not_after=None,
        profile="",
        replaces="",
        workload=None,
        now=NOW,
        expires_at=NOW + DAY,
    )
    row = tx.insert_authorization(
        secret=URL_SECRET,
        account_id=account.id,
        order_id=order,
        identifier=name,
        wildcard=False,
        subdomains=False,
        scope=CANARY,
        status=AuthorizationStatus.PENDING,
        token=CANARY,
        challenges=msgspec.json.encode((Challenge("http-01"),)),
        now=NOW,
        expires_at=NOW + DAY,
    )
    tx.set_authorizations(order, (f"{row}.{URL_SECRET}",), OrderStatus.PENDING)


async def test_what_storage_writes_to_the_log_holds_no_secret(tmp_path: Path) -> None:
    """Housekeeping makes events of its own; neither they nor their exports nor their tables show a canary."""
    settings = StorageSettings(path=tmp_path / "db.sqlite")
    upgrade(settings)
    store = await open_store(settings, clock=_Clock())
    await store.transact(_fill)

    await store.housekeep(NOW + 2 * DAY)

    events = [event async for event in store.events(EventFilter())]
    await store.close()
    assert [event.record.kind for event in events] == ["order.expired"]
    assert not any(CANARY.encode() in line for event in events for line in (to_jsonl(event), to_csv(event)))
    with sqlite3.connect(settings.path) as connection:
        for table in ("audit_events", "audit_marks", "audit_blocks", "name_refs"):
            assert CANARY not in repr(connection.execute(f"SELECT * FROM {table}").fetchall())
    connection.close()
