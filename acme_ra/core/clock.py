"""Time: an instant is an int, milliseconds since the Unix epoch, UTC (RFC 3339 on the wire)."""

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from acme_ra.core.problems import Malformed

Instant = int

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Clock(Protocol):
    """The current instant. Passed to whatever needs the time, so that tests can set it."""

    def now(self) -> Instant: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> Instant:
        return time.time_ns() // 1_000_000


_END = 253_370_764_800_000  # 9999-01-01, so that a duration more can still be written


@lru_cache(maxsize=4096)
def to_rfc3339(instant: Instant) -> str:
    """Render whole seconds, as `2026-11-21T08:00:00Z`; milliseconds are cut off."""
    return datetime.fromtimestamp(instant // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_rfc3339(unverified: str) -> Instant:
    """Parse a timestamp with a time zone (RFC 3339 §5.6). Raises Malformed."""
    try:
        parsed = datetime.fromisoformat(unverified)
    except ValueError as error:
        raise Malformed(f"{unverified[:40]!r} is not an RFC 3339 date and time") from error
    if parsed.tzinfo is None or len(unverified) > 40:
        raise Malformed(f"{unverified[:40]!r} has no time zone; write it like 2027-01-31T12:00:00Z")
    instant = int(parsed.timestamp() * SECOND)
    if not 0 <= instant < _END:
        raise Malformed(f"{unverified[:40]!r} is out of range; use a time between 1970 and 9998")
    return instant


def to_datetime(instant: Instant) -> datetime:
    """An aware datetime in UTC, whole seconds: certificates carry nothing finer (RFC 5280 §4.1.2.5)."""
    return datetime.fromtimestamp(instant // SECOND, UTC)
