"""How far two clocks are apart, and whether that matters: certificates start a minute before they are made."""

from acme_ra.doctor.findings import Finding, error, ok, warning

SUSPICIOUS, WRONG = 30.0, 300.0
"""Seconds. Past the second, tokens of service accounts and fresh certificates are refused as not valid yet."""


def judge_offset(whose: str, offset: float | None) -> Finding:
    """`offset` is that clock less ours, in seconds."""
    if offset is None:
        return warning(f"{whose} told no time", "compare the clocks by hand: date -u")
    seen = f"{whose} is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} this machine's clock"
    fix = "run a time service (chrony, systemd-timesyncd) on both machines"
    if abs(offset) >= WRONG:
        return error(seen, fix)
    return warning(seen, fix) if abs(offset) >= SUSPICIOUS else ok(f"{whose} agrees with this machine's clock")
