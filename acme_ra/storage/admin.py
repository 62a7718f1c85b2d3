"""Care of the database file: migrate, back up, tell its schema (`acme-ra db`)."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import NullPool

from acme_ra.storage.schema import HEAD, check_not_newer, read_revision
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.sqlite.connection import WriteLock

Progress = Callable[[int, int], None]
"""Called with pages done and pages in all."""

_BACKUP_PAGES = 2048


def upgrade(settings: StorageSettings) -> str:
    """Create the file if need be, and migrate it to this version's schema; returns the revision.

    The whole upgrade is one transaction, and no server writes meanwhile. Raises SchemaTooNew for a file of a newer
    version, which stays as it was.
    """
    settings.path.parent.mkdir(parents=True, exist_ok=True)
    # Credentials and accounts are nobody else's business; SQLite gives -wal and -shm the same mode.
    os.close(os.open(settings.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    lock = WriteLock(settings.path)
    try:
        lock.acquire()
        _migrate(settings)
    finally:
        lock.close()
    return HEAD


def current_revision(settings: StorageSettings) -> str | None:
    """The file's schema, or None when there is no file or it was never migrated."""
    if not settings.path.exists():
        return None
    with closing(_connect(settings)) as connection:
        return read_revision(connection)


def backup(settings: StorageSettings, target: Path, *, progress: Progress | None = None) -> None:
    """Copy the database as it stands at this moment to a new file, while servers go on.

    Raises FileExistsError when `target` exists, FileNotFoundError when there is no database.
    """
    if not settings.path.exists():
        raise FileNotFoundError(f"there is no database at {settings.path}")
    if target.exists():
        raise FileExistsError(f"{target} exists; name a new file")
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        _copy(settings, partial, progress)
        # A name appears only for a whole copy, and never over another file.
        os.link(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    _sync(target.parent)


def _copy(settings: StorageSettings, partial: Path, progress: Progress | None) -> None:
    with closing(_connect(settings)) as source, closing(sqlite3.connect(partial, isolation_level=None)) as copy:
        # The snapshot of one read transaction: without it every commit would start the copy again.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        report = None if progress is None else (lambda _, remaining, total: progress(total - remaining, total))
        source.backup(copy, pages=_BACKUP_PAGES, progress=report, sleep=0)
        source.execute("COMMIT")
        # One self-contained file, without -wal and -shm beside it.
        copy.execute("PRAGMA journal_mode = DELETE").fetchone()
        found = copy.execute("PRAGMA quick_check").fetchone()
        if found != ("ok",):
            raise sqlite3.DatabaseError(f"the copy is damaged: {found[0]}")
    _sync(partial)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _connect(settings: StorageSettings) -> sqlite3.Connection:
    return sqlite3.connect(settings.path, isolation_level=None, timeout=settings.busy_timeout / 1000)


def _migrate(settings: StorageSettings) -> None:
    engine = _engine(settings)
    try:
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            check_not_newer(read_revision(driver))
            config = Config()
            config.set_main_option("script_location", "acme_ra:storage/migrations")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    finally:
        engine.dispose()


def _engine(settings: StorageSettings) -> Engine:
    """Python's sqlite3 would commit before DDL; so it stays in autocommit, and BEGIN is ours."""

    def connect() -> sqlite3.Connection:
        connection = _connect(settings)
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine
