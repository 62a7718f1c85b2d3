"""`acme-ra order approve|reject`, and the list of orders that wait for somebody."""

import asyncio
import os
import pwd
from collections.abc import Sequence
from typing import Any

import click

from acme_ra.cli.frame import Exit, fail, global_options, print_json, print_table, safe, session
from acme_ra.cli.storing import moment, opened, reported, row_of, stamp, tell_more
from acme_ra.config import Configuration
from acme_ra.config.secrets import read_key_file
from acme_ra.core.clock import SystemClock
from acme_ra.core.objects import Order, OrderApproval
from acme_ra.core.problems import Malformed
from acme_ra.core.sealing import Sealer
from acme_ra.core.status import ApprovalStatus


def _reason(context: click.Context, parameter: click.Parameter, value: str) -> str:
    from acme_ra.registration.approving import check_reason

    try:
        return check_reason(value)
    except Malformed as error:
        raise click.BadParameter(error.detail, context, parameter) from error


_REASON = click.option("--reason", required=True, callback=_reason, help="Why; the client and the audit log are told.")
_AS = click.option("--as", "name", help="Decide under this name of the setting approvers; the login is recorded too.")


@click.command()
@global_options
@click.argument("order_id", metavar="ORDER")
@_REASON
@_AS
def approve(order_id: str, reason: str, name: str | None) -> None:
    """Approve an order that waits for a group of yours: by its id, or by its URL.

    You must be in the group, and may not be who asked for the certificate.
    """
    decided = asyncio.run(_decide(session().configuration(), row_of(order_id), name, reason, approved=True))
    order, granted, missing = decided
    if session().json:
        told = {"approved": [_as_object(one) for one in granted], "missing": [_as_object(one) for one in missing]}
        print_json({"id": order.id, "status": order.status, **told})
        return
    click.echo(f"order {order.id} is approved for {_groups(granted)}")
    if missing:
        click.echo(f"it still waits for {_groups(missing)}")


@click.command()
@global_options
@click.argument("order_id", metavar="ORDER")
@_REASON
@_AS
def reject(order_id: str, reason: str, name: str | None) -> None:
    """Reject an order that waits for a group of yours, for good. Its client is told the reason."""
    order, rejected, _ = asyncio.run(_decide(session().configuration(), row_of(order_id), name, reason, approved=False))
    error = "" if order.error is None else order.error.detail
    if session().json:
        print_json({"id": order.id, "status": order.status, "rejected": [_as_object(one) for one in rejected]})
        return
    click.echo(safe(f"order {order.id} is rejected; its client is told: {error}"))


async def _decide(
    configuration: Configuration, row: int, name: str | None, reason: str, *, approved: bool
) -> tuple[Order, Sequence[OrderApproval], Sequence[OrderApproval]]:
    from acme_ra.app import approval_seal
    from acme_ra.registration.approving import Approvers, Person

    here = login()
    person = Person(name or here, login="" if name in (None, here) else here)
    seal = approval_seal(Sealer(read_key_file(configuration.secrets.key_file)))
    async with opened(configuration) as store:
        approvers = Approvers(store=store, clock=SystemClock(), seal=seal, groups=configuration.approvers)
        act = approvers.approve if approved else approvers.reject
        decided = await act(row, person, reason=reason)
    return decided.order, decided.approvals, decided.missing


def login() -> str:
    """Who is at the terminal: the login, or who called sudo."""
    called = os.environ.get("SUDO_USER", "")
    if called:
        return called
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def list_waiting(limit: int, after: int) -> None:
    """Orders that wait for somebody, the oldest first."""
    found = reported(session().configuration(), lambda reports: reports.waiting_orders(after, limit))
    if session().json:
        from acme_ra.cli.order import as_object

        print_json([{**as_object(order), "approvals": shown(approvals)} for order, approvals in found])
        return
    rows = [_row(order, [one for one in approvals if _is_waiting(one)]) for order, approvals in found]
    print_table(("ID", "WAITS FOR", "POLICY", "UNTIL", "NAMESPACE", "NAMES"), rows, empty="no order waits for anybody")
    tell_more(found[-1][0].id if found else None, len(found), limit)


def _row(order: Order, waiting: list[OrderApproval]) -> tuple[object, ...]:
    groups = ",".join(one.group for one in waiting)
    policies = ",".join(one.policy for one in waiting)
    until = min((one.expires_at for one in waiting if one.expires_at is not None), default=None)
    namespace = "" if order.workload is None else order.workload.namespace
    names = ", ".join(one.value for one in order.identifiers)
    return order.id, groups, policies, moment(until), namespace, names


def _is_waiting(one: OrderApproval) -> bool:
    return one.status == ApprovalStatus.WAITING


def fields(approvals: Sequence[OrderApproval]) -> list[tuple[str, str]]:
    """For `order show`: one line each."""
    return [(f"approval {one.group}", _sentence(one)) for one in approvals]


def _sentence(one: OrderApproval) -> str:
    asked = f"policy {one.policy}"
    if one.status == ApprovalStatus.WAITING:
        return f"waiting until {moment(one.expires_at)} ({asked})"
    if one.status in (ApprovalStatus.GRANTED, ApprovalStatus.REJECTED):
        return f"{one.status} by {one.decided_by} at {moment(one.decided_at)}: {one.reason} ({asked})"
    told = {
        ApprovalStatus.PLANNED: "asked when the challenges are done",
        ApprovalStatus.EXPIRED: f"not given until {moment(one.expires_at)}",
        ApprovalStatus.ENDED: "not needed any more: the order ended",
    }
    return f"{told[one.status]} ({asked})"


def shown(approvals: Sequence[OrderApproval]) -> list[dict[str, Any]]:
    """For JSON."""
    return [
        {
            **_as_object(one),
            "status": one.status,
            "asked_at": stamp(one.asked_at),
            "expires_at": stamp(one.expires_at),
            "decided_at": stamp(one.decided_at),
            "by": one.decided_by or None,
            "reason": one.reason or None,
        }
        for one in approvals
    ]


def _as_object(one: OrderApproval) -> dict[str, Any]:
    return {"policy": one.policy, "group": one.group}


def _groups(approvals: Sequence[OrderApproval]) -> str:
    return " and ".join(f"group {one.group} (policy {one.policy})" for one in approvals)


def check_alone(status: str | None, account: str | None) -> None:
    """--waiting is a list of its own."""
    if status is not None or account is not None:
        fail("--waiting takes neither --status nor --account", Exit.USAGE)
