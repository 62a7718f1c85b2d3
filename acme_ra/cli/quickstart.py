"""`acme-ra quickstart`: from nothing to a served directory, and what to do next."""

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from acme_ra.cli.frame import Exit, fail, global_options, print_json, session, style

if TYPE_CHECKING:
    from acme_ra.cli.setup import Prepared


@click.command()
@global_options
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), default=Path("data"), show_default=True)
@click.option("--listen", metavar="HOST:PORT", help="Port 0 chooses a free one.  [default: 127.0.0.1:14000]")
@click.option("--hostname", help="The name or address that clients use, when it is not the listener's.")
@click.option("--workers", type=click.IntRange(min=0, max=64), help="Processes; 0: for each core but one, at most 4.")
def quickstart(data: Path, listen: str | None, hostname: str | None, workers: int | None) -> int:
    """Make a data directory with keys, CA, database, policies and one EAB credential; then serve.

    A second start finds everything again. With --output json the first line of standard output, printed once the
    server listens, is one JSON object: directory, ca_bundle, eab {kid, hmac_key}, config, policies.
    """
    from acme_ra.cli.setup import Asked, prepare
    from acme_ra.core.endpoint import parse_endpoint
    from acme_ra.server import Serving, serve

    try:
        endpoint = parse_endpoint(listen) if listen is not None else None
    except ValueError as error:
        fail(f"--listen: {error}", Exit.USAGE)
    if endpoint is not None and endpoint.host in ("0.0.0.0", "::") and hostname is None:  # noqa: S104
        fail(f"--listen {endpoint} needs --hostname NAME: clients cannot use {endpoint.host}", Exit.USAGE)
    prepared = prepare(
        Asked(data=data, listen=endpoint, hostname=hostname, workers=workers),
        lambda line: click.echo(f"made {line}", err=True),
    )
    as_json = session().json

    def ready(serving: Serving) -> None:
        directory = f"{serving.external_url}/acme/{next(iter(prepared.configuration.directories))}/directory"
        if as_json:
            print_json(_as_json(prepared, directory))
        else:
            click.echo(_next_steps(prepared, directory))
        sys.stdout.flush()

    return serve(prepared.configuration, on_ready=ready, reserved=prepared.reserved)


def _as_json(prepared: "Prepared", directory: str) -> dict[str, object]:
    return {
        "directory": directory,
        "ca_bundle": str(prepared.ca_bundle),
        "eab": {"kid": prepared.eab.kid, "hmac_key": prepared.eab.hmac_key},
        "config": str(prepared.config),
        "policies": str(prepared.configuration.policies.path),
    }


def _next_steps(prepared: "Prepared", directory: str) -> str:
    from acme_ra.cli.manifests import Issuer, credential_secret, render, secret_name
    from acme_ra.cli.solvers import parse_solvers

    eab, data = prepared.eab, prepared.config.parent
    name = secret_name("quickstart")
    issuer = Issuer(
        directory=directory,
        ca_bundle=prepared.ca_bundle.read_bytes(),
        kid=eab.kid,
        secret=name,
        solvers=parse_solvers(("http01=nginx",)),
    )
    manifest = render([credential_secret(name, eab.hmac_key), issuer.manifest()])
    return f"""\
{style("For cert-manager, in a cluster that reaches this address (kubectl apply -f -):", bold=True)}

{manifest}
{style("acme-ra is serving", bold=True)}

  Directory      {directory}
  CA bundle      {prepared.ca_bundle}
  EAB kid        {eab.kid}
  EAB HMAC key   {eab.hmac_key}   (kept in {data / "secrets" / "eab.json"}, readable by you only)
  Policies       {prepared.configuration.policies.path}
  Configuration  {prepared.config}

{style("A first certificate, in another terminal (no DNS and no challenge is needed for it):", bold=True)}

  {certbot_line(prepared, directory, "hello.demo.svc.cluster.local")}

{style("A refusal that tells the rule: the same with --debug -d hello.shop.svc.cluster.local", bold=True)}

{style("What was decided, and why:", bold=True)}

  {_program()} audit list --config {shlex.quote(str(prepared.config))}

Ctrl-C stops the server; the next start finds everything again.
"""


def certbot_line(prepared: "Prepared", directory: str, name: str) -> str:
    """A certbot command that works as it is, without root."""
    folder = prepared.config.parent / "certbot"
    words = [
        "certbot certonly --standalone --non-interactive --agree-tos -m you@example.com",
        f"--server {shlex.quote(directory)}",
        f"--eab-kid {prepared.eab.kid} --eab-hmac-key {prepared.eab.hmac_key}",
        f"-d {name}",
        *(f"--{kind}-dir {shlex.quote(str(folder / kind))}" for kind in ("config", "work", "logs")),
    ]
    return f"REQUESTS_CA_BUNDLE={shlex.quote(str(prepared.ca_bundle))} " + " ".join(words)


def _program() -> str:
    """How this program was called, so that the line works in the same shell."""
    own = Path(sys.argv[0])
    found = shutil.which("acme-ra")
    if found is not None and own.exists() and Path(found).samefile(own):
        return "acme-ra"
    return shlex.quote(str(own.resolve())) if own.name == "acme-ra" else "acme-ra"
