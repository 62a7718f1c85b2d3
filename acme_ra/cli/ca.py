"""`acme-ra ca`: local authorities, made here or brought along."""

import re
from pathlib import Path

import click

from acme_ra.cli.frame import Exit, LazyGroup, fail, global_options, print_fields, print_json, session
from acme_ra.core.clock import SystemClock
from acme_ra.core.duration import parse_duration
from acme_ra.core.keys import KeyAlgorithm

_COMMANDS = {
    "init": ("acme_ra.cli.ca:init", "Make a root and an intermediate below it."),
    "import": ("acme_ra.cli.ca:import_ca", "Bring a CA along: key, certificate and chain are checked."),
    "server": ("acme_ra.cli.ca:server", "Make the server's own TLS certificate, from a CA for that alone."),
    "show": ("acme_ra.cli.ca:show", "Show the authorities of the configuration."),
}


@click.group(cls=LazyGroup, commands_in=_COMMANDS)
@global_options
def ca() -> None:
    """Local authorities."""


class Lifetime(click.ParamType[int]):
    """A duration, also in years: 10y."""

    name = "DURATION"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = re.sub(r"^(\d+)y$", lambda found: f"{int(found[1]) * 365}d", str(value))
        try:
            return parse_duration(text)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_directory = click.option(
    "--directory", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where the files are written."
)
_passphrase = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Holds the passphrase that encrypts the keys.",
)
_name = click.option("--name", default="intermediate", show_default=True, help="What the authority is called.")


@click.command()
@global_options
@_directory
@_passphrase
@_name
@click.option("--organization", default="acme-ra", show_default=True, help="In the subject of both certificates.")
@click.option(
    "--algorithm",
    type=click.Choice([one.value for one in KeyAlgorithm]),
    default=KeyAlgorithm.ECDSA_P256.value,
    show_default=True,
)
@click.option("--lifetime", type=Lifetime(), default="5y", show_default=True, help="Of the intermediate.")
@click.option("--root-lifetime", type=Lifetime(), default="10y", show_default=True)
@click.option("--permit-dns", multiple=True, metavar="DOMAIN", help="Name constraint: only names below; repeatable.")
@click.option("--permit-ip", multiple=True, metavar="CIDR", help="Name constraint: only these addresses; repeatable.")
@click.option("--exclude-dns", multiple=True, metavar="DOMAIN", help="Name constraint: no names below; repeatable.")
def init(
    directory: Path,
    passphrase_file: Path,
    name: str,
    organization: str,
    algorithm: str,
    lifetime: int,
    root_lifetime: int,
    permit_dns: tuple[str, ...],
    permit_ip: tuple[str, ...],
    exclude_dns: tuple[str, ...],
) -> None:
    """Make a root and an intermediate below it. Nothing is overwritten.

    Move root.key to where no server can read it: it is needed for the next intermediate only.
    """
    from ipaddress import ip_network

    from acme_ra.issuance.setup import Constraints, NewAuthority, init_authority

    try:
        networks = tuple(ip_network(one) for one in permit_ip)
    except ValueError as error:
        fail(f"--permit-ip: {error}; write it like 10.0.0.0/8", Exit.USAGE)
    constraints = Constraints(permitted_dns=permit_dns, permitted_ip=networks, excluded_dns=exclude_dns)
    new = NewAuthority(
        directory=directory,
        name=name,
        organization=organization,
        algorithm=KeyAlgorithm(algorithm),
        constraints=constraints,
        root_lifetime=root_lifetime,
        lifetime=lifetime,
    )
    files = init_authority(new, passphrase=_read(passphrase_file), now=SystemClock().now())
    _print_files(
        name,
        {"certificate": files.certificate, "key": files.key, "chain": files.root, "root_key": files.root_key},
        passphrase_file,
    )


@click.command("import")
@global_options
@_directory
@_passphrase
@_name
@click.option("--certificate", type=click.Path(path_type=Path), required=True, help="PEM: the issuing certificate.")
@click.option("--key", type=click.Path(path_type=Path), required=True, help="PEM: its private key.")
@click.option("--chain", type=click.Path(path_type=Path), help="PEM: the certificates above it, up to the root.")
@click.option("--key-passphrase-file", type=click.Path(path_type=Path), help="If the given key is encrypted.")
def import_ca(
    directory: Path,
    passphrase_file: Path,
    name: str,
    certificate: Path,
    key: Path,
    chain: Path | None,
    key_passphrase_file: Path | None,
) -> None:
    """Bring a CA along. Key, certificate and chain must fit together; the key is encrypted anew."""
    from acme_ra.issuance.setup import BroughtAuthority, import_authority

    key_passphrase = None if key_passphrase_file is None else _read(key_passphrase_file)
    brought = BroughtAuthority(certificate=certificate, key=key, chain=chain, key_passphrase=key_passphrase)
    files = import_authority(
        brought, directory=directory, name=name, passphrase=_read(passphrase_file), now=SystemClock().now()
    )
    _print_files(name, {"certificate": files.certificate, "key": files.key, "chain": files.root}, passphrase_file)


@click.command()
@global_options
@_directory
@click.option(
    "--host", "hosts", multiple=True, required=True, metavar="NAME", help="What clients connect to; repeatable."
)
@click.option("--root", type=click.Path(path_type=Path, dir_okay=False), required=True, help="PEM: the issuing root.")
def server(directory: Path, hosts: tuple[str, ...], root: Path) -> None:
    """Make the server's own TLS certificate: server.pem, server.key, and ca-bundle.pem for clients.

    It comes from a CA made for it alone, whose key is forgotten at once: issuing keys sign what policy approved, and
    nothing else. What is there is kept while it names the hosts and lasts for 60 days; a new one has a new bundle.
    """
    from acme_ra.issuance.serving import ensure_server_certificate, read_root

    files, made = ensure_server_certificate(directory, root=read_root(root), hosts=hosts, now=SystemClock().now())
    if session().json:
        paths = {"certificate": files.certificate, "key": files.key, "ca_bundle": files.ca_bundle}
        print_json({"made": made, **{name: str(path) for name, path in paths.items()}})
        return
    print_fields([("certificate", files.certificate), ("key", files.key), ("ca bundle", files.ca_bundle)])
    click.echo("Clients need the new CA bundle." if made else "It was there, and is kept.")


@click.command()
@global_options
def show() -> None:
    """Show the authorities of the configuration: subject, validity, constraints, chain."""
    import msgspec

    from acme_ra.cli.storing import moment
    from acme_ra.core.urls import Urls
    from acme_ra.issuance.profiles import Profile
    from acme_ra.issuance.registry import open_authorities

    configuration = session().configuration()
    profiles = {name: Profile(name, settings) for name, settings in configuration.profiles.items()}
    urls = Urls("https://localhost")
    described = [
        one.describe() for one in open_authorities(configuration.authorities, profiles=profiles, urls=urls).values()
    ]
    if session().json:
        print_json([msgspec.to_builtins(one) for one in described])
        return
    for index, one in enumerate(described):
        if index:
            click.echo()
        fields = msgspec.to_builtins(one)
        fields["not_before"], fields["not_after"] = moment(one.not_before), moment(one.not_after)
        print_fields(
            (name.replace("_", " "), ", ".join(value) if isinstance(value, list | tuple) else value)
            for name, value in fields.items()
        )


def _read(passphrase_file: Path) -> bytes:
    from acme_ra.issuance.signers.file import read_passphrase

    passphrase = read_passphrase(file=passphrase_file, variable=None)
    if not passphrase:
        fail(f"{passphrase_file} holds no passphrase; write one into its first line")
    return passphrase


def _print_files(name: str, files: dict[str, Path | None], passphrase_file: Path) -> None:
    if session().json:
        print_json({key: str(path) for key, path in files.items() if path is not None})
        return
    print_fields((key.replace("_", " "), path) for key, path in files.items())
    absolute = {key: path.resolve() for key, path in files.items() if path is not None and key != "root_key"}
    click.echo("\nFor the configuration file:\n\nauthorities:")
    click.echo(f"  {name}:\n    kind: local")
    for key, path in absolute.items():
        click.echo(f"    {key}: {path}")
    click.echo(f"    passphrase_file: {passphrase_file.resolve()}")
