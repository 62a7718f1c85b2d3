"""`acme-ra audit`: what was asked, decided and changed."""

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

import click

from acme_ra.audit.events import details
from acme_ra.audit.export import Format, to_jsonl
from acme_ra.audit.export import export as write_events
from acme_ra.cli.frame import Exit, LazyGroup, fail, global_options, print_fields, safe, session, style
from acme_ra.cli.storing import Progress, When, moment, opened, row_of
from acme_ra.config import Configuration
from acme_ra.core.events import StoredEvent
from acme_ra.storage.contract import EventFilter

F = TypeVar("F", bound=Callable[..., Any])
Events = AsyncIterator[StoredEvent]
_COMMANDS = {
    "list": ("acme_ra.cli.audit:list_events", "One line for each event."),
    "show": ("acme_ra.cli.audit:show", "One event with the whole decision: inputs, policies, rules, reasons."),
    "export": ("acme_ra.cli.audit:export", "Every event as JSON lines or CSV, as a stream."),
}
_FILTERS = (
    click.option("--since", type=When(), help="A duration back (24h) or a time (2026-11-21T08:00:00Z)."),
    click.option("--until", type=When(), help="The same; events before it."),
    click.option("--namespace", help="Events of this namespace."),
    click.option("--name", help="Events of orders with exactly this name."),
    click.option("--serial", help="Events of the certificate with this serial, in hex."),
    click.option("--outcome", type=click.Choice(["allowed", "refused", "failed"])),
    click.option("--kind", help="For example certificate.issued or order.refused."),
    click.option("--order", help="Events of an order: its id or URL."),
    click.option("--account", help="Events of an account: its id or URL."),
)


def filters(command: F) -> F:
    """The options that become an EventFilter."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.group(cls=LazyGroup, commands_in=_COMMANDS)
@global_options
def audit() -> None:
    """The audit log."""


@click.command("list")
@global_options
@filters
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many events.")
def list_events(limit: int | None, **wanted: Any) -> None:
    """One line for each event, the oldest first. With --output json, one object a line."""
    configuration, as_json = session().configuration(), session().json
    shown = 0

    async def run() -> None:
        nonlocal shown
        async with _reading(configuration, _filter(**wanted)) as found:
            async for event in found:
                if as_json:
                    click.echo(to_jsonl(event), nl=False)
                else:
                    if not shown:
                        click.echo(style(_line("SEQ", "TIME", "EVENT", "OUTCOME", "NAMESPACE", "WHAT"), bold=True))
                    click.echo(_summary(event))
                shown += 1
                if shown == limit:
                    return

    asyncio.run(run())
    if not shown and not as_json:
        click.echo("no such events", err=True)


@click.command()
@global_options
@click.argument("seq", type=click.IntRange(min=1))
def show(seq: int) -> None:
    """One event with everything that was recorded."""
    event = asyncio.run(_one(session().configuration(), seq))
    if event is None:
        fail(f"there is no event {seq}; see `acme-ra audit list`", Exit.NOT_FOUND)
    if session().json:
        click.echo(to_jsonl(event), nl=False)
        return
    record = event.record
    print_fields(
        [
            ("seq", event.seq),
            ("time", moment(record.at)),
            ("event", record.kind),
            ("outcome", record.outcome),
            ("directory", record.directory),
            ("account", record.account_id),
            ("order", record.order_id),
            ("namespace", record.namespace),
            ("serial", record.serial),
            ("names", ", ".join(record.names)),
        ]
    )
    click.echo()
    import yaml

    body = details(record.body)
    click.echo(
        yaml.safe_dump(body, sort_keys=False, allow_unicode=False, default_flow_style=False, width=110), nl=False
    )


@click.command()
@global_options
@filters
@click.option("--format", "format_", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
def export(format_: Format, **wanted: Any) -> None:
    """Every event on standard output; a million of them need no more memory than ten."""
    asyncio.run(_export(session().configuration(), _filter(**wanted), format_))


async def _export(configuration: Configuration, wanted: EventFilter, format_: Format) -> None:
    progress = Progress("events")
    try:
        async with _reading(configuration, wanted) as found:
            await write_events(found, sys.stdout.buffer.write, format=format_, progress=progress)
        sys.stdout.buffer.flush()
    finally:
        progress.close()


@asynccontextmanager
async def _reading(configuration: Configuration, wanted: EventFilter, *, batch: int = 500) -> AsyncIterator[Events]:
    """The stream of events, closed in the end wherever it was left."""
    async with opened(configuration) as store:
        stream = store.events(wanted, batch=batch)
        assert isinstance(stream, AsyncGenerator)
        async with aclosing(stream):
            yield stream


async def _one(configuration: Configuration, seq: int) -> StoredEvent | None:
    async with _reading(configuration, EventFilter(after_seq=seq - 1), batch=1) as found:
        async for event in found:
            return event if event.seq == seq else None
    return None


def _filter(
    *, order: str | None, account: str | None, serial: str | None, name: str | None, **same: Any
) -> EventFilter:
    return EventFilter(
        order_id=None if order is None else row_of(order),
        account_id=None if account is None else row_of(account),
        serial=None if serial is None else serial.lower().replace(":", "").lstrip("0"),
        name=None if name is None else name.lower().rstrip("."),
        **same,
    )


def _summary(event: StoredEvent) -> str:
    record = event.record
    body = details(record.body)
    what = ", ".join(record.names or _asked(body)) or record.serial
    reason = _reason(body)
    if reason:
        what = f"{what}: {reason}" if what and what not in reason else reason
    elif not what:
        what = str(body.get("name") or body.get("credential") or body.get("thumbprint") or "")
    return _line(event.seq, moment(record.at), record.kind, record.outcome, record.namespace, what)


def _asked(body: dict[str, Any]) -> list[str]:
    """The names that a decision was about."""
    decision = body.get("decision")
    request = decision.get("request", {}) if isinstance(decision, dict) else {}
    return [str(identifier.get("value", "")) for identifier in request.get("identifiers", [])]


def _reason(body: dict[str, Any]) -> str:
    """Why something was refused or failed, in the words that the client got."""
    refusal = (body.get("decision") or {}).get("refusal") if isinstance(body.get("decision"), dict) else None
    error = body.get("error")
    if isinstance(refusal, dict):
        return str(refusal.get("detail", ""))
    if isinstance(error, dict):
        return str(error.get("detail", ""))
    return str(body.get("reason", "")) if isinstance(body.get("reason"), str) else ""


def _line(seq: object, at: str, kind: str, outcome: str, namespace: str, what: str) -> str:
    return safe(f"{seq!s:>6}  {at:<20}  {kind:<24}  {outcome:<8}  {namespace:<12}  {what}").rstrip()
