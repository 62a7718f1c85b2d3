"""Throttling by address and account."""

import pytest

from acme_ra.acme.limits import InFlight, Rate
from acme_ra.acme.settings import AcmeSettings
from acme_ra.acme.site import Limits
from acme_ra.core.problems import RateLimited


def test_at_most_so_many_requests_are_under_way():
    """The next one is refused with Retry-After; leaving makes room; nothing is remembered."""
    limit = InFlight(2, what="this account", retry_after=3)
    limit.enter("a")
    limit.enter("a")
    limit.enter("b")

    with pytest.raises(RateLimited, match="this account") as caught:
        limit.enter("a")

    assert caught.value.retry_after == 3
    for key in ("a", "a", "b"):
        limit.leave(key)
    limit.enter("a")
    limit.leave("a")
    assert limit._counts == {}


def test_zero_switches_a_limit_off():
    """No counting at all."""
    limit, rate = InFlight(0, what="x", retry_after=1), Rate(0, what="x", retry_after=1)
    for _ in range(1000):
        limit.enter("a")
        rate.take("a")
    limit.leave("a")
    assert limit._counts == {}
    assert not rate._buckets


def test_a_bucket_allows_a_burst_and_then_the_rate():
    """Twice the rate at once, then one more as time goes by; others are not touched."""
    now = [0.0]
    rate = Rate(5, what="your address", retry_after=1, clock=lambda: now[0])
    for _ in range(10):
        rate.take("a")
    with pytest.raises(RateLimited):
        rate.take("a")
    rate.take("b")
    now[0] = 0.2

    rate.take("a")

    with pytest.raises(RateLimited):
        rate.take("a")


def test_many_addresses_need_bounded_memory(monkeypatch):
    """The longest idle one is forgotten."""
    monkeypatch.setattr("acme_ra.acme.limits._MAX_KEYS", 10)
    rate = Rate(5, what="x", retry_after=1)
    for number in range(1000):
        rate.take(str(number))
    assert len(rate._buckets) == 10


def test_a_refused_address_holds_no_place():
    """What `enter_address` took before it refused is given back."""
    limits = Limits(AcmeSettings(in_flight_total=10, in_flight_per_address=1))
    limits.enter_address("a")
    for _ in range(100):
        with pytest.raises(RateLimited):
            limits.enter_address("a")
    limits.enter_address("b")
    limits.leave_address("a")
    limits.leave_address("b")
    assert limits.total._counts == {}
