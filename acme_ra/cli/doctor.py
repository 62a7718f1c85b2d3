"""`acme-ra doctor`: what is wrong with this server, and how to mend it."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from acme_ra.cli.frame import Exit, fail, global_options, print_json, safe, session, style

if TYPE_CHECKING:
    from acme_ra.doctor.findings import Finding

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command()
@global_options
@click.option("--ca-bundle", type=click.Path(path_type=Path), help="PEM that clients trust.  [default: the server's]")
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
def doctor(ca_bundle: Path | None, strict: bool) -> int:
    """Look at the server of the configuration: files, database, policies, certificates, network.

    Every finding comes with its fix. Ends with 0 when there is no error (with --strict: no warning either), else 1.
    """
    from acme_ra.doctor.server.examine import examine_server

    findings = examine_server(session().config_path, os.environ, bundle=_read(ca_bundle))
    return asyncio.run(_report(findings, strict=strict))


def _read(bundle: Path | None) -> bytes | None:
    if bundle is None:
        return None
    try:
        return bundle.read_bytes()
    except OSError as error:
        fail(f"--ca-bundle {bundle}: {error.strerror}", Exit.USAGE)


async def _report(findings: "AsyncIterator[Finding]", *, strict: bool) -> int:
    """Print each finding as it comes, or all as one JSON object; the exit code."""
    found = []
    async for finding in findings:
        found.append(finding)
        if not session().json:
            _print(finding)
    count = {level: sum(one.level == level for one in found) for level in _COLOURS}
    good = not count["error"] and not (strict and count["warning"])
    if session().json:
        told = [{"check": one.check, "level": one.level, "seen": one.seen, "fix": one.fix} for one in found]
        print_json({"good": good, "errors": count["error"], "warnings": count["warning"], "findings": told})
    else:
        click.echo(f"{len(found)} findings: {count['error']} errors, {count['warning']} warnings")
    return Exit.OK if good else Exit.FAILURE


def _print(finding: "Finding") -> None:
    level = style(f"{finding.level:<8}", fg=_COLOURS[finding.level], bold=finding.level != "ok")
    click.echo(f"{level} {finding.check:<18} {safe(finding.seen)}")
    if finding.fix:
        click.echo(f"{'':<8} {'':<18} fix: {safe(finding.fix)}")
