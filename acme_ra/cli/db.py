"""`acme-ra db`: migrate, back up and check the database."""

from pathlib import Path

import click

from acme_ra.cli.frame import Exit, LazyGroup, fail, global_options, print_json, session

_COMMANDS = {
    "upgrade": ("acme_ra.cli.db:upgrade", "Create the database, or migrate it to this version."),
    "backup": ("acme_ra.cli.db:backup", "Copy the database to a new file while the server runs."),
    "check": ("acme_ra.cli.db:check", "Tell whether the database fits this version."),
}


@click.group(cls=LazyGroup, commands_in=_COMMANDS)
@global_options
def db() -> None:
    """The database."""


@click.command()
@global_options
def upgrade() -> None:
    """Create the database, or migrate it to this version's schema. Make a backup first."""
    from acme_ra.storage import admin

    current = session()
    settings = current.configuration().storage
    before = admin.current_revision(settings)
    after = admin.upgrade(settings)
    if current.json:
        print_json({"path": str(settings.path), "from": before, "to": after})
    elif before == after:
        click.echo(f"{settings.path} is at schema {after} already")
    else:
        click.echo(f"{settings.path} is now at schema {after} (was: {before or 'none'})")


@click.command()
@global_options
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
def backup(target: Path) -> None:
    """Copy the database to TARGET, a new file, while the server runs.

    Keep it with the master key file: credentials are sealed under that key.
    """
    from acme_ra.cli.storing import Progress
    from acme_ra.storage import admin

    current = session()
    settings = current.configuration().storage
    progress = Progress("pages")
    try:
        admin.backup(settings, target, progress=progress)
    except FileExistsError:
        fail(f"{target} exists already; name a new file")
    except FileNotFoundError:
        fail(f"{settings.path}: there is no database; run `acme-ra db upgrade`", Exit.NOT_FOUND)
    finally:
        progress.close()
    if current.json:
        print_json({"path": str(target), "bytes": target.stat().st_size})
    else:
        click.echo(f"{target}: {target.stat().st_size:,} bytes")


@click.command()
@global_options
def check() -> int:
    """Tell whether the database is there and fits this version."""
    from acme_ra.storage import admin, schema

    current = session()
    settings = current.configuration().storage
    revision = admin.current_revision(settings)
    fits = revision == schema.HEAD
    if current.json:
        print_json({"path": str(settings.path), "schema": revision, "needed": schema.HEAD, "fits": fits})
    elif fits:
        click.echo(f"{settings.path}: schema {revision}, as needed")
    else:
        click.echo(
            f"{settings.path}: schema {revision or 'none'}, needed {schema.HEAD}; run `acme-ra db upgrade`", err=True
        )
    return Exit.OK if fits else Exit.UNAVAILABLE
