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
@click.option("--issuer", metavar="NAME", help="Look at this ClusterIssuer (with --issuer-namespace: Issuer) instead.")
@click.option("--issuer-namespace", default="", help="The namespace of an Issuer.")
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="Its cluster.  [default: as kubectl finds it]")
@click.option("--context", "context_name", help="Of the kubeconfig.  [default: its current one]")
@click.option("--cluster", default="", help="The cluster's name in policies.  [default: that of the credential]")
@click.option("--resource-namespace", default="", help="Where cert-manager has a ClusterIssuer's Secrets.")
@click.option("--ca-bundle", type=click.Path(path_type=Path), help="PEM that clients trust.  [default: the server's]")
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
def doctor(
    issuer: str | None,
    issuer_namespace: str,
    kubeconfig: Path | None,
    context_name: str | None,
    cluster: str,
    resource_namespace: str,
    ca_bundle: Path | None,
    strict: bool,
) -> int:
    """Tell what is wrong, and the fix.

    Without --issuer: the server of the configuration. Files, database, policies, certificates, network, clusters.

    With --issuer: an issuer in a cluster, seen with the rights of a kubeconfig. Trust, Secrets, account, solvers,
    rights, versions. Where the server's --config is given, too, its credential and policies are compared.

    Ends with 0 when there is no error (with --strict: no warning either), else 1.
    """
    if issuer is None:
        if kubeconfig is not None or issuer_namespace or context_name is not None:
            fail("--kubeconfig, --context and --issuer-namespace need --issuer NAME", Exit.USAGE)
        from acme_ra.doctor.server.examine import examine_server

        findings = examine_server(session().config_path, os.environ, bundle=_read(ca_bundle))
        return asyncio.run(_report(findings, strict=strict))
    from acme_ra.doctor.client.examine import Asked, examine_issuer
    from acme_ra.doctor.client.kubeconfig import default_kubeconfig

    asked = Asked(
        kubeconfig=kubeconfig or default_kubeconfig(os.environ),
        context=context_name,
        issuer=issuer,
        namespace=issuer_namespace,
        cluster=cluster,
        resource_namespace=resource_namespace,
    )
    given = session().config is not None or "ACME_RA_CONFIG" in os.environ
    configuration = session().configuration() if given else None
    return asyncio.run(_report(examine_issuer(asked, os.environ, configuration), strict=strict))


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
        click.echo(f"findings: {len(found)}, errors: {count['error']}, warnings: {count['warning']}")
    return Exit.OK if good else Exit.FAILURE


def _print(finding: "Finding") -> None:
    level = style(f"{finding.level:<8}", fg=_COLOURS[finding.level], bold=finding.level != "ok")
    click.echo(f"{level} {finding.check:<18} {safe(finding.seen)}")
    if finding.fix:
        click.echo(f"{'':<8} {'':<18} fix: {safe(finding.fix)}")
