"""Durations in configuration and policy: `90s`, `10m`, `720h`, `47d`, or several together, `1h30m`."""

import re

from acme_ra.core.clock import DAY, HOUR, MINUTE, SECOND

_PARTS = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?\Z", re.ASCII)


def parse_duration(text: str) -> int:
    """Milliseconds. Raises ValueError that shows the accepted form."""
    match = _PARTS.match(text)
    if not text or match is None or len(text) > 32:
        raise ValueError(f"{text!r} is not a duration; write it like 90s, 10m, 720h, 47d or 1h30m")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return days * DAY + hours * HOUR + minutes * MINUTE + seconds * SECOND


def format_duration(milliseconds: int) -> str:
    """The shortest exact form, hours before days for what is no whole number of days."""
    parts = []
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")):
        count, milliseconds = divmod(milliseconds, unit)
        if count:
            parts.append(f"{count}{name}")
    return "".join(parts) or "0s"
