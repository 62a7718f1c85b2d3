"""The epoch of a start: a number that was never given out before, for nonces that must not repeat (RFC 8555 §6.5)."""

import fcntl
import os
from pathlib import Path

from acme_ra.core.clock import SECOND, Clock

_LIMIT = 1 << 32


def next_epoch(path: Path, clock: Clock) -> int:
    """Count up the file and return the new value, durably, whoever else does the same.

    It is never less than the time in seconds, so that it also grows when the file is lost or an old copy comes back.
    Raises OSError; raises ValueError when 32 bits are used up.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        last = int(text) if text.isdigit() else 0
        epoch = max(last + 1, clock.now() // SECOND)
        if epoch >= _LIMIT:
            raise ValueError(f"{path}: the epoch {epoch} does not fit 32 bits; remove the file and correct the clock")
        # The number never gets shorter, so that overwriting in place leaves no rest behind.
        os.pwrite(descriptor, f"{epoch:010d}\n".encode(), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return epoch
