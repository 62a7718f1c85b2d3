"""`acme-ra credential create`."""

import asyncio
import re

import click

from acme_ra.cli.credentials import NewCredential, Secret
from acme_ra.cli.credentials import create as insert
from acme_ra.cli.frame import Exit, fail, global_options, print_fields, print_json, session
from acme_ra.cli.known import check_cluster
from acme_ra.cli.manifests import credential_secret, render, secret_name
from acme_ra.cli.storing import When, moment, opened, stamp
from acme_ra.config import Configuration
from acme_ra.config.schema import closest
from acme_ra.config.secrets import read_key_file
from acme_ra.core.clock import Instant, SystemClock
from acme_ra.core.objects import Binding
from acme_ra.core.sealing import Sealer

_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}\Z")


class Expiry(When):
    """A time to come, or `never`."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Instant:
        return 0 if value == "never" else super().convert(value, param, ctx)


@click.command()
@global_options
@click.option("--name", required=True, help="What it is for; shown in lists and in the audit log.")
@click.option("--cluster", default="", help="The Kubernetes cluster that it speaks for.")
@click.option("--namespace", "namespaces", multiple=True, help="A namespace that it may speak for; may be repeated.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label for policies; may be repeated.")
@click.option("--directory", "directories", multiple=True, help="Only valid there; may be repeated.  [default: all]")
@click.option("--expires", type=Expiry(future=True), default="90d", show_default=True, help="90d, a time, or never.")
@click.option("--max-uses", type=click.IntRange(min=0), default=1, show_default=True, help="Accounts; 0 is any number.")
@click.option("--unlimited", is_flag=True, help="The same as --max-uses 0.")
@click.option("--manifest", is_flag=True, help="Print a Kubernetes Secret for cert-manager instead.")
def create(
    name: str,
    cluster: str,
    namespaces: tuple[str, ...],
    labels: tuple[str, ...],
    directories: tuple[str, ...],
    expires: Instant,
    max_uses: int,
    unlimited: bool,
    manifest: bool,
) -> None:
    """Make a credential. Its secret is shown now and never again.

    For a cluster of the configuration (`clusters:`) the cluster tells the namespace of each order; --namespace limits
    which, and may have `*`. Any other credential speaks for the namespaces that are named, and without one for none:
    policies that select namespaces will not match.
    """
    configuration = session().configuration()
    if not _NAME.match(name):
        fail("--name has 1 to 100 characters, none of them a control character", Exit.USAGE)
    check_cluster(configuration, cluster)
    _check_names(configuration, namespaces, directories, globs=cluster in configuration.clusters)
    binding = Binding(cluster, tuple(dict.fromkeys(namespaces)), _parse_labels(labels), directories)
    new = NewCredential(name, binding, expires or None, None if unlimited or not max_uses else max_uses)
    secret = asyncio.run(_insert(configuration, new))
    _print(new, secret, manifest)


async def _insert(configuration: Configuration, new: NewCredential) -> Secret:
    sealer = Sealer(read_key_file(configuration.secrets.key_file))
    async with opened(configuration) as store:
        return await insert(store, sealer, SystemClock(), new)


def _check_names(
    configuration: Configuration, namespaces: tuple[str, ...], directories: tuple[str, ...], *, globs: bool
) -> None:
    for namespace in namespaces:
        if not _NAMESPACE.match(namespace.replace("*", "x") if globs else namespace):
            fail(f"--namespace {namespace!r} is no Kubernetes namespace name (a-z, 0-9 and -, 63 at most)", Exit.USAGE)
    for directory in directories:
        if directory not in configuration.directories:
            guess = closest(directory, configuration.directories)
            fix = f"did you mean {guess!r}?" if guess else f"there are: {', '.join(configuration.directories)}"
            fail(f"--directory {directory!r}: there is no such directory; {fix}", Exit.USAGE)


def _parse_labels(labels: tuple[str, ...]) -> dict[str, str]:
    parsed: dict[str, str] = {}
    for label in labels:
        key, separator, value = label.partition("=")
        if not key or not separator:
            fail(f"--label {label!r} is not KEY=VALUE", Exit.USAGE)
        parsed[key] = value
    return parsed


def _print(new: NewCredential, secret: Secret, manifest: bool) -> None:
    if manifest:
        click.echo(render([credential_secret(secret_name(new.name), secret.hmac_key)]), nl=False)
        click.echo(f"keyID for the ClusterIssuer: {secret.kid}", err=True)
    elif session().json:
        print_json(
            {
                "kid": secret.kid,
                "hmac_key": secret.hmac_key,
                "name": new.name,
                "expires_at": stamp(new.expires_at),
                "max_uses": new.max_uses,
            }
        )
    else:
        print_fields(
            [
                ("kid", secret.kid),
                ("hmac key", secret.hmac_key),
                ("cluster", new.binding.cluster),
                ("namespaces", ", ".join(new.binding.namespaces)),
                ("expires", moment(new.expires_at) or "never"),
                ("accounts", new.max_uses or "any number"),
            ]
        )
        click.echo("The hmac key is not shown again.", err=True)
