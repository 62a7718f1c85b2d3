"""Caddy, from Debian: gets and renews certificates by itself while it serves (http-01 and tls-alpn-01).

Debian builds it without DNS plug-ins, so it cannot ask for wildcards, and it has no command to revoke.
"""

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509

from tests.clients.certificates import FORBIDDEN, audited, serial, told_why
from tests.clients.conftest import World
from tests.support.bind import named
from tests.support.oracle import check
from tests.support.ports import free_port
from tests.support.processes import Process, wait_for
from tests.support.server import Ports, served
from tests.support.software import program, run

CADDYFILE = """\
{{
  admin off
  auto_https disable_redirects
  http_port {http}
  https_port {https}
  storage file_system {storage}
  acme_ca {directory}
  acme_ca_root {bundle}
  acme_eab {{
    key_id {kid}
    mac_key {hmac_key}
  }}
  email ops@example.test
  renew_interval 1s
}}
https://{name} {{
  tls {{
    issuer acme {{
      dir {directory}
      trusted_roots {bundle}
      eab {kid} {hmac_key}
      email ops@example.test
      {disabled}
    }}
  }}
  respond "served by Caddy"
}}
"""


@contextmanager
def caddy(
    world: World, name: str, *, challenge: str, renewal_window: float | None = None
) -> Iterator[tuple[Process, int]]:
    """A running Caddy that wants a certificate for one name, and its https port.

    `renewal_window` is the share of a certificate's life in which Caddy renews it; a third unless told.
    """
    credential = world.server.prepared.credential
    http, https = free_port(), free_port()
    if challenge == "http-01":
        http, disabled = world.ports.http01, "disable_tlsalpn_challenge"
    else:
        https, disabled = world.ports.tlsalpn01, "disable_http_challenge"
    home = world.root / f"caddy-{name}"
    home.mkdir()
    configuration = home / "Caddyfile"
    configuration.write_text(
        CADDYFILE.format(
            http=http,
            https=https,
            storage=home / "storage",
            directory=world.server.directory,
            bundle=world.server.ca_bundle,
            kid=credential.kid,
            hmac_key=credential.hmac_key,
            name=name,
            disabled=disabled,
        )
    )
    adapted = run([program("caddy"), "adapt", "--config", configuration], env=world.environment()).ok().out
    document = json.loads(adapted)
    if renewal_window is not None:
        for policy in document["apps"]["tls"]["automation"]["policies"]:
            policy["renewal_window_ratio"] = renewal_window
    (home / "caddy.json").write_text(json.dumps(document))
    argv: list[str | Path] = [program("caddy"), "run", "--config", home / "caddy.json"]
    with Process(argv, name="caddy", logs=home, env={"HOME": str(home), "XDG_DATA_HOME": str(home)}) as process:
        yield process, https
        process.stop()


def served_certificate(world: World, name: str, port: int) -> x509.Certificate | None:
    """What Caddy shows to a visitor who trusts our CA bundle; None while there is nothing good."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
            world.server.tls().wrap_socket(plain, server_hostname=name) as shaken,
        ):
            der = shaken.getpeercert(binary_form=True)
    except (OSError, ssl.SSLError):
        return None
    assert der is not None
    return x509.load_der_x509_certificate(der)


def test_http_01_certificate_is_served(world: World) -> None:
    """Caddy registers with the credential, answers http-01, and serves what it got."""
    with caddy(world, "http.caddy.test", challenge="http-01") as (process, port):
        leaf = wait_for(
            lambda: served_certificate(world, "http.caddy.test", port), what="a certificate", log=process.log
        )

    assert audited(world.server, "certificate.issued", serial=serial(leaf))


def test_tls_alpn_01_certificate_is_served(world: World) -> None:
    """The same by tls-alpn-01 on the port that it serves on."""
    with caddy(world, "alpn.caddy.test", challenge="tls-alpn-01") as (process, port):
        leaf = wait_for(
            lambda: served_certificate(world, "alpn.caddy.test", port), what="a certificate", log=process.log
        )

    assert audited(world.server, "certificate.issued", serial=serial(leaf))


def test_certificate_is_renewed_while_it_serves(tmp_path: Path) -> None:
    """Caddy renews by itself, here after a twentieth of five minutes, and serves the new certificate."""
    name, ports = "renewed.caddy.test", Ports()

    def short(configuration: dict[str, Any]) -> None:
        configuration["profiles"]["default"] |= {"validity": "5m", "backdate": "0s"}

    with named(tmp_path, ports.dns) as bind, served(tmp_path, ports=ports, change=short) as server:
        world = World(server, bind, tmp_path)
        with caddy(world, name, challenge="http-01", renewal_window=0.95) as (process, port):
            first = wait_for(lambda: served_certificate(world, name, port), what="a certificate", log=process.log)
            second = wait_for(
                lambda: _other_than(first, served_certificate(world, name, port)),
                what="another certificate",
                log=process.log,
                every=0.5,
            )
        check(server, held=[first, second])


def _other_than(first: x509.Certificate, now: x509.Certificate | None) -> x509.Certificate | None:
    return now if now is not None and now != first else None


def test_refusal_is_told_by_caddy(world: World) -> None:
    """A name that no policy grants is refused, and Caddy's log tells why."""
    with caddy(world, FORBIDDEN, challenge="http-01") as (process, _):
        wait_for(lambda: "rejectedIdentifier" in process.log(), what="the refusal in Caddy's log", log=process.log)
        said = process.log()

    told_why(said)
