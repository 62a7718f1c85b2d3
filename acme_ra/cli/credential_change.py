"""`acme-ra credential disable|rotate`."""

import asyncio

import click

from acme_ra.cli import credentials
from acme_ra.cli.frame import Exit, fail, global_options, print_fields, print_json, session
from acme_ra.cli.storing import opened
from acme_ra.config import Configuration
from acme_ra.config.secrets import read_key_file
from acme_ra.core.clock import SystemClock
from acme_ra.core.objects import Credential
from acme_ra.core.sealing import Sealer
from acme_ra.storage.contract import Conflict, Store


@click.command()
@global_options
@click.argument("kid")
def disable(kid: str) -> None:
    """Stop a credential for good, and with it every account that was made with it."""
    asyncio.run(_disable(session().configuration(), kid))
    if session().json:
        print_json({"kid": kid, "status": "disabled"})
    else:
        click.echo(f"{kid} is disabled; its accounts are refused from now on")


@click.command()
@global_options
@click.argument("kid")
def rotate(kid: str) -> None:
    """Replace the secret of a credential. Accounts stay; authorizations that were proved before are not used again."""
    secret = asyncio.run(_rotate(session().configuration(), kid))
    if session().json:
        print_json({"kid": secret.kid, "hmac_key": secret.hmac_key})
    else:
        print_fields([("kid", secret.kid), ("hmac key", secret.hmac_key)])
        click.echo("The hmac key is not shown again.", err=True)


async def _disable(configuration: Configuration, kid: str) -> None:
    async with opened(configuration) as store:
        found = await _find(store, kid)
        try:
            await credentials.disable(store, SystemClock(), kid, found.binding)
        except Conflict:
            fail(f"{kid} is disabled already", Exit.REFUSED)


async def _rotate(configuration: Configuration, kid: str) -> credentials.Secret:
    sealer = Sealer(read_key_file(configuration.secrets.key_file))
    async with opened(configuration) as store:
        found = await _find(store, kid)
        try:
            return await credentials.rotate(store, sealer, SystemClock(), found)
        except Conflict:
            fail(f"{kid} is disabled; make another with `acme-ra credential create`", Exit.REFUSED)


async def _find(store: Store, kid: str) -> Credential:
    found = await store.credential(kid)
    if found is None:
        fail(f"there is no credential {kid!r}; see `acme-ra credential list`", Exit.NOT_FOUND)
    return found
