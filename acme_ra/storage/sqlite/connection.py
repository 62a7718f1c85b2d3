"""Connections to the SQLite file, and the lock that makes several writing processes take turns."""

import fcntl
import os
import sqlite3
from pathlib import Path

from acme_ra.storage.settings import StorageSettings

#: WAL pages between checkpoints: 16 MB, so that a page that changes often is written to the file once for many commits.
_CHECKPOINT_PAGES = 4000
_CACHE_KIB = 32 * 1024


def connect_writer(settings: StorageSettings) -> sqlite3.Connection:
    """A connection in autocommit mode; its owner writes BEGIN and COMMIT, and waits for others itself.

    Raises sqlite3.Error.
    """
    connection = _connect(settings)
    connection.execute(f"PRAGMA synchronous = {settings.synchronous}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    # Undo records of savepoints stay in memory, and freed pages are not overwritten: secrets are sealed anyway.
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute("PRAGMA busy_timeout = 0")
    return connection


def connect_reader(settings: StorageSettings) -> sqlite3.Connection:
    """A connection whose every statement is a read of the newest commit of any process. Raises sqlite3.Error.

    The file is not mapped: SQLite maps it anew after every commit, which costs a point read twice what it takes.
    """
    connection = _connect(settings)
    connection.execute("PRAGMA query_only = ON")
    return connection


def connect_export(settings: StorageSettings) -> sqlite3.Connection:
    """For one export: it may use temporary tables, which spill to disk, and keeps little in memory."""
    connection = _connect(settings)
    connection.execute("PRAGMA temp_store = FILE")
    connection.execute("PRAGMA cache_size = -1024")
    return connection


def _connect(settings: StorageSettings) -> sqlite3.Connection:
    """Never creates the file: only `acme-ra db upgrade` does."""
    connection = sqlite3.connect(
        f"{settings.path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=settings.busy_timeout / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    # Opening is lazy; this makes a missing or foreign file fail here.
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    return connection


class WriteLock:
    """An exclusive lock among processes on a file beside the database.

    SQLite's own lock is polled, and starves whoever sleeps longest; the kernel queues for this one.
    """

    def __init__(self, database: Path) -> None:
        self._descriptor = os.open(f"{database}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def try_acquire(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def acquire(self) -> None:
        """Waits for its turn, without limit."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def release(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._descriptor)
