"""`acme-ra credential`: external account binding credentials (RFC 8555 §7.3.4), bound to what they may speak for."""

import click

from acme_ra.cli.frame import LazyGroup, global_options

_COMMANDS = {
    "create": ("acme_ra.cli.credential_create:create", "Make a credential; its secret is shown once."),
    "list": ("acme_ra.cli.credential_show:list_credentials", "List credentials."),
    "show": ("acme_ra.cli.credential_show:show", "Show one credential and its use."),
    "disable": ("acme_ra.cli.credential_change:disable", "Stop a credential and every account made with it."),
    "rotate": ("acme_ra.cli.credential_change:rotate", "Replace the secret; what was proved before ends."),
}


@click.group(cls=LazyGroup, commands_in=_COMMANDS)
@global_options
def credential() -> None:
    """EAB credentials: who may register accounts, and which workloads those speak for."""
