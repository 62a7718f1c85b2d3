"""What a piece of work costs: CPU time of this thread, so that other load on the machine does not count."""

import time
from collections.abc import Awaitable, Callable


def cheapest(work: Callable[[], object], tries: int = 3) -> float:
    """Seconds of the cheapest try: caches that others emptied are not the work's fault."""
    spent = []
    for _ in range(tries):
        started = time.thread_time()
        work()
        spent.append(time.thread_time() - started)
    return min(spent)


async def cheapest_awaited(work: Callable[[], Awaitable[object]], tries: int = 3) -> float:
    """The same for work of the event loop, all of which counts."""
    spent = []
    for _ in range(tries):
        started = time.thread_time()
        await work()
        spent.append(time.thread_time() - started)
    return min(spent)
