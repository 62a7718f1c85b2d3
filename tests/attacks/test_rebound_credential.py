"""Who can write the database, but has no master key, gives a credential more than it was made for."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from acme_ra.cli import credentials
from acme_ra.core.clock import DAY
from acme_ra.core.problems import ServiceUnavailable
from acme_ra.core.sealing import SealBroken, Sealer
from acme_ra.registration.accounts import Requester
from tests.support.ra import RA

Edit = Callable[..., None]

REBOUND = {
    "another namespace": ("binding", '{"cluster":"prod","namespaces":["pay"]}'),
    "one more namespace": ("binding", '{"cluster":"prod","namespaces":["shop","pay"]}'),
    "every namespace by a glob": ("binding", '{"cluster":"prod","namespaces":["*"]}'),
    "another cluster": ("binding", '{"cluster":"other","namespaces":["shop"]}'),
    "a label": ("binding", '{"cluster":"prod","namespaces":["shop"],"labels":{"team":"pay"}}'),
    "other directories": ("binding", '{"cluster":"prod","namespaces":["shop"],"directories":["open"]}'),
    "nothing": ("binding", "{}"),
    "another name": ("name", "pay"),
    "a longer life": ("expires_at", 2_000_000_000_000),
    "more accounts": ("max_uses", 1000),
}


@pytest.fixture
def edit(tmp_path: Path) -> Edit:
    """As with the sqlite3 shell."""

    def change(kid: str, **columns: object) -> None:
        with closing(sqlite3.connect(tmp_path / "acme-ra.sqlite", timeout=60)) as connection, connection:
            for column, value in columns.items():
                statement = f"UPDATE credentials SET {column} = ? WHERE kid = ?"
                assert connection.execute(statement, (value, kid)).rowcount == 1

    return change


def kid_of(requester: Requester) -> str:
    assert requester.credential is not None
    return requester.credential.kid


async def again(ra: RA, requester: Requester) -> Requester:
    """The account's next request."""
    return await ra.accounts.authenticate(requester.directory, requester.account.resource_id)


@pytest.mark.parametrize("what", REBOUND)
async def test_a_rebound_credential_speaks_for_nobody(ra: RA, edit: Edit, what: str) -> None:
    """Neither its account nor a new one gets anything, also when it was used a moment before; others go on."""
    thief, neighbour = await ra.requester("shop", max_uses=5), await ra.requester("shop")
    assert (await again(ra, thief)).credential is not None
    column, value = REBOUND[what]

    edit(kid_of(thief), **{column: value})

    with pytest.raises(ServiceUnavailable, match="tell the operators"):
        await again(ra, thief)
    with pytest.raises(ServiceUnavailable):
        await ra.register(kid_of(thief))
    order = await ra.ready_order(await again(ra, neighbour), "web.shop.svc")
    assert (await ra.finalize(neighbour, order)).status == "valid"


async def test_another_credentials_secret_does_not_help(ra: RA, edit: Edit) -> None:
    """Sealed bytes moved from one row to the other open in neither."""
    shop, pay = await ra.requester("shop"), await ra.requester("pay")
    assert pay.credential is not None

    edit(kid_of(shop), sealed_secret=pay.credential.sealed_secret, binding='{"cluster":"prod","namespaces":["pay"]}')

    with pytest.raises(ServiceUnavailable):
        await again(ra, shop)


async def test_what_was_changed_back_is_good_again(ra: RA, edit: Edit) -> None:
    """The seal is about what is there, so repairing the row is all that is needed."""
    shop = await ra.requester("shop")
    edit(kid_of(shop), binding='{"cluster":"prod","namespaces":["pay"]}')
    with pytest.raises(ServiceUnavailable):
        await again(ra, shop)

    edit(kid_of(shop), binding='{"namespaces":["shop"],"cluster":"prod"}')

    assert (await again(ra, shop)).credential is not None


async def test_rotation_does_not_launder_a_change(ra: RA, edit: Edit) -> None:
    """An operator who is told of a broken credential and rotates it would otherwise seal the thief's binding."""
    shop = await ra.requester("shop")
    edit(kid_of(shop), binding='{"cluster":"prod","namespaces":["pay"]}')
    changed = await ra.store.credential(kid_of(shop))
    assert changed is not None

    with pytest.raises(SealBroken):
        await credentials.rotate(ra.store, ra.sealer, ra.clock, changed)

    assert await ra.store.credential(kid_of(shop)) == changed


async def test_a_credential_keeps_its_rights_when_it_is_rotated(ra: RA) -> None:
    new = credentials.NewCredential("web", (await ra.requester("shop")).credential.binding, ra.clock.now() + DAY, 2)
    made = await credentials.create(ra.store, ra.sealer, ra.clock, new)
    before = await ra.store.credential(made.kid)
    assert before is not None

    rotated = await credentials.rotate(ra.store, ra.sealer, ra.clock, before)

    assert rotated.hmac_key != made.hmac_key
    assert (await ra.register(made.kid)).credential is not None


async def test_another_master_key_opens_nothing(ra: RA) -> None:
    """The server says 503 and does not take the database's word for it."""
    shop = await ra.requester("shop")
    ra.accounts = type(ra.accounts)(store=ra.store, clock=ra.clock, sealer=Sealer(b"x" * 32))

    with pytest.raises(ServiceUnavailable):
        await again(ra, shop)
