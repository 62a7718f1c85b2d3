"""What `quickstart` makes: a data directory with everything in it. What is there already is kept."""

import asyncio
import os
import re
import secrets
import socket
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import msgspec

from acme_ra.cli import credentials
from acme_ra.config import Configuration, load_configuration
from acme_ra.config.secrets import create_key_file, read_key_file, write_private
from acme_ra.core.clock import SystemClock
from acme_ra.core.endpoint import Endpoint
from acme_ra.core.objects import Binding
from acme_ra.core.sealing import Sealer
from acme_ra.issuance.serving import ensure_server_certificate
from acme_ra.issuance.setup import NewAuthority, init_authority
from acme_ra.listener import endpoint_of, reserve
from acme_ra.storage import admin
from acme_ra.storage.store import open_store

CONFIG, POLICIES = "acme-ra.yaml", "quickstart.yaml"
NAMESPACE, CREDENTIAL = "demo", "quickstart"
_UNSPECIFIED = ("0.0.0.0", "::")  # noqa: S104  compared, not bound


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `quickstart`. None leaves what the configuration file says."""

    data: Path
    listen: Endpoint | None
    hostname: str | None
    workers: int | None


class EAB(msgspec.Struct, frozen=True):
    """The first credential, kept in secrets/eab.json so that a later start can show it again."""

    kid: str
    hmac_key: str


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A data directory that can be served. `reserved` holds the port."""

    configuration: Configuration
    config: Path
    ca_bundle: Path
    eab: EAB
    reserved: socket.socket


def prepare(asked: Asked, tell: Callable[[str], None]) -> Prepared:
    """Make what is missing, migrate the database. `tell` gets a line for each thing made.

    Raises ConfigurationInvalid, AuthorityMisconfigured, KeyFileUnusable, ListenFailed, SchemaTooNew, OSError.
    """
    data = asked.data.resolve()
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    config = data / CONFIG
    reserved = _write_configuration(config, asked, tell)
    configuration = load_configuration(config, os.environ, check=False)
    if reserved is not None and endpoint_of(reserved).port != configuration.server.endpoint.port:
        reserved.close()
        reserved = None
    reserved = reserved or reserve(configuration.server.endpoint)
    _make_keys(data, configuration, tell)
    _make_policies(data, tell)
    ca_bundle = _make_server_certificate(data, configuration, asked, tell)
    admin.upgrade(configuration.storage)
    eab = asyncio.run(_make_credential(data, configuration, tell))
    # Everything is there now, so that whatever is still wrong is a mistake to tell.
    configuration = load_configuration(config, os.environ)
    return Prepared(configuration=configuration, config=config, ca_bundle=ca_bundle, eab=eab, reserved=reserved)


def _write_configuration(config: Path, asked: Asked, tell: Callable[[str], None]) -> socket.socket | None:
    """The example configuration with this listener, or the one that is there with what was asked for now."""
    listen, reserved = asked.listen, None
    if config.exists():
        text = config.read_text("utf-8")
        if listen is not None and listen.port == 0:
            listen = None  # a port was chosen at the first start
    else:
        text = _packaged("acme-ra.yaml", "config/acme-ra.yaml").replace("../data/", "")
        reserved = reserve(listen or Endpoint("127.0.0.1", 14000))
        chosen = endpoint_of(reserved).port
        listen = Endpoint((listen or Endpoint("127.0.0.1", 0)).host, chosen)
    before = text
    if listen is not None:
        text = _set(text, "listen", str(listen))
    if asked.hostname is not None:
        port = (listen or _listen_in(text)).port
        text = _set(text, "external_url", f"https://{Endpoint(asked.hostname, port)}")
    if asked.workers is not None:
        text = _set(text, "workers", str(asked.workers))
    if not config.exists():
        config.write_text(text, "utf-8")
        tell(f"{config}: configuration")
    elif text != before:
        temporary = config.with_suffix(".new")
        temporary.write_text(text, "utf-8")
        temporary.replace(config)
        tell(f"{config}: changed as asked")
    return reserved


def _set(text: str, key: str, value: str) -> str:
    """Set a key of the section `server`, which the example has in a line of its own, perhaps commented out."""
    line = re.compile(rf"^  (?:# )?{key}:[^\n#]*(?=\s#|$)", re.MULTILINE)
    if not line.search(text):
        return re.sub(r"^server:[^\n]*\n", lambda found: f"{found[0]}  {key}: {value}\n", text, count=1, flags=re.M)
    return line.sub(f"  {key}: {value}", text, count=1)


def _listen_in(text: str) -> Endpoint:
    from acme_ra.core.endpoint import parse_endpoint

    found = re.search(r"^  listen:\s*(\S+)", text, re.MULTILINE)
    return parse_endpoint(found[1]) if found else Endpoint("127.0.0.1", 14000)


def _make_keys(data: Path, configuration: Configuration, tell: Callable[[str], None]) -> None:
    key_file = configuration.secrets.key_file
    if not key_file.exists():
        create_key_file(key_file)
        tell(f"{key_file}: master key; back it up, it opens the credentials in the database")
    authority = configuration.authorities.get("intermediate")
    if authority is None or authority.certificate != data / "ca" / "intermediate.pem":
        return
    if authority.certificate.exists() or authority.passphrase_file is None:
        return
    if not authority.passphrase_file.exists():
        write_private(authority.passphrase_file, secrets.token_urlsafe(24).encode() + b"\n")
    passphrase = authority.passphrase_file.read_bytes().strip()
    files = init_authority(NewAuthority(directory=data / "ca"), passphrase=passphrase, now=SystemClock().now())
    tell(f"{files.certificate}: intermediate CA, key encrypted")
    tell(f"{files.root_key}: root key; move it to where no server can read it")


def _make_policies(data: Path, tell: Callable[[str], None]) -> None:
    folder = data / "policies"
    if folder.exists():
        return  # whoever empties the folder means it
    folder.mkdir()
    (folder / POLICIES).write_text(_packaged("quickstart-policies.yaml", f"config/policies/{POLICIES}"), "utf-8")
    tell(f"{folder / POLICIES}: example policies")


def _make_server_certificate(
    data: Path, configuration: Configuration, asked: Asked, tell: Callable[[str], None]
) -> Path:
    listen = configuration.server.endpoint.host
    hosts = [] if listen in _UNSPECIFIED else [listen]
    external = configuration.server.external_url
    if external is not None:
        hosts.append(external.removeprefix("https://").rsplit(":", 1)[0].strip("[]"))
    if asked.hostname is not None and asked.hostname not in hosts:
        hosts.append(asked.hostname)
    root = (data / "ca" / "root.pem").read_bytes()
    files, made = ensure_server_certificate(data / "tls", root=root, hosts=hosts, now=SystemClock().now())
    if made:
        tell(f"{files.certificate}: the server's certificate; its CA and the root are in {files.ca_bundle.name}")
    return files.ca_bundle


async def _make_credential(data: Path, configuration: Configuration, tell: Callable[[str], None]) -> EAB:
    """One credential for the namespace demo, for any number of accounts; made again only when it is gone."""
    file = data / "secrets" / "eab.json"
    clock = SystemClock()
    store = await open_store(configuration.storage, clock=clock)
    try:
        if file.exists():
            eab = msgspec.json.decode(file.read_bytes(), type=EAB)
            if await store.credential(eab.kid) is not None:
                return eab
            file.unlink()  # of another database
        binding = Binding(cluster=CREDENTIAL, namespaces=(NAMESPACE,))
        new = credentials.NewCredential(CREDENTIAL, binding, None, None)
        sealer = Sealer(read_key_file(configuration.secrets.key_file))
        secret = await credentials.create(store, sealer, clock, new)
    finally:
        await store.close()
    eab = EAB(secret.kid, secret.hmac_key)
    write_private(file, msgspec.json.encode(eab) + b"\n")
    tell(f"{file}: EAB credential for namespace {NAMESPACE}, readable by you only")
    return eab


def _packaged(name: str, in_checkout: str) -> str:
    """A file of the installed package, or of the checkout that the package is run from."""
    installed = resources.files("acme_ra").joinpath("data", name)
    if installed.is_file():
        return installed.read_text("utf-8")
    return (Path(__file__).resolve().parents[2] / in_checkout).read_text("utf-8")
