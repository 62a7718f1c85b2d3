"""Export of the audit log as a stream: JSON Lines for programs, CSV for spreadsheets.

JSON Lines: an event a line, canonical JSON (sorted keys, no blanks, UTF-8): `seq`, `at` (milliseconds since the
epoch), `time` (RFC 3339), `kind`, `outcome`, `directory`, `account`, `order`, `namespace`, `serial`, `names`, and under
`event` the event's own fields. The canonical JSON of `event` is byte for byte what is in the log.

CSV (RFC 4180): a header, then the columns of `CSV_COLUMNS`; `names` are separated by blanks, `event` is JSON. A cell
that a spreadsheet would take for a formula starts with an apostrophe.
"""

import csv
import io
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from acme_ra.core.clock import SECOND, Instant
from acme_ra.core.events import StoredEvent

Format = Literal["jsonl", "csv"]

CSV_COLUMNS: Final = (
    "seq",  # place in the log: from 1, without gaps
    "time",  # RFC 3339, UTC, milliseconds
    "kind",  # noun.verb
    "outcome",  # allowed, refused, failed, or empty for a plain change
    "directory",
    "account",  # row id of the account
    "order",  # row id of the order
    "namespace",  # of the attributed workload
    "serial",  # of the certificate, lower-case hex
    "names",  # separated by blanks
    "event",  # the event's own fields as canonical JSON
)

#: What Excel, LibreOffice and Google Sheets take for the start of a formula, or skip before one (OWASP).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def to_jsonl(stored: StoredEvent) -> bytes:
    """One line, with its newline."""
    record = stored.record
    fields = {
        "seq": stored.seq,
        "at": record.at,
        "time": _time(record.at),
        "kind": record.kind,
        "outcome": record.outcome,
        "directory": record.directory,
        "account": record.account_id,
        "order": record.order_id,
        "namespace": record.namespace,
        "serial": record.serial,
        "names": record.names,
        "event": msgspec.Raw(record.body),
    }
    return _jsonl_encoder.encode(fields) + b"\n"


_jsonl_encoder = msgspec.json.Encoder(order="sorted")


def to_csv(stored: StoredEvent) -> bytes:
    """One row, with its line break."""
    record = stored.record
    return _csv_row(
        str(stored.seq),
        _time(record.at),
        record.kind,
        record.outcome,
        record.directory,
        "" if record.account_id is None else str(record.account_id),
        "" if record.order_id is None else str(record.order_id),
        record.namespace,
        record.serial,
        " ".join(record.names),
        record.body.decode(),
    )


async def export(
    events: AsyncIterator[StoredEvent],
    write: Callable[[bytes], object],
    *,
    format: Format,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Write each event as it comes; returns how many. `progress` is told the count every thousand events.

    Nothing is kept, so a million events need no more memory than ten.
    """
    encode = to_jsonl if format == "jsonl" else to_csv
    if format == "csv":
        write(_csv_row(*CSV_COLUMNS))
    count = 0
    async for stored in events:
        write(encode(stored))
        count += 1
        if progress is not None and count % 1000 == 0:
            progress(count)
    return count


def _csv_row(*cells: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([_inert(cell) for cell in cells])
    return text.getvalue().encode()


def _inert(cell: str) -> str:
    """A cell that no spreadsheet runs (CSV injection)."""
    return "'" + cell if cell.startswith(_FORMULA_STARTS) or cell.lstrip().startswith(_FORMULA_STARTS) else cell


def _time(instant: Instant) -> str:
    seconds, milliseconds = divmod(instant, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"
