"""`acme-ra issuer manifest`: a Secret and a (Cluster)Issuer for one cluster, ready to apply."""

import asyncio
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from acme_ra.cli import credentials
from acme_ra.cli.credential_show import status
from acme_ra.cli.frame import Exit, fail, global_options, print_json, session
from acme_ra.cli.known import check_cluster
from acme_ra.cli.manifests import CERT_MANAGER, Issuer, Manifest, credential_secret, render, secret_name
from acme_ra.cli.solvers import HELP, parse_solvers
from acme_ra.cli.storing import moment, opened, reported
from acme_ra.config import Configuration
from acme_ra.config.schema import closest
from acme_ra.config.secrets import read_key_file
from acme_ra.core.clock import DAY, SystemClock
from acme_ra.core.objects import Binding, Credential
from acme_ra.core.sealing import Sealer
from acme_ra.core.urls import Urls
from acme_ra.doctor.trust import NotTrusted, check_trust, find_bundle
from acme_ra.server import external_url

_LIFETIME = 90 * DAY
_OBJECT = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\Z")
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options."""

    cluster: str
    namespace: str
    kind: str
    name: str
    directory: str
    rotate: bool

    @property
    def binding(self) -> Binding:
        """The least that serves: this cluster, this directory, and for an Issuer its namespace."""
        namespaces = (self.namespace,) if self.kind == "Issuer" else ()
        return Binding(cluster=self.cluster, namespaces=namespaces, directories=(self.directory,))

    @property
    def credential_name(self) -> str:
        parts = (self.cluster, *self.binding.namespaces, self.name)
        return "/".join(parts)


@dataclass(frozen=True)
class Given:
    """The credential of an issuer; `hmac_key` is empty for one that was made before, whose secret is not told again."""

    kid: str
    name: str
    hmac_key: str
    expires: str


@click.command()
@global_options
@click.option("--cluster", required=True, help="The cluster that the credential speaks for; in `clusters:`, if there.")
@click.option("--namespace", help=f"Where the Secret goes.  [default for a ClusterIssuer: {CERT_MANAGER}]")
@click.option(
    "--issuer-kind", type=click.Choice(["ClusterIssuer", "Issuer"]), default="ClusterIssuer", show_default=True
)
@click.option("--name", default="acme-ra", show_default=True, help="The issuer's name.")
@click.option("--directory", help="Of this server.  [default: the only one]")
@click.option("--profile", default="", help="A certificate profile of the directory.")
@click.option("--solver", "solvers", multiple=True, help=HELP)
@click.option("--ca-bundle", type=click.Path(path_type=Path), help="PEM that clients trust.  [default: the server's]")
@click.option("--credential", "credential_name", help="Use this credential instead of making one.")
@click.option("--kid", help="The same, by its key id.")
@click.option("--rotate", is_flag=True, help="Give the named credential a new secret, and print that.")
def manifest(
    cluster: str,
    namespace: str | None,
    issuer_kind: str,
    name: str,
    directory: str | None,
    profile: str,
    solvers: tuple[str, ...],
    ca_bundle: Path | None,
    credential_name: str | None,
    kid: str | None,
    rotate: bool,
) -> None:
    """Print a Secret and a (Cluster)Issuer that make cert-manager in a cluster use this server.

    Makes a credential for one account, bound to the cluster and the directory, for an Issuer also to its namespace;
    unless one is named. A named one's secret is not told again, so without --rotate the Secret is left out.
    """
    configuration = session().configuration()
    asked = Asked(
        cluster=cluster,
        namespace=_namespace(issuer_kind, namespace),
        kind=issuer_kind,
        name=name,
        directory=_directory(configuration, directory),
        rotate=rotate,
    )
    _check(configuration, asked, profile)
    issuer = Issuer(
        kind=asked.kind,
        name=asked.name,
        namespace=asked.namespace,
        directory=Urls(_origin(configuration)).directory(asked.directory),
        ca_bundle=_bundle(configuration, ca_bundle),
        kid="",
        secret="",
        profile=profile,
        solvers=_solvers(solvers),
    )
    named = _find(configuration, credential_name, kid)
    given = _use(configuration, asked, named) if named else _make(configuration, asked)
    issuer = msgspec.structs.replace(issuer, kid=given.kid, secret=secret_name(given.name))
    _print(configuration, asked, issuer, given)


def _namespace(kind: str, namespace: str | None) -> str:
    if namespace is None:
        if kind == "Issuer":
            fail("--namespace: an Issuer needs the namespace that it is for", Exit.USAGE)
        return CERT_MANAGER
    if not _NAMESPACE.match(namespace):
        fail(f"--namespace {namespace!r} is no Kubernetes namespace name (a-z, 0-9 and -, 63 at most)", Exit.USAGE)
    return namespace


def _directory(configuration: Configuration, directory: str | None) -> str:
    known = list(configuration.directories)
    if directory is None:
        if len(known) > 1:
            fail(f"--directory: there are several: {', '.join(known)}; name one", Exit.USAGE)
        return known[0]
    if directory not in known:
        guess = closest(directory, known)
        fix = f"did you mean {guess!r}?" if guess else f"there are: {', '.join(known)}"
        fail(f"--directory {directory!r}: there is no such directory; {fix}", Exit.USAGE)
    return directory


def _check(configuration: Configuration, asked: Asked, profile: str) -> None:
    if not _OBJECT.match(asked.name):
        fail(f"--name {asked.name!r} is no Kubernetes object name (a-z, 0-9, - and .)", Exit.USAGE)
    if not re.match(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z", asked.cluster):
        fail(f"--cluster {asked.cluster!r} is no cluster's name (letters, digits, -, _ and .)", Exit.USAGE)
    check_cluster(configuration, asked.cluster)
    settings = configuration.directories[asked.directory]
    if settings.clusters and asked.cluster not in settings.clusters:
        fail(
            f"--cluster {asked.cluster!r}: directory {asked.directory} is for {', '.join(settings.clusters)}",
            Exit.USAGE,
        )
    offered = settings.profiles
    if profile and profile not in offered:
        fail(f"--profile {profile!r}: directory {asked.directory} offers {', '.join(offered)}", Exit.USAGE)


def _solvers(texts: tuple[str, ...]) -> tuple[Manifest, ...]:
    try:
        return parse_solvers(texts)
    except ValueError as error:
        fail(f"--solver: {error}", Exit.USAGE)


def _origin(configuration: Configuration) -> str:
    return external_url(configuration, configuration.server.endpoint)


def _bundle(configuration: Configuration, file: Path | None) -> bytes:
    """What clients need to trust the server, tried out with its own certificate: a wrong one would be applied."""
    from urllib.parse import urlsplit

    tls, host = configuration.server.tls, urlsplit(_origin(configuration)).hostname or ""
    try:
        bundle = file.read_bytes() if file is not None else find_bundle(tls)
        check_trust(tls.certificate, tls.key, host=host, bundle=bundle)
    except ValueError as error:
        fail(f"{file or tls.certificate}: {error}", Exit.CONFIGURATION)
    except NotTrusted as error:
        what = str(file) if file else "the CA bundle beside it" if bundle else "the system's trust"
        fail(
            f"a client with {what} does not accept {tls.certificate} for {host}: {error}; name the right bundle "
            "with --ca-bundle, or correct server.external_url",
            Exit.CONFIGURATION,
        )
    return bundle


def _find(configuration: Configuration, name: str | None, kid: str | None) -> Credential | None:
    if name is None and kid is None:
        return None
    found = [one for one in _all(configuration) if kid in (None, one.kid) and name in (None, one.name)]
    usable = [one for one in found if one.disabled_at is None] or found
    if not usable:
        fail(f"there is no credential {kid or name!r}; see `acme-ra credential list`", Exit.NOT_FOUND)
    if len(usable) > 1:
        kids = ", ".join(one.kid for one in usable)
        fail(f"several credentials are called {name!r}: {kids}; choose one with --kid", Exit.USAGE)
    return usable[0]


def _all(configuration: Configuration) -> list[Credential]:
    return reported(configuration, lambda reports: reports.all_credentials())


def _use(configuration: Configuration, asked: Asked, one: Credential) -> Given:
    """A credential that was made before, if it can serve this issuer."""
    binding, now, problem = one.binding, SystemClock().now(), ""
    if (state := status(one, now)) in ("disabled", "expired"):
        problem = f"is {state}"
    elif binding.cluster != asked.cluster:
        problem = f"speaks for cluster {binding.cluster!r}" if binding.cluster else "is bound to no cluster"
    elif binding.directories and asked.directory not in binding.directories:
        problem = f"is for {', '.join(binding.directories)}, not for the directory {asked.directory}"
    if problem:
        fail(f"credential {one.kid} ({one.name}) {problem}; leave --credential and --kid out to make one", Exit.REFUSED)
    if state == "used up":
        click.echo(f"{one.kid} has its {one.max_uses} account(s); another issuer cannot register with it", err=True)
    expires = moment(one.expires_at)
    if not asked.rotate:
        return Given(one.kid, one.name, "", expires)

    async def rotated() -> credentials.Secret:
        sealer = Sealer(read_key_file(configuration.secrets.key_file))
        async with opened(configuration) as store:
            return await credentials.rotate(store, sealer, SystemClock(), one)

    return Given(one.kid, one.name, asyncio.run(rotated()).hmac_key, expires)


def _make(configuration: Configuration, asked: Asked) -> Given:
    if asked.rotate:
        fail("--rotate needs --credential or --kid", Exit.USAGE)
    now, name = SystemClock().now(), asked.credential_name
    same = [one for one in _all(configuration) if one.name == name and status(one, now) != "disabled"]
    if same:
        fail(
            f"there is a credential {name!r} already ({same[0].kid}): print its issuer with --kid {same[0].kid}, its "
            f"Secret too with --rotate, or end it with `acme-ra credential disable {same[0].kid}`",
            Exit.REFUSED,
        )
    new = credentials.NewCredential(name, asked.binding, now + _LIFETIME, 1)

    async def made() -> credentials.Secret:
        sealer = Sealer(read_key_file(configuration.secrets.key_file))
        async with opened(configuration) as store:
            return await credentials.create(store, sealer, SystemClock(), new)

    secret = asyncio.run(made())
    return Given(secret.kid, name, secret.hmac_key, moment(new.expires_at))


def _print(configuration: Configuration, asked: Asked, issuer: Issuer, given: Given) -> None:
    secret = credential_secret(issuer.secret, given.hmac_key, namespace=asked.namespace)
    manifests = [secret] * bool(given.hmac_key) + [issuer.manifest()]
    undo, notes = _undo(asked, issuer), _notes(configuration, asked, issuer, given)
    if session().json:
        print_json(
            {
                "kid": given.kid,
                "credential": given.name,
                "cluster": asked.cluster,
                "directory": issuer.directory,
                "notes": notes,
                "undo": undo,
                "manifests": manifests,
            }
        )
        return
    for line in (*_explanation(asked, issuer, given), *notes, "To undo:", *(f"  {line}" for line in undo)):
        click.echo(f"# {line}")
    click.echo(render(manifests), nl=False)


def _undo(asked: Asked, issuer: Issuer) -> list[str]:
    config = shlex.quote(str(session().config_path))
    inside = f" --namespace {asked.namespace}"
    return [
        f"acme-ra credential disable {issuer.kid} --config {config}",
        f"kubectl delete {asked.kind.lower()} {asked.name}{inside if asked.kind == 'Issuer' else ''}",
        f"kubectl delete secret {issuer.secret} {issuer.account_secret}{inside} --ignore-not-found",
    ]


def _explanation(asked: Asked, issuer: Issuer, given: Given) -> list[str]:
    whose = f"namespace {asked.namespace} of cluster" if asked.kind == "Issuer" else "cluster"
    until = f"register until {given.expires}" if given.expires else "register at any time"
    return [
        f"{asked.kind} {asked.name} for {whose} {asked.cluster}; apply it with `kubectl apply -f FILE`.",
        f"Credential {given.kid} ({given.name}): {until}; the account then lasts until the credential is disabled.",
    ]


def _notes(configuration: Configuration, asked: Asked, issuer: Issuer, given: Given) -> list[str]:
    """What might surprise whoever applies this."""
    notes = []
    if not given.hmac_key:
        notes.append(
            f"The Secret {issuer.secret} (key hmac-key) must be in namespace {asked.namespace} already; "
            "--rotate prints a new one."
        )
    if asked.cluster not in configuration.clusters and asked.kind == "ClusterIssuer":
        notes.append(
            f"There is no {asked.cluster} in `clusters:` of the configuration, so the namespace behind an order is not "
            "known, and policies that select or name namespaces grant nothing."
        )
    if not issuer.ca_bundle:
        notes.append("No caBundle: cert-manager uses its system's trust for the server's certificate.")
    if not issuer.solvers:
        notes.append("No solvers: enough for names whose policy asks for no challenge; see --solver.")
    return notes
