"""Which challenge types fit which identifier."""

import pytest

from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.problems import Malformed, ServiceUnavailable
from acme_ra.validation.service import ValidationAuthority
from tests.support.challenge_peers import settings, target

ALL = ("tls-alpn-01", "dns-01", "http-01")
DNS = Identifier(IdentifierType.DNS, "shop.example.test")
IP = Identifier(IdentifierType.IP, "192.0.2.1")


@pytest.mark.parametrize(
    ("identifier", "wildcard", "allowed", "usable"),
    [
        (DNS, False, ALL, ALL),
        (DNS, True, ALL, ("dns-01",)),
        (DNS, True, ("http-01",), ()),
        (IP, False, ALL, ("tls-alpn-01", "http-01")),
        (IP, False, ("dns-01",), ()),
        (IP, True, ALL, ()),
        (DNS, False, (), ()),
        (DNS, False, ("dns-02", "http-01"), ("http-01",)),
    ],
)
def test_each_identifier_gets_the_challenges_that_prove_it(identifier, wildcard, allowed, usable):
    """Wildcards by dns-01 only (RFC 8555 §8.4), addresses never by dns-01 (RFC 8738 §7), the order is the caller's."""
    assert ValidationAuthority(settings()).usable(identifier, wildcard=wildcard, allowed=allowed) == usable


@pytest.mark.parametrize(("kind", "name"), [("dns-01", "192.0.2.1"), ("dns-02", "a.test"), ("http-01", "*.a.test")])
async def test_a_challenge_that_cannot_prove_is_refused(kind, name):
    """An unknown type, or one that does not fit, proves nothing, whoever asks for it."""
    with pytest.raises(Malformed):
        await ValidationAuthority(settings()).validate(kind, target(name))


async def test_nothing_begins_after_close():
    """A validation that comes during shutdown may be tried again elsewhere."""
    authority = ValidationAuthority(settings())
    await authority.close()

    with pytest.raises(ServiceUnavailable):
        await authority.validate("http-01", target())
