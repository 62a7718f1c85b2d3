"""The examination of a server: its configuration is read, then every check is made."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import msgspec

from acme_ra.config import ConfigurationInvalid, Mistake, load_configuration
from acme_ra.core.clock import SystemClock
from acme_ra.doctor.findings import Check, Finding, examine
from acme_ra.doctor.registry import SERVER_CHECKS
from acme_ra.doctor.server.configuration import describe
from acme_ra.doctor.server.subject import ServerSide


async def examine_server(
    path: Path,
    environment: Mapping[str, str],
    *,
    bundle: bytes | None = None,
    checks: Sequence[Check[ServerSide]] = SERVER_CHECKS,
) -> AsyncIterator[Finding]:
    """Every finding. Where the file cannot be understood there is nothing else to look at."""
    try:
        configuration = load_configuration(path, environment, check=False)
    except ConfigurationInvalid as problem:
        for mistake in problem.mistakes:
            yield msgspec.structs.replace(describe(mistake), check="configuration")
        return
    mistakes: tuple[Mistake, ...] = ()
    try:
        load_configuration(path, environment)
    except ConfigurationInvalid as problem:
        mistakes = tuple(problem.mistakes)
    server = ServerSide(path=path, configuration=configuration, mistakes=mistakes, clock=SystemClock(), bundle=bundle)
    async for finding in examine(checks, server):
        yield finding
