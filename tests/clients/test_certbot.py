"""certbot, from Debian: http-01 by its own web server, dns-01 by hooks (it has no tls-alpn-01)."""

from pathlib import Path

import pytest
from cryptography import x509

from tests.clients.certificates import FORBIDDEN, audited, issued, serial, told_why
from tests.clients.conftest import World
from tests.support.oracle import events
from tests.support.software import Ran, program, run

HOOKS = Path(__file__).parent / "hooks"


class Certbot:
    """One installation of certbot."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.home = world.root / name

    def register(self, kid: str, hmac_key: str) -> Ran:
        binding = ["--eab-kid", kid, "--eab-hmac-key", hmac_key]
        return self.run("register", "--agree-tos", "--email", "ops@example.test", "--no-eff-email", *binding)

    def run(self, *arguments: str) -> Ran:
        places = [f"--{kind}-dir={self.home / kind}" for kind in ("config", "work", "logs")]
        common = ["--non-interactive", "--server", self.world.server.directory, *places]
        environment = self.world.environment(REQUESTS_CA_BUNDLE=str(self.world.server.ca_bundle))
        return run([program("certbot"), *arguments, *common], env=environment)

    def http01(self, *names: str, debug: bool = False) -> Ran:
        port = str(self.world.ports.http01)
        where = ["--standalone", "--http-01-address", "127.0.0.1", "--http-01-port", port]
        more = ["--debug"] if debug else []
        return self.run("certonly", *where, *more, *(f"--domain={name}" for name in names))

    def dns01(self, *names: str) -> Ran:
        hooks = [f"--manual-auth-hook={HOOKS}/certbot add", f"--manual-cleanup-hook={HOOKS}/certbot delete"]
        challenge = ["--manual", "--preferred-challenges", "dns", *hooks]
        return self.run("certonly", *challenge, *(f"--domain={name}" for name in names))

    def chain(self, lineage: str) -> Path:
        return self.home / "config" / "live" / lineage / "fullchain.pem"


@pytest.fixture(scope="module")
def certbot(world: World) -> Certbot:
    credential = world.server.credential("certbot")
    registered = Certbot(world, "certbot")
    registered.register(credential.kid, credential.hmac_key).ok()
    return registered


def test_http_01_issues_for_two_names(world: World, certbot: Certbot) -> None:
    """certbot answers http-01 with its own web server for each name."""
    certbot.http01("one.certbot.test", "two.certbot.test").ok()

    leaf = issued(world.server, certbot.chain("one.certbot.test"), ["one.certbot.test", "two.certbot.test"])
    assert audited(world.server, "certificate.issued", serial=serial(leaf))


def test_dns_01_issues_a_wildcard(world: World, certbot: Certbot) -> None:
    """A name and its wildcard need two TXT records of one name at the same time."""
    certbot.dns01("*.wild-certbot.test", "wild-certbot.test").ok()

    issued(world.server, certbot.chain("wild-certbot.test"), ["*.wild-certbot.test", "wild-certbot.test"])


def test_renewal_makes_a_new_certificate(world: World, certbot: Certbot) -> None:
    """`certbot renew` works from what certbot remembered of the first time."""
    certbot.http01("renewed.certbot.test").ok()
    first = issued(world.server, certbot.chain("renewed.certbot.test"), ["renewed.certbot.test"])

    chosen = ["--cert-name", "renewed.certbot.test", "--force-renewal", "--no-random-sleep-on-renew"]
    certbot.run("renew", *chosen).ok()

    second = issued(world.server, certbot.chain("renewed.certbot.test"), ["renewed.certbot.test"])
    assert second.serial_number != first.serial_number


@pytest.mark.parametrize("signed_by", ["account", "key"])
def test_revocation_is_audited(world: World, certbot: Certbot, signed_by: str) -> None:
    """Revocation signed by the account, and by the certificate's own key (RFC 8555 §7.6)."""
    name = f"revoked-{signed_by}.certbot.test"
    certbot.http01(name).ok()
    chain = certbot.chain(name)
    leaf = x509.load_pem_x509_certificate(chain.read_bytes())
    by = ["--key-path", str(chain.with_name("privkey.pem"))] if signed_by == "key" else []

    certbot.run("revoke", "--cert-path", str(chain), "--reason", "superseded", "--no-delete-after-revoke", *by).ok()

    assert audited(world.server, "certificate.revoked", serial=serial(leaf))


def test_refusal_is_told_by_certbot(world: World, certbot: Certbot) -> None:
    """A name that no policy grants is refused at newOrder, and certbot prints why.

    Without --debug certbot 2.1 stumbles over its own error class on Python 3.11 and says it in its log file only.
    """
    refused = certbot.http01(FORBIDDEN, debug=True).failed()

    told_why(refused.said)
    assert audited(world.server, "order.refused")


def test_issuance_and_refusal_are_listed_by_the_command_line(world: World, certbot: Certbot) -> None:
    """What an auditor sees of both in `acme-ra audit list`, `audit export` and `certificate list`."""
    certbot.http01("listed.certbot.test").ok()
    certbot.http01(FORBIDDEN).failed()
    leaf = issued(world.server, certbot.chain("listed.certbot.test"), ["listed.certbot.test"])
    config = str(world.server.prepared.config)

    by_serial = world.server.cli("audit", "list", "--config", config, "--serial", serial(leaf), "--output", "json")
    by_name = world.server.cli("audit", "list", "--config", config, "--name", FORBIDDEN, "--output", "json")
    exported = world.server.cli("audit", "export", "--config", config, "--format", "jsonl")
    certificates = world.server.cli("certificate", "list", "--config", config, "--output", "json")

    assert "certificate.issued" in by_serial
    assert "order.refused" in by_name
    assert len(exported.splitlines()) == len(events(world.server))
    assert serial(leaf) in certificates


def test_unregistration_deactivates_the_account(world: World) -> None:
    """`certbot unregister` deactivates the account (RFC 8555 §7.3.6)."""
    credential = world.server.credential("certbot-second")
    second = Certbot(world, "certbot-second")
    second.register(credential.kid, credential.hmac_key).ok()

    second.run("unregister").ok()

    assert audited(world.server, "account.deactivated")


def test_wrong_credential_is_told_by_certbot(world: World) -> None:
    """An unknown key id is refused, and certbot prints it."""
    stranger = Certbot(world, "certbot-stranger")

    refused = stranger.register("nobody", "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ").failed()

    assert "external account binding is not accepted" in refused.said, refused.said
