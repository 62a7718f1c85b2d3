"""What is proved for a domain, and what that proves for the names below it (RFC 9444)."""

import pytest

from acme_ra.core.problems import RejectedIdentifier
from acme_ra.registration.orders import NewOrder
from tests.support.ra import POLICIES, RA


async def test_a_web_server_at_a_name_gives_nothing_below_it(ra: RA) -> None:
    """Whoever serves HTTP for a parent domain cannot order somebody else's name under it."""
    shop = await ra.requester("shop")

    order = await ra.orders.create(
        shop,
        NewOrder(
            identifiers=(("dns", "victim.apps.example.test"),),
            ancestors={"victim.apps.example.test": "apps.example.test"},
        ),
    )

    authorization = await ra.authorizations.fetch(shop, order.authorizations[0])
    assert [challenge.type for challenge in authorization.challenges] == ["dns-01"]


async def test_a_proof_for_one_name_is_not_widened_by_asking_again(ra: RA) -> None:
    """Proved once for the name alone; asked again with subdomains, it must be proved again, by the zone."""
    shop = await ra.requester("shop")
    first, _ = await ra.authorizations.create(
        shop, identifier_type="dns", identifier_value="apps.example.test", subdomains=False
    )
    await ra.authorizations.respond(shop, first.resource_id, "http-01")

    widened, created = await ra.authorizations.create(
        shop, identifier_type="dns", identifier_value="apps.example.test", subdomains=True
    )

    assert created
    assert widened.status == "pending"
    assert (await ra.order(shop, "victim.apps.example.test")).status == "pending"


async def test_subdomains_are_refused_where_policy_accepts_no_dns_challenge(ra: RA) -> None:
    ra.change_policy(POLICIES.replace("[http-01, dns-01]", "[http-01]"))
    shop = await ra.requester("shop")

    with pytest.raises(RejectedIdentifier, match="dns-01"):
        await ra.authorizations.create(
            shop, identifier_type="dns", identifier_value="apps.example.test", subdomains=True
        )

    assert (await ra.kinds())[-1] == "order.refused"
