"""What a check finds: how bad it is, what was seen, and the fix."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from acme_ra.core.problems import Problem

S = TypeVar("S", contravariant=False)
PATIENCE = 30.0
"""Seconds for one check; every request inside has a shorter limit of its own."""


class Level(StrEnum):
    """A warning can wait for office hours; with an error something does not work, or is not safe."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Finding(msgspec.Struct, frozen=True):
    """One line of the report. `fix` is empty only where all is well."""

    level: Level
    seen: str
    fix: str = ""
    check: str = ""


def ok(seen: str) -> Finding:
    return Finding(Level.OK, seen)


def warning(seen: str, fix: str) -> Finding:
    return Finding(Level.WARNING, seen, fix)


def error(seen: str, fix: str) -> Finding:
    return Finding(Level.ERROR, seen, fix)


class CannotLook(Exception):
    """Whoever asks is not allowed to see what a check looks at."""

    def __init__(self, seen: str, fix: str) -> None:
        super().__init__(seen)
        self.seen = seen
        self.fix = fix


class Check(msgspec.Struct, Generic[S], frozen=True):
    """A name for the report, and the function that looks. What it returns is told in order; it may be empty."""

    name: str
    look: Callable[[S], Awaitable[list[Finding]]]


async def examine(checks: Sequence[Check[S]], subject: S, *, patience: float = PATIENCE) -> AsyncIterator[Finding]:
    """Every finding of every check. A check that fails or hangs is a finding itself, and the next one goes on."""
    for check in checks:
        try:
            async with asyncio.timeout(patience):
                findings = await check.look(subject)
        except TimeoutError:
            fix = "look for what hangs: a file system, a name server, a firewall that swallows packets"
            findings = [error(f"this check was not finished within {patience:g} s", fix)]
        except CannotLook as problem:
            findings = [warning(problem.seen, problem.fix)]
        except Exception as problem:
            # Whatever it is: the person asked what is wrong, and the other checks may tell.
            fix = "see what the other checks say; if they are content, report it"
            findings = [error(f"this check failed: {explain(problem)}", fix)]
        for finding in findings:
            yield msgspec.structs.replace(finding, check=check.name)


def explain(problem: Exception) -> str:
    """An exception in one line, for the operator."""
    if isinstance(problem, Problem):
        return problem.detail
    if isinstance(problem, OSError) and problem.strerror:
        return f"{problem.filename}: {problem.strerror}" if problem.filename else problem.strerror
    return f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__
