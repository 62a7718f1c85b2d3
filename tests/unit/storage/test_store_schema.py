"""Migrations make exactly tables.py, upgrades are safe to repeat, and backups are whole."""

import asyncio
import re
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from storage_world import add_account, record, seqs

from acme_ra.core.clock import SystemClock
from acme_ra.storage import admin, schema
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.store import SchemaOutdated, SchemaTooNew, SQLiteStore, open_store
from acme_ra.storage.tables import metadata


def _objects(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: re.sub(r"\s+", "", sql) for name, sql in rows if name != "alembic_version"}


def test_migrations_make_exactly_the_tables(settings: StorageSettings, tmp_path: Path) -> None:
    """By alembic's comparison, and to the letter of the DDL, which also knows STRICT and partial indexes."""
    engine = create_engine(f"sqlite:///{settings.path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()
    made = create_engine(f"sqlite:///{tmp_path / 'made.sqlite'}")
    metadata.create_all(made)
    made.dispose()

    assert _objects(settings.path) == _objects(tmp_path / "made.sqlite")


def test_the_needed_schema_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", "acme_ra:storage/migrations")
    scripts = ScriptDirectory.from_config(config)

    assert scripts.get_current_head() == schema.HEAD
    assert [script.revision for script in scripts.walk_revisions()][::-1] == list(schema.REVISIONS)


def test_an_upgrade_may_be_repeated(settings: StorageSettings) -> None:
    before = _objects(settings.path)

    assert admin.upgrade(settings) == schema.HEAD

    assert admin.current_revision(settings) == schema.HEAD
    assert _objects(settings.path) == before


def test_a_new_database_is_for_its_owner_only(settings: StorageSettings) -> None:
    assert stat.S_IMODE(settings.path.stat().st_mode) == 0o600


def _set_revision(settings: StorageSettings, revision: str) -> None:
    with closing(sqlite3.connect(settings.path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.commit()


async def test_a_newer_schema_is_refused(settings: StorageSettings) -> None:
    """Neither opened nor upgraded: an older program would destroy what it does not know."""
    _set_revision(settings, "9999")

    with pytest.raises(SchemaTooNew, match="newer"):
        admin.upgrade(settings)
    with pytest.raises(SchemaTooNew, match="newer"):
        await open_store(settings, clock=SystemClock())

    assert admin.current_revision(settings) == "9999"


async def test_an_unmigrated_file_is_refused(tmp_path: Path) -> None:
    settings = StorageSettings(path=tmp_path / "empty.sqlite")
    settings.path.touch()

    with pytest.raises(SchemaOutdated, match="acme-ra db upgrade"):
        await open_store(settings, clock=SystemClock())
    assert admin.current_revision(settings) is None


def test_there_is_no_revision_without_a_file(tmp_path: Path) -> None:
    assert admin.current_revision(StorageSettings(path=tmp_path / "none.sqlite")) is None


async def test_a_backup_under_load_is_a_store_of_one_moment(
    store: SQLiteStore, settings: StorageSettings, tmp_path: Path
) -> None:
    """Commits go on meanwhile; the copy opens, holds a prefix of the log, and can be written."""
    await asyncio.gather(*[store.transact(lambda tx: tx.append_event(record(body=b"x" * 2000))) for _ in range(500)])
    target = tmp_path / "copy.sqlite"
    steps: list[tuple[int, int]] = []

    copying = asyncio.ensure_future(
        asyncio.to_thread(admin.backup, settings, target, progress=lambda done, total: steps.append((done, total)))
    )
    while not copying.done():
        await store.transact(add_account)
    await copying

    assert steps[-1][0] == steps[-1][1] > 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    copy = await open_store(StorageSettings(path=target), clock=SystemClock())
    assert await seqs(copy) == list(range(1, 501))  # type: ignore[arg-type]
    assert await copy.transact(lambda tx: tx.append_event(record())) == 501
    await copy.close()


def test_a_backup_never_overwrites(settings: StorageSettings, tmp_path: Path) -> None:
    target = tmp_path / "copy.sqlite"
    target.write_bytes(b"precious")

    with pytest.raises(FileExistsError):
        admin.backup(settings, target)
    with pytest.raises(FileNotFoundError):
        admin.backup(StorageSettings(path=tmp_path / "none.sqlite"), tmp_path / "other.sqlite")

    assert target.read_bytes() == b"precious"
    assert not (tmp_path / "other.sqlite").exists()
