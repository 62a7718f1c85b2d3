"""Nothing proves anything for somebody else (THREATS: authorizations reused across accounts and namespaces)."""

import pytest

from acme_ra.core.credential_seal import CredentialRights, seal_credential
from acme_ra.core.problems import Unauthorized
from tests.support.ra import POLICIES, RA


async def _pre_authorize(ra: RA, requester: object, name: str) -> str:
    authorization, _ = await ra.authorizations.create(
        requester,
        identifier_type="dns",
        identifier_value=name,
        subdomains=False,  # type: ignore[arg-type]
    )
    await ra.authorizations.respond(requester, authorization.resource_id, "http-01")  # type: ignore[arg-type]
    return authorization.resource_id


async def test_one_accounts_proof_never_serves_another(ra: RA) -> None:
    """Two accounts of the same credential and namespace: each proves for itself."""
    kid_holder = await ra.requester("shop")
    assert kid_holder.credential is not None
    other = await ra.register(kid_holder.credential.kid)
    await _pre_authorize(ra, kid_holder, "a.example.test")

    order = await ra.order(other, "a.example.test")

    assert order.status == "pending"


async def test_a_valid_order_proves_nothing_for_the_next(ra: RA) -> None:
    """An order's own authorizations are not reused, even by the same account."""
    shop = await ra.requester("shop")
    await ra.finalize(shop, await ra.ready_order(shop, "a.example.test"))

    assert (await ra.order(shop, "a.example.test")).status == "pending"


async def test_a_rotated_credential_starts_over(ra: RA) -> None:
    """After rotation neither a pre-authorization nor a ready order of the old generation serves."""
    shop = await ra.requester("shop")
    assert shop.credential is not None
    kid = shop.credential.kid
    await _pre_authorize(ra, shop, "a.example.test")
    ready = await ra.ready_order(shop, "b.example.test")
    sealed = seal_credential(ra.sealer, b"n" * 32, CredentialRights.of(shop.credential))

    await ra.store.transact(lambda tx: tx.rotate_credential(kid, sealed_secret=sealed, now=ra.clock.now()))

    rotated = await ra.accounts.authenticate(shop.directory, shop.account.resource_id)
    assert (await ra.order(rotated, "a.example.test")).status == "pending"
    with pytest.raises(Unauthorized):
        await ra.finalize(rotated, ready)


async def test_a_changed_policy_starts_over(ra: RA) -> None:
    shop = await ra.requester("shop")
    await _pre_authorize(ra, shop, "a.example.test")

    ra.change_policy(POLICIES.replace("192.0.2.0/24", "198.51.100.0/24"))

    assert (await ra.order(shop, "a.example.test")).status == "pending"


async def test_another_directory_starts_over(ra: RA) -> None:
    shop = await ra.requester("shop")
    await _pre_authorize(ra, shop, "a.example.test")
    assert shop.credential is not None
    elsewhere = await ra.register(shop.credential.kid, directory="open")

    assert (await ra.order(elsewhere, "a.example.test")).status == "pending"


async def test_a_namespace_taken_from_the_binding_is_taken_at_finalize(ra: RA, rebind: object) -> None:
    """The credential loses the namespace between newOrder and finalize: the order is not finalized."""
    shop = await ra.requester("shop")
    assert shop.credential is not None
    ready = await ra.ready_order(shop, "web.shop.svc")

    rebind(shop.credential.kid, "pay")  # type: ignore[operator]

    again = await ra.accounts.authenticate(shop.directory, shop.account.resource_id)
    with pytest.raises(Unauthorized, match="shop"):
        await ra.finalize(again, ready)
    assert ra.authority.calls == []
