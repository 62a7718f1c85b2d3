"""Instants and durations."""

import pytest

from acme_ra.core.clock import DAY, HOUR, MINUTE, SECOND, parse_rfc3339, to_rfc3339
from acme_ra.core.duration import format_duration, parse_duration
from acme_ra.core.problems import Malformed


def test_an_instant_survives_its_rendering() -> None:
    assert parse_rfc3339(to_rfc3339(1_800_000_000_000)) == 1_800_000_000_000


@pytest.mark.parametrize("text", ["2027-01-31T12:00:00Z", "2027-01-31T13:00:00+01:00", "2027-01-31T12:00:00.000Z"])
def test_time_zones_and_fractions_are_understood(text: str) -> None:
    assert to_rfc3339(parse_rfc3339(text)) == "2027-01-31T12:00:00Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2027-01-31T12:00:00",
        "2027-01-31",
        "2027-13-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
    ],
)
def test_a_time_without_zone_or_sense_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse_rfc3339(text)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("90s", 90 * SECOND), ("10m", 10 * MINUTE), ("720h", 720 * HOUR), ("47d", 47 * DAY), ("1h30m", 90 * MINUTE)],
)
def test_durations_are_read_and_written(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds
    assert parse_duration(format_duration(milliseconds)) == milliseconds


@pytest.mark.parametrize("text", ["", "10", "-1h", "1.5h", "1h 30m", "h", "30m1h", "9" * 40 + "d"])
def test_what_is_no_duration_is_told_so(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)
