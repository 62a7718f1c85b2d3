"""Reports: pages by key for people, with every filter."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from storage_world import NOW, add_account, add_credential, add_order, issue

from acme_ra.core.clock import DAY
from acme_ra.core.status import OrderStatus
from acme_ra.storage.contract import Transaction
from acme_ra.storage.reports import Reports
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.store import SQLiteStore


@pytest.fixture
async def reports(settings: StorageSettings) -> AsyncIterator[Reports]:
    made = Reports(settings)
    yield made
    await made.close()


def _fill(tx: Transaction) -> None:
    for number in range(1, 8):
        add_account(tx)
        add_credential(tx, f"kid-{number}")
        namespace = "demo" if number % 2 else "pay"
        names = ("shared.example.test", f"n{number}.example.test") if number % 3 == 0 else (f"n{number}.example.test",)
        # The later issued, the earlier it expires.
        issue(tx, f"{number}a", *names, namespace=namespace, not_after=NOW + (20 - number) * DAY)
        add_order(tx, account_id=number)
    gone = add_order(tx, account_id=7)
    tx.move_order(gone, expected=OrderStatus.PENDING, to=OrderStatus.INVALID)
    tx.revoke_certificate(2, reason=1, now=NOW)


async def paged(method: Any, **filters: Any) -> list[Any]:
    """Everything, three at a time."""
    found: list[Any] = []
    after = 0
    while page := await method(after, 3, **filters):
        assert len(page) <= 3
        found.extend(page)
        last = page[-1]
        after = (
            getattr(last, "certificate", last).id if not isinstance(getattr(last, "certificate", ""), str) else last.id
        )
    return found


async def test_lists_come_in_pages_by_key(store: SQLiteStore, reports: Reports) -> None:
    await store.transact(_fill)

    assert [one.id for one in await paged(reports.accounts)] == list(range(1, 8))
    assert [one.kid for one in await paged(reports.credentials)] == [f"kid-{number}" for number in range(1, 8)]
    assert [one.id for one in await paged(reports.orders)] == list(range(1, 16))
    assert [one.certificate.id for one in await paged(reports.certificates)] == list(range(1, 8))


async def test_orders_are_filtered_by_status_and_account(store: SQLiteStore, reports: Reports) -> None:
    """Of an account, the invalid ones too."""
    await store.transact(_fill)

    assert [one.id for one in await paged(reports.orders, status=OrderStatus.VALID)] == [1, 3, 5, 7, 9, 11, 13]
    assert [one.id for one in await paged(reports.orders, account_id=7)] == [14, 15]
    assert [one.id for one in await paged(reports.orders, account_id=1)] == [1, 2, 3, 5, 7, 9, 11, 13]
    assert [one.id for one in await paged(reports.orders, account_id=7, status=OrderStatus.INVALID)] == [15]
    assert await paged(reports.orders, status=OrderStatus.PROCESSING) == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"name": "shared.example.test"}, [3, 6]),
        ({"name": "n3.example.test"}, [3]),
        ({"name": "example.test"}, []),
        ({"name": 'x"'}, []),
        ({"serial": "4a"}, [4]),
        ({"serial": "ff"}, []),
        ({"revoked": True}, [2]),
        ({"revoked": False}, [1, 3, 4, 5, 6, 7]),
        ({"namespace": "pay"}, [6, 4, 2]),
        ({"namespace": ""}, []),
        ({"expiring_before": NOW + 16 * DAY}, [7, 6, 5]),
        ({"expiring_since": NOW + 15 * DAY, "expiring_before": NOW + 19 * DAY}, [5, 4, 3, 2]),
        ({"expiring_before": NOW + 99 * DAY}, [7, 6, 5, 4, 3, 2, 1]),
        ({"name": "shared.example.test", "namespace": "pay"}, [6]),
        ({"serial": "4a", "expiring_before": NOW}, []),
    ],
)
async def test_certificates_are_filtered(
    store: SQLiteStore, reports: Reports, filters: dict[str, Any], expected: list[int]
) -> None:
    await store.transact(_fill)

    assert [one.certificate.id for one in await paged(reports.certificates, **filters)] == expected


async def test_a_certificate_is_shown_with_its_names_and_namespace(store: SQLiteStore, reports: Reports) -> None:
    await store.transact(_fill)

    shown = await reports.certificate(3)

    assert shown is not None
    assert shown.names == ("shared.example.test", "n3.example.test")
    assert shown.namespace == "demo"
    assert shown.certificate == await store.certificate(3)
    assert await reports.certificate(99) is None


async def test_one_order_and_one_account_are_shown(store: SQLiteStore, reports: Reports) -> None:
    await store.transact(_fill)

    assert await reports.order(2) == await store.order(2)
    assert await reports.account(2) is not None
    assert await reports.order(99) is None
    assert await reports.account(99) is None
