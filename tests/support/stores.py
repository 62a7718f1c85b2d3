"""A real store in a temporary directory, for in-process tests."""

from pathlib import Path

from acme_ra.core.clock import Clock
from acme_ra.storage.admin import upgrade
from acme_ra.storage.contract import Store
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.store import open_store


async def open_test_store(path: Path, clock: Clock) -> Store:
    settings = StorageSettings(path=path / "acme-ra.sqlite", busy_timeout=60_000)
    upgrade(settings)
    return await open_store(settings, clock=clock)
