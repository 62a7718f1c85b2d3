"""Which schema this version needs, and whether a file has it."""

import sqlite3

#: The newest migration. A test holds it equal to the head of storage/migrations.
HEAD = "0003"
REVISIONS = ("0001", "0002", "0003")


class SchemaMismatch(Exception):
    """The file's schema is not this version's; the text says what to do."""


class SchemaOutdated(SchemaMismatch):
    """The file was never migrated, or by an older version."""


class SchemaTooNew(SchemaMismatch):
    """The file was migrated by a newer version; going on could destroy what that one wrote."""


def read_revision(connection: sqlite3.Connection) -> str | None:
    """The migration that the file stands at, or None for a file that has none."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'")
    if known.fetchone() is None:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def check_not_newer(revision: str | None) -> None:
    """Raises SchemaTooNew for a revision that this version does not know."""
    if revision is not None and revision not in REVISIONS:
        raise SchemaTooNew(
            f"the database is at schema {revision}, which is newer than {HEAD} of this version; "
            "run the version that wrote it, or restore a backup"
        )


def check_current(connection: sqlite3.Connection) -> None:
    """Raises SchemaOutdated or SchemaTooNew unless the file has exactly this version's schema."""
    revision = read_revision(connection)
    check_not_newer(revision)
    if revision != HEAD:
        found = revision or "none"
        raise SchemaOutdated(f"the database is at schema {found}, {HEAD} is needed; run: acme-ra db upgrade")
