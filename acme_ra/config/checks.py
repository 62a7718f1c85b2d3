"""What one section says of another: names that must exist, files that must be there, settings that contradict."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path

from acme_ra.config.document import Document, Location
from acme_ra.config.errors import Mistake
from acme_ra.config.schema import closest
from acme_ra.config.settings import Configuration
from acme_ra.core.duration import format_duration
from acme_ra.core.endpoint import parse_endpoint


def cross_check(configuration: Configuration, document: Document) -> list[Mistake]:
    """Every contradiction. File contents are checked by the packages that read them."""
    return [
        *_check_directories(configuration, document),
        *_check_listeners(configuration, document),
        *_check_files(configuration, document),
        *_check_approvers(configuration, document),
    ]


def _check_directories(configuration: Configuration, document: Document) -> Iterator[Mistake]:
    for name, directory in configuration.directories.items():
        here: Location = ("directories", name)
        for index, authority in enumerate(directory.authorities):
            if authority not in configuration.authorities:
                where = (*here, "authorities", index)
                yield _unknown(document, where, "authority", authority, configuration.authorities)
        for profile in directory.profiles:
            if profile not in configuration.profiles:
                yield _unknown(document, (*here, "profiles", profile), "profile", profile, configuration.profiles)
        for index, cluster in enumerate(directory.clusters):
            if cluster not in configuration.clusters:
                yield _unknown(document, (*here, "clusters", index), "cluster", cluster, configuration.clusters)
        if directory.caa != "off" and not directory.caa_identities:
            what = f"is {directory.caa}, but no CAA record could name this server"
            yield document.mistake((*here, "caa"), what, f"set directories.{name}.caa_identities to its domain names")


def _unknown(document: Document, where: Location, noun: str, name: str, known: Iterable[str]) -> Mistake:
    guess = closest(name, known)
    fix = f"did you mean {guess!r}?" if guess else f"there are: {', '.join(known) or 'none'}"
    return document.mistake(where, f"there is no {noun} called {name!r}", fix)


def _check_listeners(configuration: Configuration, document: Document) -> Iterator[Mistake]:
    server, metrics = configuration.server, configuration.metrics
    if metrics.listen is not None and metrics.listen == server.listen:
        yield document.mistake(("metrics", "listen"), "is the server's own endpoint", "choose another port")
    endpoint = parse_endpoint(server.listen)
    if server.external_url is None and _is_unspecified(endpoint.host):
        what = f"is {endpoint.host}, which is no address that clients can use in a URL"
        fix = "set server.external_url to the origin that clients use, such as https://ra.example.com"
        yield document.mistake(("server", "listen"), what, fix)


def _is_unspecified(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _check_files(configuration: Configuration, document: Document) -> Iterator[Mistake]:
    server = configuration.server
    files: list[tuple[Location, Path | None]] = [
        (("server", "tls", "certificate"), server.tls.certificate),
        (("server", "tls", "key"), server.tls.key),
        (("secrets", "key_file"), configuration.secrets.key_file),
        (("policies", "path"), configuration.policies.path),
    ]
    for name, authority in configuration.authorities.items():
        here: Location = ("authorities", name)
        files.append(((*here, "certificate"), authority.certificate))
        files.append(((*here, "key"), authority.key))
        files.append(((*here, "chain"), authority.chain))
        files.append(((*here, "passphrase_file"), authority.passphrase_file))
    for name, cluster in configuration.clusters.items():
        here = ("clusters", name)
        files.append(((*here, "kubeconfig"), cluster.kubeconfig))
        files.append(((*here, "ca_bundle"), cluster.ca_bundle))
        files.append(((*here, "token_file"), cluster.token_file))
    for where, path in files:
        if path is not None and not path.exists():
            yield document.mistake(where, f"there is no file {path}", _how_to_make(where))
    if not configuration.storage.path.parent.is_dir():
        what = f"its folder {configuration.storage.path.parent} does not exist"
        yield document.mistake(("storage", "path"), what, "make the folder, then run `acme-ra db upgrade`")


def _check_approvers(configuration: Configuration, document: Document) -> Iterator[Mistake]:
    """An order must live as long as it may wait, or people would be asked about what ends before they answer."""
    orders = configuration.orders
    shortest = min(orders.order_lifetime, orders.authorization_lifetime)
    if configuration.approvers and orders.approval_timeout > shortest:
        what = f"is {format_duration(orders.approval_timeout)}, but an order lives for {format_duration(shortest)}"
        fix = "shorten it, or lengthen orders.order_lifetime and orders.authorization_lifetime"
        yield document.mistake(("orders", "approval_timeout"), what, fix)


def _how_to_make(where: Location) -> str:
    if where[0] == "authorities":
        return "correct the path, or make it with `acme-ra ca init` or `acme-ra ca import`"
    return "correct the path; relative paths start at the configuration file's folder"
