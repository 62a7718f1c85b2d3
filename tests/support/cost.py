"""What a piece of work costs: CPU time of this thread, so that waiting does not count, in units of this very moment.

Other load on the machine slows a thread down also while it runs (caches, the sibling of its core, a hypervisor). A
fixed piece of arithmetic is timed beside each try; a try counts as much less as that takes longer than it should.
"""

import time
from collections.abc import Awaitable, Callable

_STEPS = 40_000
_UNIT = 0.003  # seconds that the arithmetic takes on a modest machine without load


def cheapest(work: Callable[[], object], tries: int = 5) -> float:
    """Seconds of the cheapest try: caches that others emptied are not the work's fault."""
    return min(_cost(work) for _ in range(tries))


async def cheapest_awaited(work: Callable[[], Awaitable[object]], tries: int = 5) -> float:
    """The same for work of the event loop, all of which counts."""
    spent = []
    for _ in range(tries):
        before = _slowness()
        started = time.thread_time()
        await work()
        spent.append((time.thread_time() - started) / max(before, _slowness()))
    return min(spent)


def _cost(work: Callable[[], object]) -> float:
    before = _slowness()
    started = time.thread_time()
    work()
    spent = time.thread_time() - started
    return spent / max(before, _slowness())


def _slowness() -> float:
    """How many times slower than a modest machine this one is now; at least 1."""
    started = time.thread_time()
    total = 0
    for number in range(_STEPS):
        total += number * number & 255
    return max(1.0, (time.thread_time() - started) / _UNIT)
