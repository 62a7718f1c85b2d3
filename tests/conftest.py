"""Fixtures that more than one folder of tests uses: a registration authority in process."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings

from acme_ra.attribution.contract import AttributionSource
from acme_ra.core.credential_seal import CredentialRights, seal_credential
from acme_ra.core.objects import Binding
from acme_ra.core.sealing import Sealer
from tests.support.ra import MASTER_KEY, RA, FakeClock, FakeSource, make_ra
from tests.support.stores import open_test_store

NOW = 1_800_000_000_000

# The same examples each time, whatever the machine's load and whatever an earlier run left behind. `explore` is for
# people who look for new ones: pytest --hypothesis-profile explore.
settings.register_profile(
    "repeatable", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")


@pytest.fixture
async def ra(tmp_path: Path) -> AsyncIterator[RA]:
    async for made in _ra(tmp_path):
        yield made


@pytest.fixture
async def caa_ra(tmp_path: Path) -> AsyncIterator[RA]:
    """One whose default directory looks CAA up."""
    async for made in _ra(tmp_path, caa="on"):
        yield made


@pytest.fixture
async def late(tmp_path: Path) -> AsyncIterator[tuple[RA, FakeSource]]:
    """One whose workloads become known at the first authorization fetch, as a cluster's do."""
    source = FakeSource()
    async for made in _ra(tmp_path, source=source):
        yield made, source


@pytest.fixture
def rebind(tmp_path: Path) -> Callable[[str, str], None]:
    """Change a credential's binding behind the server's back, as who has the database and its master key could."""

    def change(kid: str, namespace: str) -> None:
        binding = Binding(cluster="prod", namespaces=(namespace,))
        rights = CredentialRights(kid, kid, binding, None, None)
        sealed = seal_credential(Sealer(MASTER_KEY), b"k" * 32, rights)
        values = (msgspec.json.encode(binding).decode(), sealed, kid)
        _edit(tmp_path, "UPDATE credentials SET binding = ?, sealed_secret = ? WHERE kid = ?", values)

    return change


@pytest.fixture
def tampered_orders(tmp_path: Path) -> Callable[[int], None]:
    """Change a character in an order's sealed approval."""

    def change(order_id: int) -> None:
        with sqlite3.connect(tmp_path / "acme-ra.sqlite") as connection:
            (sealed,) = connection.execute("SELECT approval FROM orders WHERE id = ?", (order_id,)).fetchone()
        connection.close()
        middle = len(sealed) // 2
        edited = sealed[:middle] + bytes([sealed[middle] ^ 1]) + sealed[middle + 1 :]
        _edit(tmp_path, "UPDATE orders SET approval = ? WHERE id = ?", (edited, order_id))

    return change


def _edit(path: Path, statement: str, values: tuple[object, ...]) -> None:
    connection = sqlite3.connect(path / "acme-ra.sqlite", timeout=60)
    with connection:
        assert connection.execute(statement, values).rowcount == 1
    connection.close()


async def _ra(path: Path, *, source: AttributionSource | None = None, caa: str = "off") -> AsyncIterator[RA]:
    clock = FakeClock(NOW)
    store = await open_test_store(path, clock)
    try:
        made = await make_ra(path, store, clock, source=source, caa=caa)
        yield made
        await made.validations.close()
        await made.issuance.close()
    finally:
        await store.close()
