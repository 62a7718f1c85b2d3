"""lego, from Debian: http-01 and tls-alpn-01 by its own servers, dns-01 by RFC 2136 against bind9."""

from pathlib import Path

import pytest

from tests.clients.certificates import FORBIDDEN, audited, issued, serial, told_why
from tests.clients.conftest import World
from tests.support.bind import KEY_NAME
from tests.support.server import Credential
from tests.support.software import Ran, program, run


class Lego:
    """lego with one account; each call names challenge and command."""

    def __init__(self, world: World, credential: Credential) -> None:
        self.world = world
        self.credential = credential
        self.home = world.root / "lego"
        dns = f"127.0.0.1:{world.ports.dns}"
        self.challenges = {
            "http-01": ["--http", f"--http.port=127.0.0.1:{world.ports.http01}"],
            "tls-alpn-01": ["--tls", f"--tls.port=127.0.0.1:{world.ports.tlsalpn01}"],
            "dns-01": ["--dns=rfc2136", f"--dns.resolvers={dns}", "--dns.disable-cp"],
        }
        self.settings = {
            "LEGO_CA_CERTIFICATES": str(world.server.ca_bundle),
            "RFC2136_NAMESERVER": dns,
            "RFC2136_TSIG_ALGORITHM": "hmac-sha256.",
            "RFC2136_TSIG_KEY": f"{KEY_NAME}.",
            "RFC2136_TSIG_SECRET": world.bind.secret,
            "RFC2136_SEQUENCE_INTERVAL": "1",
            "RFC2136_POLLING_INTERVAL": "1",
        }

    def run(self, challenge: str, names: list[str], *command: str) -> Ran:
        binding = ["--eab", "--kid", self.credential.kid, "--hmac", self.credential.hmac_key]
        where = [f"--server={self.world.server.directory}", f"--path={self.home}"]
        who = ["--accept-tos", "--email=ops@example.test", *binding]
        asked = [f"--domains={name}" for name in names]
        argv = [program("lego"), *where, *who, *self.challenges[challenge], *asked, *command]
        return run(argv, env=self.world.environment(**self.settings))

    def chain(self, name: str) -> Path:
        return self.home / "certificates" / f"{name.replace('*', '_')}.crt"


@pytest.fixture(scope="module")
def lego(world: World) -> Lego:
    return Lego(world, world.server.prepared.credential)


@pytest.mark.parametrize(
    ("challenge", "names"),
    [
        ("http-01", ["http.lego.test", "also.lego.test"]),
        ("tls-alpn-01", ["alpn.lego.test"]),
        ("dns-01", ["dns-lego.test"]),
        ("dns-01", ["*.wild-lego.test", "wild-lego.test"]),
    ],
)
def test_each_challenge_issues(world: World, lego: Lego, challenge: str, names: list[str]) -> None:
    """lego proves names by all three challenges, and a wildcard by dns-01."""
    lego.run(challenge, names, "run").ok()

    leaf = issued(world.server, lego.chain(names[0]), names)
    assert audited(world.server, "certificate.issued", serial=serial(leaf))


def test_renewal_makes_a_new_certificate(world: World, lego: Lego) -> None:
    """`lego renew` orders again with the account that it has."""
    names = ["renewed.lego.test"]
    lego.run("http-01", names, "run").ok()
    first = issued(world.server, lego.chain(names[0]), names)

    lego.run("http-01", names, "renew", "--days", "36500", "--no-random-sleep").ok()

    assert issued(world.server, lego.chain(names[0]), names).serial_number != first.serial_number


def test_revocation_is_audited(world: World, lego: Lego) -> None:
    """`lego revoke` signs with the account's key."""
    names = ["revoked.lego.test"]
    lego.run("http-01", names, "run").ok()
    leaf = issued(world.server, lego.chain(names[0]), names)

    lego.run("http-01", names, "revoke", "--reason", "4", "--keep").ok()

    assert audited(world.server, "certificate.revoked", serial=serial(leaf))


def test_refusal_is_told_by_lego(world: World, lego: Lego) -> None:
    """A name that no policy grants is refused, and lego prints why."""
    refused = lego.run("http-01", [FORBIDDEN], "run").failed()

    told_why(refused.said)


def test_failed_validation_is_told_by_lego(world: World, lego: Lego) -> None:
    """Nobody answers tls-alpn-01 where the server looks: lego prints what the server met."""
    lego.challenges["nowhere"] = ["--tls", f"--tls.port=127.0.0.1:{world.ports.http01}"]

    refused = lego.run("nowhere", ["nobody.lego.test"], "run").failed()

    assert "nobody.lego.test" in refused.said
    assert "urn:ietf:params:acme:error:connection" in refused.said, refused.said
