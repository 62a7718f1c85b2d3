"""`acme-ra policy lint`."""

from pathlib import Path

import click

from acme_ra.cli.frame import Exit, global_options, print_json, safe, session


@click.command(
    epilog="""\b
Exit codes:
  0  nothing to remark
  1  there are remarks
  3  the policies cannot be loaded; every mistake is told, as `policy check` does
"""
)
@global_options
@click.argument("path", required=False, type=click.Path(path_type=Path))
def lint(path: Path | None) -> int:
    """Tell what is valid and hardly meant in the policies of PATH (default: those of the configuration).

    \b
    selects-nothing  a selector of a grant is empty
    gives-nothing    a grant names nothing
    always-refused   one guard refuses whatever a grant gives
    unreachable      another grant gives all of it on the same terms
    broad-name       a pattern matches more than it seems to: *example.com
    public-suffix    a pattern gives whole domains: **.co.uk

    Each remark has its file, line, key and fix. It is made only where it is certain, so silence proves nothing.
    """
    from acme_ra.policy.documents import read_sources
    from acme_ra.policy.lint import lint as remarks

    found = remarks(read_sources(path if path is not None else session().configuration().policies.path))
    if session().json:
        told = [{"check": one.check, "policy": one.policy, **one.mistake._asdict()} for one in found]
        print_json({"remarks": told})
    else:
        for one in found:
            click.echo(f"{safe(one.mistake)} [{one.check}]")
        if not found:
            click.echo("nothing to remark", err=True)
    return Exit.FAILURE if found else Exit.OK
