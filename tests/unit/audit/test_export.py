"""Export of the audit log: one canonical line an event, and cells that no spreadsheet runs."""

import csv
import io
import tracemalloc
from collections.abc import AsyncIterator

import orjson
import pytest

from acme_ra.audit.export import CSV_COLUMNS, export, to_csv, to_jsonl
from acme_ra.core.encoding import canonical_json
from acme_ra.core.events import EventRecord, StoredEvent

AT = 1_800_000_000_123
BODY = canonical_json({"reason": "ä <b>", "decision": {"b": 1, "a": [True, None]}})


def stored(seq: int = 1, **more: object) -> StoredEvent:
    fields = {"at": AT, "kind": "order.created", "outcome": "allowed", "body": BODY} | more
    return StoredEvent(seq, EventRecord(**fields))  # type: ignore[arg-type]


async def many(count: int) -> AsyncIterator[StoredEvent]:
    for seq in range(1, count + 1):
        yield stored(seq, body=b'{"text":"%s"}' % (b"x" * 1000))


def test_a_line_is_one_canonical_object() -> None:
    """Sorted keys, no blanks; the event's own fields are byte for byte those of the log."""
    line = to_jsonl(stored(7, directory="internal", account_id=3, order_id=4, namespace="demo", names=("a.test",)))

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    read = orjson.loads(line)
    assert canonical_json(read) + b"\n" == line
    assert canonical_json(read["event"]) == BODY
    assert read | {"event": None} == {
        "account": 3,
        "at": AT,
        "directory": "internal",
        "event": None,
        "kind": "order.created",
        "names": ["a.test"],
        "namespace": "demo",
        "order": 4,
        "outcome": "allowed",
        "seq": 7,
        "serial": "",
        "time": "2027-01-15T08:00:00.123Z",
    }


def test_a_row_has_the_documented_columns() -> None:
    row = to_csv(stored(7, account_id=3, serial="ab", names=("a.test", "b.test")))

    (cells,) = csv.reader(io.StringIO(row.decode(), newline=""))

    assert dict(zip(CSV_COLUMNS, cells, strict=True)) == {
        "seq": "7",
        "time": "2027-01-15T08:00:00.123Z",
        "kind": "order.created",
        "outcome": "allowed",
        "directory": "",
        "account": "3",
        "order": "",
        "namespace": "",
        "serial": "ab",
        "names": "a.test b.test",
        "event": BODY.decode(),
    }


async def test_both_formats_count_what_they_write() -> None:
    """CSV starts with its header; progress is told on the way."""
    told: list[int] = []
    lines: list[bytes] = []
    rows: list[bytes] = []

    assert await export(many(2500), lines.append, format="jsonl", progress=told.append) == 2500
    assert await export(many(3), rows.append, format="csv") == 3

    assert told == [1000, 2000]
    assert [orjson.loads(line)["seq"] for line in lines] == list(range(1, 2501))
    assert rows[0] == ",".join(CSV_COLUMNS).encode() + b"\r\n"
    assert len(rows) == 4


@pytest.mark.parametrize("format", ["jsonl", "csv"])
async def test_a_long_export_needs_no_more_memory_than_a_short_one(format: str) -> None:
    peaks = []
    for count in (100, 5000):
        tracemalloc.start()
        await export(many(count), lambda _: None, format=format)  # type: ignore[arg-type]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < peaks[0] + 50_000
