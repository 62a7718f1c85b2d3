"""`acme-ra credential list|show`."""

from typing import Any

import click

from acme_ra.cli.frame import Exit, fail, global_options, print_fields, print_json, print_table, session
from acme_ra.cli.storing import moment, opened, paged, reported, stamp, tell_more
from acme_ra.core.clock import Instant, SystemClock
from acme_ra.core.objects import Credential


@click.command("list")
@global_options
@paged
def list_credentials(limit: int, after: int) -> None:
    """List credentials, the oldest first."""
    now = SystemClock().now()
    found = reported(session().configuration(), lambda reports: reports.credentials(after, limit))
    if session().json:
        print_json([as_object(one, now) for one in found])
        return
    rows = [
        (
            one.kid,
            one.name,
            status(one, now),
            one.binding.cluster,
            ",".join(one.binding.namespaces),
            f"{one.uses}/{one.max_uses or 'any'}",
            moment(one.expires_at) or "never",
        )
        for one in found
    ]
    headings = ("KID", "NAME", "STATUS", "CLUSTER", "NAMESPACES", "ACCOUNTS", "EXPIRES")
    print_table(headings, rows, empty="no credentials; make one with `acme-ra credential create`")
    tell_more(found[-1].id if found else None, len(found), limit)


@click.command()
@global_options
@click.argument("kid")
def show(kid: str) -> None:
    """Show one credential and its use; never its secret."""
    import asyncio

    configuration = session().configuration()

    async def find() -> Credential | None:
        async with opened(configuration) as store:
            return await store.credential(kid)

    one = asyncio.run(find())
    if one is None:
        fail(f"there is no credential {kid!r}; see `acme-ra credential list`", Exit.NOT_FOUND)
    now = SystemClock().now()
    if session().json:
        print_json(as_object(one, now))
        return
    print_fields(
        [
            ("kid", one.kid),
            ("name", one.name),
            ("status", status(one, now)),
            ("cluster", one.binding.cluster),
            ("namespaces", ", ".join(one.binding.namespaces)),
            ("labels", ", ".join(f"{key}={value}" for key, value in one.binding.labels.items())),
            ("directories", ", ".join(one.binding.directories) or "all"),
            ("accounts", f"{one.uses} of {one.max_uses or 'any number'}"),
            ("created", moment(one.created_at)),
            ("expires", moment(one.expires_at) or "never"),
            ("disabled", moment(one.disabled_at)),
            ("generation", one.generation),
        ]
    )


def status(one: Credential, now: Instant) -> str:
    """In one word, what registration would say."""
    if one.disabled_at is not None:
        return "disabled"
    if one.expires_at is not None and one.expires_at <= now:
        return "expired"
    return "used up" if one.max_uses is not None and one.uses >= one.max_uses else "valid"


def as_object(one: Credential, now: Instant) -> dict[str, Any]:
    """A credential for JSON."""
    return {
        "kid": one.kid,
        "name": one.name,
        "status": status(one, now),
        "cluster": one.binding.cluster,
        "namespaces": list(one.binding.namespaces),
        "labels": one.binding.labels,
        "directories": list(one.binding.directories),
        "uses": one.uses,
        "max_uses": one.max_uses,
        "generation": one.generation,
        "created_at": stamp(one.created_at),
        "expires_at": stamp(one.expires_at),
        "disabled_at": stamp(one.disabled_at),
    }
