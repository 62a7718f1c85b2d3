"""Accounts: newAccount, update, deactivation, the list of orders (RFC 8555 §7.3, §7.1.2.1)."""

from typing import Any

import msgspec
import orjson

from acme_ra.acme.eab import verify_binding
from acme_ra.acme.http.answer import Answer
from acme_ra.acme.problems import AccountNotUsable
from acme_ra.acme.rendering import render_account
from acme_ra.acme.signed import SignedRequest
from acme_ra.acme.site import Site, link
from acme_ra.core.objects import Account, Credential
from acme_ra.core.problems import AccountDoesNotExist, Malformed, Unauthorized
from acme_ra.core.status import AccountStatus


class NewAccount(msgspec.Struct, frozen=True, rename="camel"):
    """The payload of newAccount (RFC 8555 §7.3)."""

    contact: tuple[str, ...] | None = None
    terms_of_service_agreed: bool | None = None
    only_return_existing: bool | None = None
    external_account_binding: dict[str, Any] | None = None


class AccountUpdate(msgspec.Struct, frozen=True):
    """What an account may change (RFC 8555 §7.3.2, §7.3.6)."""

    contact: tuple[str, ...] | None = None
    status: str | None = None


def account_answer(site: Site, account: Account, *, status: int = 200) -> Answer:
    """An account object with its URL in Location, which every client takes from here."""
    location = site.urls.account(site.name, account.resource_id)
    return site.answer(render_account(site.urls, account), status=status, location=location)


async def new_account(signed: SignedRequest) -> Answer:
    """Find the key's account (200) or make it (201)."""
    site, payload = signed.site, signed.read(NewAccount)
    accounts = site.registration.accounts
    existing = await accounts.find(site.directory, signed.key.thumbprint)
    if existing is not None:
        # Nothing is updated, and an external account binding that comes along is not looked at (RFC 8555 §7.3.1).
        if existing.status != AccountStatus.VALID:
            raise AccountNotUsable(f"the account of this key is {existing.status}; register with another key")
        return account_answer(site, existing)
    if payload.only_return_existing:
        raise AccountDoesNotExist("no account has this key here; register one without onlyReturnExisting")
    signed.key.check_strength()
    credential: Credential | None = None
    binding: bytes | None = None
    if payload.external_account_binding is not None:
        credential, binding = await verify_binding(
            payload.external_account_binding,
            accounts=accounts,
            directory=site.directory,
            key=signed.key,
            url=site.urls.new_account(site.name),
        )
    account, created = await accounts.register(
        site.directory,
        signed.key.account_key,
        contacts=payload.contact or (),
        terms_agreed=bool(payload.terms_of_service_agreed),
        credential=credential,
        eab=binding,
    )
    return account_answer(site, account, status=201 if created else 200)


async def account(signed: SignedRequest) -> Answer:
    """Fetch, update or deactivate the account that signs."""
    site, requester, accounts = signed.site, signed.account, signed.site.registration.accounts
    _check_own(signed)
    if not signed.payload:
        return account_answer(site, requester.account)
    update = signed.read(AccountUpdate)
    if update.status == AccountStatus.DEACTIVATED:
        return account_answer(site, await accounts.deactivate(requester))
    # Any other status is ignored, and the rest of the update is not (RFC 8555 §7.3.2).
    if update.contact is None:
        return account_answer(site, requester.account)
    return account_answer(site, await accounts.update_contacts(requester, update.contact))


async def account_orders(signed: SignedRequest) -> Answer:
    """One page of the account's orders, with `Link: rel="next"` while there are more."""
    site, requester = signed.site, signed.account
    _check_own(signed)
    signed.expect_post_as_get()
    page = await site.registration.accounts.orders(requester, after=_cursor(signed))
    urls = [site.urls.order(site.name, f"{row.id}.{row.secret}") for row in page.rows]
    links: tuple[str, ...] = ()
    if page.next_after is not None:
        links = (link(site.urls.orders(site.name, requester.account.resource_id, after=page.next_after), "next"),)
    return site.answer(orjson.dumps({"orders": urls}), links=links)


def _check_own(signed: SignedRequest) -> None:
    if signed.parameters["account"] != signed.account.account.resource_id:
        raise Unauthorized("this is not the URL of the account that signed; an account may only see itself")


def _cursor(signed: SignedRequest) -> int:
    text = signed.query.get("cursor", "0")
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Malformed("the cursor is not one of ours; follow the Link with rel=next of the page before")
    return int(text)
