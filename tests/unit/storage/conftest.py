"""A migrated, empty store for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from acme_ra.core.clock import SystemClock
from acme_ra.storage.admin import upgrade
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.store import SQLiteStore, open_store


@pytest.fixture
def settings(tmp_path: Path) -> StorageSettings:
    made = StorageSettings(path=tmp_path / "acme-ra.sqlite", busy_timeout=60_000)
    upgrade(made)
    return made


@pytest.fixture
async def impatient(settings: StorageSettings) -> AsyncIterator[SQLiteStore]:
    """A store that waits for nobody for longer than a moment."""
    opened = await open_store(settings.model_copy(update={"busy_timeout": 200}), clock=SystemClock())
    assert isinstance(opened, SQLiteStore)
    yield opened
    await opened.close()


@pytest.fixture
async def store(settings: StorageSettings) -> AsyncIterator[SQLiteStore]:
    opened = await open_store(settings, clock=SystemClock())
    assert isinstance(opened, SQLiteStore)
    yield opened
    await opened.close()
