"""Accounts and external account credentials."""

import asyncio
import secrets

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from acme_ra.core.clock import DAY
from acme_ra.core.credential_seal import CredentialRights, seal_credential
from acme_ra.core.objects import Binding, Order
from acme_ra.core.problems import (
    AccountDoesNotExist,
    Conflict,
    ExternalAccountRequired,
    InvalidContact,
    Unauthorized,
    UnsupportedContact,
)
from acme_ra.issuance.contract import AuthorityUnavailable
from tests.support.keys import account_key_of
from tests.support.ra import RA


async def credential(ra: RA, *, max_uses: int | None = 1, expires_in: int | None = None, binding: Binding) -> str:
    kid = secrets.token_hex(8)
    now = ra.clock.now()
    expires_at = None if expires_in is None else now + expires_in
    sealed = seal_credential(ra.sealer, b"k" * 32, CredentialRights(kid, "test", binding, expires_at, max_uses))
    await ra.store.transact(
        lambda tx: tx.insert_credential(
            kid=kid,
            name="test",
            binding=msgspec.json.encode(binding),
            sealed_secret=sealed,
            now=now,
            expires_at=expires_at,
            max_uses=max_uses,
        )
    )
    return kid


async def test_a_directory_may_demand_a_credential(ra: RA) -> None:
    with pytest.raises(ExternalAccountRequired):
        await ra.accounts.register(
            ra.directories["default"], _key(), contacts=(), terms_agreed=True, credential=None, eab=None
        )


async def test_a_directory_may_do_without(ra: RA) -> None:
    account, created = await ra.accounts.register(
        ra.directories["open"], _key(), contacts=("mailto:a@b.test",), terms_agreed=True, credential=None, eab=None
    )
    assert created
    assert account.contacts == ("mailto:a@b.test",)


async def test_an_account_belongs_to_its_directory(ra: RA) -> None:
    shop = await ra.requester("shop")
    with pytest.raises(AccountDoesNotExist):
        await ra.accounts.authenticate(ra.directories["open"], shop.account.resource_id)
    assert await ra.accounts.find(ra.directories["open"], shop.account.thumbprint) is None


async def test_a_single_use_credential_makes_one_account_even_when_raced(ra: RA) -> None:
    """Twenty registrations at once with one single-use credential: one account."""
    kid = await credential(ra, binding=Binding(namespaces=("shop",)))

    results = await asyncio.gather(*(ra.register(kid) for _ in range(20)), return_exceptions=True)

    assert sum(not isinstance(result, BaseException) for result in results) == 1
    assert all(isinstance(result, Unauthorized) for result in results if isinstance(result, BaseException))


async def test_the_same_key_registers_once_even_when_raced(ra: RA) -> None:
    kid = await credential(ra, max_uses=None, binding=Binding(namespaces=("shop",)))
    where, key = ra.directories["default"], _key()
    held, _ = await ra.accounts.eab_secret(where, kid)

    results = await asyncio.gather(
        *(
            ra.accounts.register(where, key, contacts=(), terms_agreed=True, credential=held, eab=b"{}")
            for _ in range(20)
        )
    )

    assert len({account.id for account, _ in results}) == 1
    assert sum(created for _, created in results) == 1
    again = await ra.store.credential(kid)
    assert again is not None
    assert again.uses == 1


async def test_an_expired_credential_is_refused_and_recorded(ra: RA) -> None:
    kid = await credential(ra, expires_in=DAY, binding=Binding(namespaces=("shop",)))
    ra.clock.advance(2 * DAY)

    with pytest.raises(Unauthorized, match="expired"):
        await ra.register(kid)

    assert (await ra.kinds())[-1] == "account.refused"


async def test_a_credential_is_for_its_directories(ra: RA) -> None:
    kid = await credential(ra, binding=Binding(namespaces=("shop",), directories=("open",)))
    with pytest.raises(Unauthorized, match="directory"):
        await ra.register(kid)


async def test_an_unknown_credential_is_told_like_a_wrong_mac(ra: RA) -> None:
    with pytest.raises(Unauthorized, match="unknown, or its MAC does not match"):
        await ra.accounts.eab_secret(ra.directories["default"], "nobody")


async def test_disabling_a_credential_ends_its_accounts_at_once(ra: RA) -> None:
    """THREATS: a thief with a stolen EAB key."""
    kid = await credential(ra, binding=Binding(namespaces=("shop",)))
    shop = await ra.register(kid)

    await ra.store.transact(lambda tx: tx.disable_credential(kid, now=ra.clock.now()))

    with pytest.raises(Unauthorized, match="disabled"):
        await ra.accounts.authenticate(shop.directory, shop.account.resource_id)


async def test_a_deactivated_account_is_over_and_its_key_too(ra: RA) -> None:
    shop = await ra.requester("shop")
    await ra.accounts.deactivate(shop)

    with pytest.raises(Unauthorized):
        await ra.accounts.authenticate(shop.directory, shop.account.resource_id)


async def test_deactivation_cancels_what_is_not_being_signed(ra: RA) -> None:
    """RFC 8555 §7.3.6: pending and ready orders end with their event, however many; what was issued stays."""
    shop, other = await ra.requester("shop"), await ra.requester("shop")
    done = await ra.finalize(shop, await ra.ready_order(shop, "web.shop.svc"))
    ra.authority.failures.append(AuthorityUnavailable("away"))
    signing = await ra.finalize(shop, await ra.ready_order(shop, "api.shop.svc"))
    ready = await ra.ready_order(shop, "db.shop.svc")
    pending = [await ra.order(shop, "a.example.test") for _ in range(101)]
    others = await ra.ready_order(other, "web.shop.svc")

    await ra.accounts.deactivate(shop)

    async def status(order: Order) -> str:
        found = await ra.store.order(order.id)
        assert found is not None
        return found.status

    assert {await status(one) for one in (ready, *pending)} == {"invalid"}
    assert [await status(one) for one in (done, signing, others)] == ["valid", "processing", "ready"]
    kinds = await ra.kinds()
    assert kinds.count("account.deactivated") == 1
    assert kinds.count("order.invalid") == 102


async def test_a_key_change_moves_the_account_to_the_new_key(ra: RA) -> None:
    shop = await ra.requester("shop")
    old, new = shop.account.thumbprint, _key()

    await ra.accounts.change_key(shop, new)

    assert await ra.accounts.find(shop.directory, old) is None
    found = await ra.accounts.find(shop.directory, new.thumbprint)
    assert found is not None
    assert found.id == shop.account.id


async def test_a_key_of_another_account_is_a_conflict_that_names_it(ra: RA) -> None:
    shop, other = await ra.requester("shop"), await ra.requester("shop")
    taken = account_key_of(ec.generate_private_key(ec.SECP256R1()))
    await ra.accounts.change_key(other, taken)

    with pytest.raises(Conflict) as caught:
        await ra.accounts.change_key(shop, taken)

    assert caught.value.account == other.account.resource_id


@pytest.mark.parametrize(
    ("contact", "problem"),
    [
        ("tel:+123", UnsupportedContact),
        ("a@b.test", UnsupportedContact),
        ("mailto:", InvalidContact),
        ("mailto:a", InvalidContact),
        ("mailto:a@b.test,c@d.test", InvalidContact),
        ("mailto:a@b.test?subject=x", InvalidContact),
        ("mailto:a@b.test\r\nBcc: x", InvalidContact),
    ],
)
async def test_a_contact_is_one_plain_mail_address(ra: RA, contact: str, problem: type[Exception]) -> None:
    shop = await ra.requester("shop")
    with pytest.raises(problem):
        await ra.accounts.update_contacts(shop, (contact,))


def _key():  # type: ignore[no-untyped-def]
    return account_key_of(ec.generate_private_key(ec.SECP256R1()))
