"""`acme-ra serve`."""

import click

from acme_ra.cli.frame import global_options, print_json, session, style


@click.command()
@global_options
def serve() -> int:
    """Serve ACME as the configuration file says, until SIGTERM or Ctrl-C.

    SIGHUP reads policies and the TLS certificate again; an invalid set is refused, and the old one stays.
    """
    from acme_ra.server import Serving
    from acme_ra.server import serve as run

    current = session()
    configuration = current.configuration()

    def ready(serving: Serving) -> None:
        directories = [f"{serving.external_url}/acme/{name}/directory" for name in configuration.directories]
        if current.json:
            print_json({"listen": str(serving.endpoint), "directories": directories, "workers": serving.workers})
        else:
            for directory in directories:
                click.echo(f"Serving {style(directory, bold=True)}")

    return run(configuration, on_ready=ready, reserved=None)
