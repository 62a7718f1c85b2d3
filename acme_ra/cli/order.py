"""`acme-ra order`: orders (RFC 8555 §7.1.3)."""

from typing import TYPE_CHECKING, Any

import click

from acme_ra.cli.frame import Exit, LazyGroup, fail, global_options, print_fields, print_json, print_table, session
from acme_ra.cli.order_approval import check_alone, fields, list_waiting, shown
from acme_ra.cli.storing import moment, paged, reported, row_of, stamp, tell_more
from acme_ra.core.objects import Order, OrderApproval
from acme_ra.core.status import OrderStatus

if TYPE_CHECKING:
    from acme_ra.storage.reports import Reports

_COMMANDS = {
    "list": ("acme_ra.cli.order:list_orders", "List orders."),
    "show": ("acme_ra.cli.order:show", "Show one order, its workload, whom it waits for, and its error."),
    "approve": ("acme_ra.cli.order_approval:approve", "Approve an order that waits for a group of yours."),
    "reject": ("acme_ra.cli.order_approval:reject", "Reject an order that waits for a group of yours, for good."),
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
@click.option("--waiting", is_flag=True, help="Those that wait for somebody's approval.")
def list_orders(limit: int, after: int, status: str | None, account: str | None, *, waiting: bool) -> None:
    """List orders, the oldest first."""
    if waiting:
        check_alone(status, account)
        list_waiting(limit, after)
        return
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
    one, approvals = reported(session().configuration(), lambda reports: _with_approvals(reports, row))
    if one is None:
        fail(f"there is no order {order_id!r}; see `acme-ra order list`", Exit.NOT_FOUND)
    if session().json:
        print_json({**as_object(one), "approvals": shown(approvals)})
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
            *fields(approvals),
            ("certificate", one.certificate),
            ("error", "" if one.error is None else f"{one.error.token}: {one.error.detail}"),
        ]
    )
    click.echo(f"What was decided: acme-ra audit list --order {one.id}", err=True)


async def _with_approvals(reports: "Reports", row: int) -> tuple[Order | None, tuple[OrderApproval, ...]]:
    return await reports.order(row), await reports.approvals(row)


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
