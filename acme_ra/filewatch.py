"""Files that somebody replaces while the server runs, as kubelet does with a renewed Secret: noticed, and told."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

_MOST = 1000  # files of a folder that are looked at

Stamp = tuple[tuple[str, int, int, int], ...]


def stamp(paths: Sequence[Path]) -> Stamp:
    """Changes when one of the files, or a file in one of the folders, may have. Links are followed; no file is read."""
    found = []
    for path in paths:
        inside = sorted(path.iterdir())[:_MOST] if path.is_dir() else []
        for one in (path, *inside):
            try:
                status = one.stat()
            except OSError:
                found.append((str(one), 0, 0, 0))  # gone, or not yet there
            else:
                found.append((str(one), status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)


async def watch(paths: Sequence[Path], *, every: float, changed: Callable[[], None]) -> None:
    """Look every so many seconds, until cancelled, and call `changed` after each look that saw a difference."""
    known = await asyncio.to_thread(stamp, paths)
    while True:
        await asyncio.sleep(every)
        try:
            seen = await asyncio.to_thread(stamp, paths)
        except OSError as error:
            log.warning("files cannot be looked at", cause=str(error))
            continue
        if seen != known:
            known = seen
            log.info("files have changed")
            changed()


def reloader(*, supervised: bool) -> Callable[[], None]:
    """What reads everything again: a SIGHUP to the master, or to this process where there is none."""
    pid = os.getppid() if supervised else os.getpid()

    def reload() -> None:
        # A worker whose master is gone has another parent, which must not get the signal.
        if not supervised or os.getppid() == pid:
            os.kill(pid, signal.SIGHUP)

    return reload
