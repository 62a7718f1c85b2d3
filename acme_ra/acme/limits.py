"""Throttling before anything is spent (RFC 8555 §6.6): what is refused here keeps its nonce and may be sent again."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from acme_ra.core.problems import RateLimited

_MAX_KEYS: Final = 65536


class InFlight:
    """At most `limit` requests at once per key. Memory follows the requests under way."""

    __slots__ = ("_counts", "_limit", "_retry_after", "_what")

    def __init__(self, limit: int, *, what: str, retry_after: int) -> None:
        self._limit = limit
        self._what = what
        self._retry_after = retry_after
        self._counts: dict[str, int] = {}

    def enter(self, key: str) -> None:
        """Every `enter` that returns needs a `leave`. Raises RateLimited."""
        if not self._limit:
            return
        count = self._counts.get(key, 0)
        if count >= self._limit:
            raise RateLimited(
                f"{count} requests of {self._what} are under way; at most {self._limit} may be, try again soon",
                retry_after=self._retry_after,
            )
        self._counts[key] = count + 1

    def leave(self, key: str) -> None:
        if not self._limit:
            return
        count = self._counts[key] - 1
        if count:
            self._counts[key] = count
        else:
            del self._counts[key]


class Rate:
    """A token bucket per key: `per_second` sustained, twice that in one burst. The longest idle keys are forgotten."""

    __slots__ = ("_buckets", "_clock", "_per_second", "_retry_after", "_what")

    def __init__(
        self, per_second: int, *, what: str, retry_after: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._what = what
        self._retry_after = retry_after
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> None:
        """Raises RateLimited."""
        if not self._per_second:
            return
        now, burst = self._clock(), 2.0 * self._per_second
        tokens, since = self._buckets.get(key, (burst, now))
        tokens = min(burst, tokens + (now - since) * self._per_second)
        allowed = tokens >= 1
        self._buckets[key] = (tokens - 1 if allowed else tokens, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > _MAX_KEYS:
            self._buckets.popitem(last=False)
        if not allowed:
            raise RateLimited(
                f"more than {self._per_second} requests a second of {self._what}; slow down and try again",
                retry_after=self._retry_after,
            )
