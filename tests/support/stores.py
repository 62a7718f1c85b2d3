"""A real store in a temporary directory, for in-process tests."""

import asyncio
from pathlib import Path

from acme_ra.config.secrets import read_key_file
from acme_ra.core.clock import Clock, SystemClock
from acme_ra.core.credential_seal import open_credential
from acme_ra.core.sealing import Sealer
from acme_ra.storage.admin import upgrade
from acme_ra.storage.contract import Store
from acme_ra.storage.settings import StorageSettings
from acme_ra.storage.store import open_store


async def open_test_store(path: Path, clock: Clock) -> Store:
    settings = StorageSettings(path=path / "acme-ra.sqlite", busy_timeout=60_000)
    upgrade(settings)
    return await open_store(settings, clock=clock)


def stored_secret(database: Path, key_file: Path, kid: str) -> bytes:
    """A credential's secret, as registration opens it."""

    async def read() -> bytes:
        store = await open_store(StorageSettings(path=database, busy_timeout=60_000), clock=SystemClock())
        try:
            credential = await store.credential(kid)
        finally:
            await store.close()
        assert credential is not None
        return open_credential(Sealer(read_key_file(key_file)), credential)

    return asyncio.run(read())
