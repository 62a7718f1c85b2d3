"""`acme-ra check-config`: every mistake of a configuration file, with file, line, key and fix."""

from pathlib import Path

import click

from acme_ra.cli.frame import Exit, global_options, print_json, session


@click.command("check-config")
@global_options
@click.argument("file", required=False, type=click.Path(path_type=Path))
def check_config(file: Path | None) -> int:
    """Tell every mistake in FILE (default: the --config file), and in what it points to.

    Environment variables ACME_RA_SECTION__KEY count, as they do for `serve`.
    """
    from acme_ra.app import configuration_mistakes

    current = session()
    mistakes = configuration_mistakes(file or current.config_path)
    if current.json:
        print_json({"valid": not mistakes, "mistakes": [mistake._asdict() for mistake in mistakes]})
    else:
        for mistake in mistakes:
            click.echo(str(mistake), err=True)
        if not mistakes:
            click.echo(f"{file or current.config_path} is valid")
    return Exit.CONFIGURATION if mistakes else Exit.OK
