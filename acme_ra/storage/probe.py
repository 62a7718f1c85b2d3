"""Whether the database can be written, and how long its disk takes to make something durable (`acme-ra doctor`)."""

import os
import secrets
import time
from contextlib import closing
from statistics import median

import msgspec

from acme_ra.storage.schema import check_current
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.sqlite.connection import WriteLock, connect_writer

_SYNCS = 5
_PAGE = b"\0" * 4096


class Probed(msgspec.Struct, frozen=True):
    """Seconds for one durable write, the median of a few; bytes free on the file system, and of how many."""

    sync_seconds: float
    free: int
    size: int


def probe(settings: StorageSettings) -> Probed:
    """Begin a write and take it back, then sync a file beside the database.

    Raises SchemaOutdated, SchemaTooNew, sqlite3.Error, OSError, TimeoutError when another process keeps the lock.
    """
    if not settings.path.exists():
        raise FileNotFoundError(2, "there is no database", str(settings.path))
    lock = WriteLock(settings.path)
    try:
        _take(lock, settings.busy_timeout / 1000)
        _write(settings)
    finally:
        lock.close()
    folder = os.statvfs(settings.path.parent)
    return Probed(_sync_seconds(settings), folder.f_bavail * folder.f_frsize, folder.f_blocks * folder.f_frsize)


def _take(lock: WriteLock, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not lock.try_acquire():
        if time.monotonic() > deadline:
            raise TimeoutError(f"another process has kept the write lock for {seconds:g} s")
        time.sleep(0.01)


def _write(settings: StorageSettings) -> None:
    """SQLite notices a read-only file or a full disk at the first page that changes, not at BEGIN."""
    with closing(connect_writer(settings)) as connection:
        check_current(connection)
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute("CREATE TABLE doctor_probe (page BLOB)")
            connection.execute("INSERT INTO doctor_probe VALUES (?)", (_PAGE,))
        finally:
            connection.execute("ROLLBACK")


def _sync_seconds(settings: StorageSettings) -> float:
    path = settings.path.with_name(f".{settings.path.name}.probe-{secrets.token_hex(4)}")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        times = []
        for _ in range(_SYNCS):
            started = time.perf_counter()
            os.write(descriptor, _PAGE)
            os.fsync(descriptor)
            times.append(time.perf_counter() - started)
        return median(times)
    finally:
        os.close(descriptor)
        path.unlink()
