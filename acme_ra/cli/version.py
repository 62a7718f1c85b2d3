"""`acme-ra version`."""

import platform
import ssl

import click

from acme_ra import __version__
from acme_ra.cli.frame import global_options, print_fields, print_json, session


@click.command()
@global_options
def version() -> None:
    """Show versions."""
    import cryptography

    versions = {
        "acme-ra": __version__,
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "cryptography": cryptography.__version__,
    }
    if session().json:
        print_json(versions)
    else:
        print_fields(versions.items())
