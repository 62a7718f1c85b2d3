"""An account makes a limited number of orders and authorizations, however many requests come at one moment."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from acme_ra.core.objects import Authorization, Order
from acme_ra.core.problems import RateLimited
from acme_ra.registration.accounts import Requester
from tests.support.ra import RA, FakeClock, make_ra
from tests.support.stores import open_test_store

LIMIT = 3


@pytest.fixture
async def limited(tmp_path: Path) -> AsyncIterator[RA]:
    clock = FakeClock(1_800_000_000_000)
    store = await open_test_store(tmp_path, clock)
    made = await make_ra(tmp_path, store, clock, pending_orders_per_account=LIMIT, own_authorizations_per_account=LIMIT)
    yield made
    await made.validations.close()
    await made.issuance.close()
    await store.close()


async def authorize(ra: RA, who: Requester, name: str) -> Authorization:
    made, _ = await ra.authorizations.create(who, identifier_type="dns", identifier_value=name, subdomains=False)
    return made


async def test_orders_of_one_moment_do_not_pass_the_limit_together(limited: RA) -> None:
    """Counted in the transaction that makes them; the rest is throttling, which a client may try again."""
    shop, other = await limited.requester("shop"), await limited.requester("shop")

    answers = await asyncio.gather(
        *(limited.order(shop, f"n{number}.example.test") for number in range(5 * LIMIT)), return_exceptions=True
    )

    made = [one for one in answers if isinstance(one, Order)]
    assert len(made) == LIMIT
    assert all(isinstance(one, RateLimited) for one in answers if one not in made)
    assert (await limited.order(other, "a.example.test")).status == "pending"
    await limited.authorizations.deactivate(shop, made[0].authorizations[0])
    assert (await limited.order(shop, "again.example.test")).status == "pending"


async def test_authorizations_of_one_moment_do_not_pass_the_limit_together(limited: RA) -> None:
    """Those of orders do not count, and one that ended makes room."""
    shop = await limited.requester("shop")
    await limited.order(shop, "of-an-order.example.test")

    answers = await asyncio.gather(
        *(authorize(limited, shop, f"n{number}.example.test") for number in range(5 * LIMIT)), return_exceptions=True
    )

    made = [one for one in answers if isinstance(one, Authorization)]
    assert len(made) == LIMIT
    assert all(isinstance(one, RateLimited) for one in answers if one not in made)
    await limited.authorizations.deactivate(shop, made[0].resource_id)
    await authorize(limited, shop, "again.example.test")


async def test_a_valid_authorization_counts_and_serves(limited: RA) -> None:
    """At the limit, asking again for a name that was proved still gives the authorization that exists."""
    shop = await limited.requester("shop")
    for number in range(LIMIT):
        made = await authorize(limited, shop, f"n{number}.example.test")
        await limited.authorizations.respond(shop, made.resource_id, "http-01")

    assert (await authorize(limited, shop, "n0.example.test")).status == "valid"
    with pytest.raises(RateLimited):
        await authorize(limited, shop, "other.example.test")
