"""`acme-ra order`: orders (RFC 8555 §7.1.3)."""

from typing import Any

import click

from acme_ra.cli.frame import Exit, LazyGroup, fail, global_options, print_fields, print_json, print_table, session
from acme_ra.cli.storing import moment, paged, reported, row_of, stamp, tell_more
from acme_ra.core.objects import Order
from acme_ra.core.status import OrderStatus

_COMMANDS = {
    "list": ("acme_ra.cli.order:list_orders", "List orders."),
    "show": ("acme_ra.cli.order:show", "Show one order, its workload and its error."),
}


@click.group(cls=LazyGroup, commands_in=_COMMANDS)
@global_options
def order() -> None:
    """Orders."""


@click.command("list")
@global_options
@paged
@click.option("--status", type=click.Choice([one.value for one in OrderStatus]))
@click.option("--account", help="Of this account: its id or URL.")
def list_orders(limit: int, after: int, status: str | None, account: str | None) -> None:
    """List orders, the oldest first."""
    wanted = None if status is None else OrderStatus(status)
    account_id = None if account is None else row_of(account)
    found = reported(
        session().configuration(),
        lambda reports: reports.orders(after, limit, status=wanted, account_id=account_id),
    )
    if session().json:
        print_json([as_object(one) for one in found])
        return
    rows = [(one.id, one.status, one.account_id, _namespace(one), moment(one.created_at), _names(one)) for one in found]
    print_table(("ID", "STATUS", "ACCOUNT", "NAMESPACE", "CREATED", "NAMES"), rows, empty="no orders")
    tell_more(found[-1].id if found else None, len(found), limit)


@click.command()
@global_options
@click.argument("order_id", metavar="ORDER")
def show(order_id: str) -> None:
    """Show one order: by its id, or by its URL."""
    row = row_of(order_id)
    one = reported(session().configuration(), lambda reports: reports.order(row))
    if one is None:
        fail(f"there is no order {order_id!r}; see `acme-ra order list`", Exit.NOT_FOUND)
    if session().json:
        print_json(as_object(one))
        return
    workload = one.workload
    print_fields(
        [
            ("id", one.id),
            ("status", one.status),
            ("directory", one.directory),
            ("account", one.account_id),
            ("names", _names(one)),
            ("profile", one.profile),
            ("cluster", "" if workload is None else workload.cluster),
            ("namespace", _namespace(one)),
            ("attributed by", "" if workload is None else workload.source),
            ("replaces", one.replaces),
            ("created", moment(one.created_at)),
            ("expires", moment(one.expires_at)),
            ("certificate", one.certificate),
            ("error", "" if one.error is None else f"{one.error.token}: {one.error.detail}"),
        ]
    )
    click.echo(f"What was decided: acme-ra audit list --order {one.id}", err=True)


def _names(one: Order) -> str:
    return ", ".join(identifier.value for identifier in one.identifiers)


def _namespace(one: Order) -> str:
    return "" if one.workload is None else one.workload.namespace


def as_object(one: Order) -> dict[str, Any]:
    """An order for JSON."""
    return {
        "id": one.id,
        "resource_id": one.resource_id,
        "status": one.status,
        "directory": one.directory,
        "account": one.account_id,
        "names": [identifier.value for identifier in one.identifiers],
        "namespace": _namespace(one),
        "profile": one.profile,
        "created_at": stamp(one.created_at),
        "expires_at": stamp(one.expires_at),
        "certificate": one.certificate or None,
        "error": None if one.error is None else {"type": one.error.token, "detail": one.error.detail},
    }
