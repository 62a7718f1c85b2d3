"""`acme-ra`: finds the command, runs it, and turns whatever goes wrong into one line and an exit code."""

import os
import sys
from typing import NoReturn

import click

from acme_ra.cli.frame import EXIT_CODES, CommandFailed, Exit, LazyGroup, Session, global_options

_COMMANDS = {
    "quickstart": ("acme_ra.cli.quickstart:quickstart", "Set up a data directory with everything in it, and serve."),
    "serve": ("acme_ra.cli.serve:serve", "Serve ACME as the configuration file says."),
    "check-config": ("acme_ra.cli.check_config:check_config", "Tell every mistake in a configuration file."),
    "doctor": ("acme_ra.cli.doctor:doctor", "Tell what is wrong with a server or an issuer, and the fix."),
    "policy": ("acme_ra.cli.policy:policy", "Look at policies: check, lint, schema, crds."),
    "credential": ("acme_ra.cli.credential:credential", "EAB credentials: create, list, show, disable, rotate."),
    "issuer": ("acme_ra.cli.issuer:issuer", "cert-manager's issuers that point here: manifest."),
    "account": ("acme_ra.cli.account:account", "ACME accounts: list, show, deactivate."),
    "order": ("acme_ra.cli.order:order", "Orders: list, show."),
    "certificate": ("acme_ra.cli.certificate:certificate", "Certificates: list, show."),
    "audit": ("acme_ra.cli.audit:audit", "The audit log: list, show, export."),
    "ca": ("acme_ra.cli.ca:ca", "Local authorities: init, import, show."),
    "db": ("acme_ra.cli.db:db", "The database: upgrade, backup, check."),
    "version": ("acme_ra.cli.version:version", "Show versions."),
}


@click.group(
    cls=LazyGroup,
    commands_in=_COMMANDS,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@global_options
def cli() -> None:
    """acme-ra: an ACME server (RFC 8555) where policy decides and the audit log says why."""


def run(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    session = Session()
    try:
        result = cli.main(args=arguments, prog_name="acme-ra", standalone_mode=False, obj=session)
        sys.stdout.flush()
        return result if isinstance(result, int) else Exit.OK
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        return 130
    except BrokenPipeError:
        # The reader, such as `head`, has what it wanted. Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Exception as error:
        if session.debug:
            raise
        message, code = _explain(error)
        for line in message.splitlines():
            click.echo(f"acme-ra: {line}", err=True)
        return code


def _explain(error: Exception) -> tuple[str, int]:
    if isinstance(error, CommandFailed):
        return error.message, error.code
    from acme_ra.cli.failures import explain

    return explain(error)


def main() -> NoReturn:
    """The entry point."""
    sys.exit(run())


if __name__ == "__main__":
    main()
