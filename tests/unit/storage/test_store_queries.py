"""Query plans: every statement goes along an index or the row id, and none sorts."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import combinations
from typing import Any

import pytest
from sqlalchemy.dialects import sqlite

from acme_ra.core.status import OrderStatus
from acme_ra.storage import reports
from acme_ra.storage.contract import EventFilter
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.sqlite import statements
from acme_ra.storage.sqlite.events import page_statement

_DIALECT = sqlite.dialect(paramstyle="qmark")  # type: ignore[no-untyped-call]

HOT = {
    name: text
    for name, text in vars(statements).items()
    if isinstance(text, str) and re.match(r"(SELECT|INSERT|UPDATE|DELETE)\b", text)
}

#: "SCAN (subquery" counts what a limited sub-query yields. There is no other scan, and no temporary b-tree.
FINE = ("SEARCH ", "SCAN (subquery", "CO-ROUTINE ", "SCALAR SUBQUERY ", "CORRELATED SCALAR ", "REUSE SUBQUERY ")

EVENT_FILTERS: dict[str, Any] = {
    "since": 1,
    "until": 2,
    "kind": "order.created",
    "outcome": "allowed",
    "namespace": "demo",
    "name": "a.example.test",
    "serial": "ab",
    "order_id": 1,
    "account_id": 1,
}


@pytest.fixture
def plan(settings: StorageSettings) -> Iterator[Any]:
    """Explains a statement and refuses a bad plan."""
    with closing(sqlite3.connect(settings.path)) as connection:
        connection.execute(statements.CREATE_WANTED)

        def check(text: str) -> list[str]:
            values = (1,) * text.count("?")
            steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", values)]
            for step in steps:
                assert step.startswith(FINE), f"{text}\n{steps}"
            return steps

        yield check


@pytest.mark.parametrize("name", HOT)
def test_a_hot_statement_goes_along_an_index(name: str, plan: Any) -> None:
    plan(HOT[name])


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_every_filter_of_the_audit_log_goes_along_a_key(count: int, plan: Any) -> None:
    """Alone and with others; never along a time or a text that has no index."""
    for chosen in combinations(EVENT_FILTERS, count):
        text, _ = page_statement(EventFilter(**{field: EVENT_FILTERS[field] for field in chosen}))
        plan(text)


def _report_statements() -> dict[str, Any]:
    made = {
        "accounts": reports.accounts_page(1, 10),
        "credentials": reports.credentials_page(1, 10),
        "waiting orders": reports.waiting_page(1, 10),
        "approvals": reports.approvals_of(1),
    }
    for status in (None, *OrderStatus):
        for account in (None, 1):
            for number, page in enumerate(reports.orders_pages(1, 10, status, account)):
                made[f"orders {status} {account} {number}"] = page
    conditions: dict[str, Any] = {
        "name": "a.example.test",
        "serial": "ab",
        "expiring_since": 1,
        "expiring_before": 2,
        "revoked": True,
        "namespace": "demo",
    }
    for count in range(3):
        for chosen in combinations(conditions, count):
            for after in (0, 1):
                given = {field: conditions[field] for field in chosen}
                made[f"certificates {chosen} {after}"] = reports.certificates_page(after, 10, **given)
    return made


REPORTS = _report_statements()


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_goes_along_an_index(name: str, plan: Any) -> None:
    compiled = REPORTS[name].compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    plan(str(compiled))


def test_the_index_of_the_first_condition_is_used(plan: Any) -> None:
    """A report by name, serial, namespace, expiry or revocation does not walk all certificates."""
    wanted = {
        "name": "name_refs",
        "serial": "certificates_serial",
        "expiring_before": "certificates_expiry",
        "namespace": "certificates_namespace",
        "revoked": "certificates_revoked",
    }
    for field, index in wanted.items():
        text = str(REPORTS[f"certificates ({field!r},) 1"].compile(dialect=_DIALECT))
        assert any(index in step for step in plan(text)), (field, plan(text))
