"""What all commands share: global options, exit codes, lazy groups, and the way of printing."""

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from acme_ra.config import Configuration

F = TypeVar("F", bound=Callable[..., Any])


class Exit(IntEnum):
    """The documented exit codes."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    CONFIGURATION = 3
    NOT_FOUND = 4
    REFUSED = 5
    UNAVAILABLE = 6


EXIT_CODES = """\b
Exit codes:
  0  done
  1  failed; the message tells why
  2  wrong usage of the command
  3  the configuration, a policy or a key file is invalid
  4  there is no such thing
  5  refused: it is not allowed, or not in that state
  6  not available now (port taken, database locked or not upgraded)
"""


class CommandFailed(Exception):
    """A command's own failure: one line for the person, with the fix."""

    def __init__(self, message: str, code: Exit = Exit.FAILURE) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


@dataclass
class Session:
    """The global options of one run."""

    config: Path | None = None
    output: str = "text"
    debug: bool = False

    @property
    def config_path(self) -> Path:
        return self.config or Path(os.environ.get("ACME_RA_CONFIG") or "config/acme-ra.yaml")

    @property
    def json(self) -> bool:
        return self.output == "json"

    def configuration(self) -> "Configuration":
        """The loaded configuration. Raises ConfigurationInvalid."""
        from acme_ra.config import load_configuration

        return load_configuration(self.config_path, os.environ)


def session() -> Session:
    """The session of the running command."""
    return click.get_current_context().ensure_object(Session)


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    if value is not None and value is not False and parameter.name is not None:
        setattr(context.find_root().ensure_object(Session), parameter.name, value)
    return value


_GLOBAL = (
    click.option(
        "--config",
        type=click.Path(path_type=Path),
        expose_value=False,
        is_eager=True,
        callback=_remember,
        help="Configuration file (ACME_RA_CONFIG; else ./config/acme-ra.yaml).",
    ),
    click.option(
        "--output",
        type=click.Choice(["text", "json"]),
        expose_value=False,
        is_eager=True,
        callback=_remember,
        help="How results are printed.  [default: text]",
    ),
    click.option(
        "--debug", is_flag=True, expose_value=False, is_eager=True, callback=_remember, help="Show tracebacks."
    ),
)


def global_options(command: F) -> F:
    """--config, --output and --debug: accepted before and after the noun and the verb."""
    for option in reversed(_GLOBAL):
        command = option(command)
    return command


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called: `module:attribute`, with the help line beside it."""

    def __init__(self, *args: Any, commands_in: dict[str, tuple[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = commands_in or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(error.message + _guess(args[0], self._lazy), ctx=ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The overview needs no imports."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._lazy.items()])


def _guess(word: str, known: Iterable[str]) -> str:
    import difflib

    matches = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {matches[0]!r}?" if matches else ""


# --------------------------------------------------------------------------------------------------------- printing


def safe(text: object) -> str:
    """Text from outside, made harmless for a terminal: control characters are shown, not obeyed."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in str(text))


def print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Aligned columns without frames, so that other tools can cut them. `empty` is told on standard error."""
    if not rows:
        click.echo(empty, err=True)
        return
    cells = [[safe(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [list(headings), *cells]) for column in range(len(headings))]
    for index, row in enumerate([list(headings), *cells]):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.echo(style(line, bold=True) if index == 0 else line)


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """`name: value` lines; values that are empty are left out."""
    shown = [(name, value) for name, value in fields if value not in (None, "", (), [], {})]
    width = max((len(name) for name, _ in shown), default=0) + 1
    for name, value in shown:
        click.echo(f"{(name + ':').ljust(width)} {safe(value)}")


def style(text: str, **styles: Any) -> str:
    """Coloured only for a person at a terminal who has not asked for none (NO_COLOR)."""
    if "NO_COLOR" in os.environ or not sys.stdout.isatty():
        return text
    return click.style(text, **styles)


def fail(message: str, code: Exit = Exit.FAILURE) -> NoReturn:
    raise CommandFailed(message, code)
