"""`acme-ra account`: ACME accounts (RFC 8555 §7.1.2)."""

import asyncio
from typing import Any

import click

from acme_ra.cli.frame import Exit, LazyGroup, fail, global_options, print_fields, print_json, print_table, session
from acme_ra.cli.storing import moment, opened, paged, reported, row_of, stamp, tell_more
from acme_ra.config import Configuration
from acme_ra.core.clock import SystemClock
from acme_ra.core.objects import Account, Credential
from acme_ra.core.status import AccountStatus
from acme_ra.storage.contract import Conflict

_COMMANDS = {
    "list": ("acme_ra.cli.account:list_accounts", "List accounts."),
    "show": ("acme_ra.cli.account:show", "Show one account and its credential."),
    "deactivate": ("acme_ra.cli.account:deactivate", "Deactivate an account for good (RFC 8555 §7.3.6)."),
}


@click.group(cls=LazyGroup, commands_in=_COMMANDS)
@global_options
def account() -> None:
    """ACME accounts."""


@click.command("list")
@global_options
@paged
def list_accounts(limit: int, after: int) -> None:
    """List accounts, the oldest first."""
    found = reported(session().configuration(), lambda reports: reports.accounts(after, limit))
    if session().json:
        print_json([as_object(one, None) for one in found])
        return
    rows = [(one.id, one.directory, one.status, moment(one.created_at), ",".join(one.contacts)) for one in found]
    print_table(("ID", "DIRECTORY", "STATUS", "CREATED", "CONTACTS"), rows, empty="no accounts")
    tell_more(found[-1].id if found else None, len(found), limit)


@click.command()
@global_options
@click.argument("account_id", metavar="ACCOUNT")
def show(account_id: str) -> None:
    """Show one account: by its id, or by its URL."""
    one, credential = asyncio.run(_find(session().configuration(), account_id))
    if session().json:
        print_json(as_object(one, credential))
        return
    print_fields(
        [
            ("id", one.id),
            ("directory", one.directory),
            ("status", one.status),
            ("contacts", ", ".join(one.contacts)),
            ("key thumbprint", one.thumbprint),
            ("credential", None if credential is None else f"{credential.kid} ({credential.name})"),
            ("created", moment(one.created_at)),
        ]
    )


@click.command()
@global_options
@click.argument("account_id", metavar="ACCOUNT")
def deactivate(account_id: str) -> None:
    """Deactivate an account for good, and its unfinished orders. What was issued to it stays valid."""
    one = asyncio.run(_deactivate(session().configuration(), account_id))
    if session().json:
        print_json({"id": one.id, "status": AccountStatus.DEACTIVATED})
    else:
        click.echo(f"account {one.id} is deactivated")


async def _find(configuration: Configuration, account_id: str) -> tuple[Account, Credential | None]:
    async with opened(configuration) as store:
        found = await store.account(row_of(account_id))
    if found is None:
        fail(f"there is no account {account_id!r}; see `acme-ra account list`", Exit.NOT_FOUND)
    return found


async def _deactivate(configuration: Configuration, account_id: str) -> Account:
    from acme_ra.registration.accounts import deactivate_account

    one, _ = await _find(configuration, account_id)
    async with opened(configuration) as store:
        try:
            await deactivate_account(store, one, SystemClock().now())
        except Conflict:
            fail(f"account {one.id} is {one.status}, so it cannot be deactivated", Exit.REFUSED)
    return one


def as_object(one: Account, credential: Credential | None) -> dict[str, Any]:
    """An account for JSON."""
    return {
        "id": one.id,
        "resource_id": one.resource_id,
        "directory": one.directory,
        "status": one.status,
        "contacts": list(one.contacts),
        "thumbprint": one.thumbprint,
        "credential_id": one.credential_id,
        "credential": None if credential is None else credential.kid,
        "created_at": stamp(one.created_at),
    }
