"""How commands reach the database: the same Store as the server's, opened for one command."""

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from acme_ra.cli.frame import Exit, fail
from acme_ra.config import Configuration
from acme_ra.core.clock import SECOND, Instant, SystemClock, parse_rfc3339, to_rfc3339
from acme_ra.core.duration import parse_duration
from acme_ra.core.problems import Malformed
from acme_ra.storage.contract import Store
from acme_ra.storage.store import open_store

if TYPE_CHECKING:
    from acme_ra.storage.reports import Reports

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_QUIET_SECONDS = 2.0


@asynccontextmanager
async def opened(configuration: Configuration) -> AsyncIterator[Store]:
    """The store for a block. Raises SchemaMismatch."""
    store = await open_store(configuration.storage, clock=SystemClock())
    try:
        yield store
    finally:
        await store.close()


def paged(command: F) -> F:
    """--limit and --after, for lists that go by id."""
    command = click.option("--after", type=click.IntRange(min=0), default=0, help="Go on after this id.")(command)
    return click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)(command)


def reported(configuration: Configuration, ask: "Callable[[Reports], Awaitable[T]]") -> T:
    """Ask the reports' side of storage. Raises SchemaMismatch when the database is not migrated."""
    # SQLAlchemy takes a third of a second to import, and most commands do without it.
    from acme_ra.storage.reports import Reports

    async def run() -> T:
        async with opened(configuration):
            reports = Reports(configuration.storage)
            try:
                return await ask(reports)
            finally:
                await reports.close()

    return asyncio.run(run())


def tell_more(last: int | None, count: int, limit: int) -> None:
    """Where to go on, when the list may be longer; on standard error."""
    if last is not None and count >= limit:
        click.echo(f"there may be more: --after {last}", err=True)


class Progress:
    """`done of total` on standard error, for a person at a terminal, once two seconds have passed."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._started = time.monotonic()
        self._shown = 0.0
        self._wanted = sys.stderr.isatty()

    def __call__(self, done: int, total: int = 0) -> None:
        now = time.monotonic()
        if not self._wanted or now - self._started < _QUIET_SECONDS or now - self._shown < 0.2:
            return
        self._shown = now
        of = f" of {total:,}" if total else ""
        sys.stderr.write(f"\r{done:,}{of} {self._unit}")
        sys.stderr.flush()

    def close(self) -> None:
        """Wipe the line."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


class When(click.ParamType[Instant]):
    """A moment: `2026-11-21`, `2026-11-21T08:00:00Z`, or a duration before (or after) now: `24h`."""

    name = "WHEN"

    def __init__(self, *, future: bool = False) -> None:
        self._sign = 1 if future else -1

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Instant:
        if isinstance(value, int):
            return value
        text = str(value)
        try:
            return SystemClock().now() + self._sign * parse_duration(text)
        except ValueError:
            pass
        try:
            return parse_rfc3339(f"{text}T00:00:00Z" if _DATE.match(text) else text)
        except Malformed:
            self.fail(f"{text!r} is neither a duration (90s, 24h, 7d) nor a time (2026-11-21T08:00:00Z)", param, ctx)


def row_of(resource: str) -> int:
    """The row id in a resource id `12.secret`, in a URL that ends with one, or alone. Raises CommandFailed."""
    number = resource.rstrip("/").rpartition("/")[2].partition(".")[0]
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        fail(f"{resource!r} is not an id; it looks like 12, 12.abc… or the resource's URL", Exit.USAGE)
    return int(number)


def moment(instant: Instant | None) -> str:
    """For people: `2026-11-21 08:00:00Z`, or nothing."""
    return "" if instant is None else to_rfc3339(instant).replace("T", " ")


def stamp(instant: Instant | None) -> str | None:
    """For JSON: RFC 3339 or null."""
    return None if instant is None else to_rfc3339(instant - instant % SECOND)
