"""dehydrated, from Debian: a shell script over curl and openssl, all three challenges by files and hooks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.certificates import FORBIDDEN, audited, issued, serial, told_why
from tests.clients.conftest import World
from tests.support.responders import alpn_responder, webroot
from tests.support.server import Credential
from tests.support.software import Ran, program, run

HOOKS = Path(__file__).parent / "hooks"
CONFIGURATION = """\
CA="{directory}"
CURL_OPTS="--cacert {bundle}"
EAB_KID="{kid}"
EAB_HMAC_KEY="{hmac_key}"
BASEDIR="{home}"
WELLKNOWN="{challenges}"
ALPNCERTDIR="{alpn}"
HOOK="{hooks}/dehydrated"
CONTACT_EMAIL="ops@example.test"
KEY_ALGO="{algorithm}"
KEYSIZE="2048"
"""


class Dehydrated:
    """dehydrated with one account."""

    def __init__(self, world: World, credential: Credential, *, algorithm: str = "prime256v1") -> None:
        self.world = world
        self.home = world.root / "dehydrated"
        self.home.mkdir(exist_ok=True)
        self.alpn = self.home / "alpn"
        self.alpn.mkdir(exist_ok=True)
        self.web = self.home / "web"
        self.configuration = self.home / "config"
        self.configuration.write_text(
            CONFIGURATION.format(
                directory=world.server.directory,
                bundle=world.server.ca_bundle,
                kid=credential.kid,
                hmac_key=credential.hmac_key,
                home=self.home,
                challenges=self.web / ".well-known" / "acme-challenge",
                alpn=self.alpn,
                hooks=HOOKS,
                algorithm=algorithm,
            )
        )

    def run(self, challenge: str, *arguments: str) -> Ran:
        argv: list[str | Path] = [program("dehydrated"), "--config", self.configuration, *arguments]
        return run(argv, env=self.world.environment(TEST_CHALLENGE=challenge))

    def issue(self, challenge: str, names: list[str], *more: str) -> Ran:
        asked = ["--domain", " ".join(names), "--alias", self.alias(names[0])]
        return self.run(challenge, "--cron", *asked, "--challenge", challenge, *more)

    @staticmethod
    def alias(name: str) -> str:
        return name.replace("*", "star")

    def chain(self, name: str) -> Path:
        return self.home / "certs" / self.alias(name) / "fullchain.pem"


@pytest.fixture(scope="module")
def dehydrated(world: World) -> Iterator[Dehydrated]:
    program("curl")
    client = Dehydrated(world, world.server.prepared.credential)
    with webroot(client.web, world.ports.http01), alpn_responder(client.alpn, world.ports.tlsalpn01):
        client.run("none", "--register", "--accept-terms").ok()
        yield client


@pytest.mark.parametrize(
    ("challenge", "names"),
    [
        ("http-01", ["http.dehydrated.test", "also.dehydrated.test"]),
        ("dns-01", ["dns-dehydrated.test"]),
        ("dns-01", ["*.wild-dehydrated.test", "wild-dehydrated.test"]),
        ("tls-alpn-01", ["alpn.dehydrated.test"]),
    ],
)
def test_each_challenge_issues(world: World, dehydrated: Dehydrated, challenge: str, names: list[str]) -> None:
    """dehydrated proves names by all three challenges, and a wildcard by dns-01."""
    dehydrated.issue(challenge, names).ok()

    leaf = issued(world.server, dehydrated.chain(names[0]), names)
    assert audited(world.server, "certificate.issued", serial=serial(leaf))


@pytest.mark.parametrize("algorithm", ["rsa", "secp384r1"])
def test_other_keys_are_signed(world: World, dehydrated: Dehydrated, algorithm: str) -> None:
    """RSA-2048 and P-384 certificate keys."""
    name = f"{algorithm}.dehydrated.test"

    dehydrated.issue("http-01", [name], "--algo", algorithm).ok()

    issued(world.server, dehydrated.chain(name), [name])


def test_renewal_makes_a_new_certificate(world: World, dehydrated: Dehydrated) -> None:
    """A forced run makes a new key and a new certificate."""
    names = ["renewed.dehydrated.test"]
    dehydrated.issue("http-01", names).ok()
    first = issued(world.server, dehydrated.chain(names[0]), names)

    dehydrated.issue("http-01", names, "--force").ok()

    assert issued(world.server, dehydrated.chain(names[0]), names).serial_number != first.serial_number


def test_revocation_is_audited(world: World, dehydrated: Dehydrated) -> None:
    """`dehydrated --revoke` signs with the account's key."""
    names = ["revoked.dehydrated.test"]
    dehydrated.issue("http-01", names).ok()
    leaf = issued(world.server, dehydrated.chain(names[0]), names)

    dehydrated.run("none", "--revoke", str(dehydrated.chain(names[0]).with_name("cert.pem"))).ok()

    assert audited(world.server, "certificate.revoked", serial=serial(leaf))


def test_refusal_is_told_by_dehydrated(world: World, dehydrated: Dehydrated) -> None:
    """A name that no policy grants is refused, and dehydrated prints why."""
    refused = dehydrated.issue("http-01", [FORBIDDEN]).failed()

    told_why(refused.said)
