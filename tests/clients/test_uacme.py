"""uacme, from Debian: http-01 by files, dns-01 by nsupdate, tls-alpn-01 by its own ualpn; it knows IP identifiers.

It trusts the system's CA file only, so it runs in a mount namespace of its own where that file is our bundle.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.certificates import FORBIDDEN, audited, issued, serial, told_why
from tests.clients.conftest import World
from tests.support.ports import free_port
from tests.support.processes import Process, wait_for
from tests.support.responders import webroot
from tests.support.server import Credential
from tests.support.software import Ran, program, run

HOOKS = Path(__file__).parent / "hooks"
SYSTEM_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
TRUSTING = 'mount --bind "$0" "$1" && shift && exec "$@"'


class Uacme:
    """uacme with one account."""

    def __init__(self, world: World, credential: Credential) -> None:
        self.world = world
        self.home = world.root / "uacme"
        self.credential = credential
        self.settings = {
            "TEST_WEBROOT": str(world.root / "uacme-web" / ".well-known" / "acme-challenge"),
            "TEST_UALPN_SOCKET": str(world.root / "ualpn.sock"),
        }

    def run(self, challenge: str, *arguments: str) -> Ran:
        trusting = [program("unshare"), "-m" if os.geteuid() == 0 else "-rm", "sh", "-c", TRUSTING]
        binding = ["-e", f"{self.credential.kid}:{self.credential.hmac_key}"]
        client = [program("uacme"), "-v", "-v", "-a", self.world.server.directory, "-c", str(self.home), *binding]
        argv = [*trusting, str(self.world.server.ca_bundle), SYSTEM_BUNDLE, *client, "-t", "EC", *arguments]
        return run(argv, env=self.world.environment(TEST_CHALLENGE=challenge, **self.settings))

    def issue(self, challenge: str, *names: str, force: bool = False) -> Ran:
        again = ["-f"] if force else []
        return self.run(challenge, "-h", str(HOOKS / "uacme"), *again, "issue", *names)

    def chain(self, name: str) -> Path:
        return self.home / name.removeprefix("*.") / "cert.pem"


@pytest.fixture(scope="module")
def uacme(world: World) -> Iterator[Uacme]:
    assert Path(SYSTEM_BUNDLE).exists(), "this test needs the package ca-certificates (apt-get install)"
    client = Uacme(world, world.server.prepared.credential)
    with webroot(world.root / "uacme-web", world.ports.http01):
        client.run("none", "-y", "new", "ops@example.test").ok()
        yield client


@pytest.fixture(scope="module")
def ualpn(world: World, uacme: Uacme) -> Iterator[Process]:
    """The responder that comes with uacme; what is no challenge it would pass on to a port where nobody is."""
    sock = Path(uacme.settings["TEST_UALPN_SOCKET"])
    listen = f"127.0.0.1@{world.ports.tlsalpn01}"
    argv = [program("ualpn"), "-v", "-b", listen, "-c", f"127.0.0.1@{free_port()}", "-n", "1", "-P", "0"]
    argv += ["-s", str(sock), "-p", str(world.root / "ualpn.pid")]
    with Process(argv, name="ualpn", logs=world.root) as process:
        wait_for(sock.exists, what="ualpn's socket", log=process.log)
        yield process


@pytest.mark.parametrize(
    ("challenge", "names"),
    [
        ("http-01", ["http.uacme.test", "also.uacme.test"]),
        ("http-01", ["127.0.0.1"]),
        ("dns-01", ["dns-uacme.test"]),
        ("dns-01", ["*.wild-uacme.test", "wild-uacme.test"]),
        ("tls-alpn-01", ["alpn.uacme.test"]),
    ],
)
def test_each_challenge_issues(world: World, uacme: Uacme, ualpn: Process, challenge: str, names: list[str]) -> None:
    """uacme proves names by all three challenges, an IP address by http-01, and a wildcard by dns-01."""
    uacme.issue(challenge, *names).ok()

    leaf = issued(world.server, uacme.chain(names[0]), names)
    assert audited(world.server, "certificate.issued", serial=serial(leaf))


def test_renewal_makes_a_new_certificate(world: World, uacme: Uacme) -> None:
    """A forced second issue replaces the file."""
    uacme.issue("http-01", "renewed.uacme.test").ok()
    first = issued(world.server, uacme.chain("renewed.uacme.test"), ["renewed.uacme.test"])

    uacme.issue("http-01", "renewed.uacme.test", force=True).ok()

    second = issued(world.server, uacme.chain("renewed.uacme.test"), ["renewed.uacme.test"])
    assert second.serial_number != first.serial_number


@pytest.mark.parametrize("signed_by", ["account", "key"])
def test_revocation_is_audited(world: World, uacme: Uacme, signed_by: str) -> None:
    """Revocation signed by the account, and by the certificate's own key."""
    name = f"revoked-{signed_by}.uacme.test"
    uacme.issue("http-01", name).ok()
    leaf = issued(world.server, uacme.chain(name), [name])
    by = [str(uacme.home / "private" / name / "key.pem")] if signed_by == "key" else []

    uacme.run("none", "-r", "4", "revoke", str(uacme.chain(name)), *by).ok()

    assert audited(world.server, "certificate.revoked", serial=serial(leaf))


def test_refusal_is_told_by_uacme(world: World, uacme: Uacme) -> None:
    """A name that no policy grants is refused, and uacme prints why."""
    refused = uacme.issue("http-01", FORBIDDEN).failed()

    told_why(refused.said)


def test_account_changes_key_and_contact_and_ends(world: World, uacme: Uacme) -> None:
    """newkey, update and deactivate, with an account of its own; afterwards it gets nothing."""
    other = Uacme(world, world.server.prepared.credential)
    other.home = world.root / "uacme-other"
    other.run("none", "-y", "new", "ops@example.test").ok()

    other.run("none", "newkey").ok()
    other.run("none", "update", "changed@example.test").ok()
    other.issue("http-01", "other.uacme.test").ok()
    other.run("none", "deactivate").ok()

    shutil.rmtree(other.home / "other.uacme.test")
    other.issue("http-01", "other.uacme.test").failed()
    for kind in ("account.key-changed", "account.updated", "account.deactivated"):
        assert audited(world.server, kind), kind
