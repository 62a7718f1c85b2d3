"""`acme-ra issuer`: what cert-manager in a cluster needs to use this server."""

import click

from acme_ra.cli.frame import LazyGroup, global_options

_COMMANDS = {
    "manifest": ("acme_ra.cli.issuer_manifest:manifest", "Print a Secret and a (Cluster)Issuer to apply."),
}


@click.group(cls=LazyGroup, commands_in=_COMMANDS)
@global_options
def issuer() -> None:
    """cert-manager's issuers that point here."""
