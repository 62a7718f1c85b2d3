"""Which redirects http-01 follows."""

import pytest

from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.validation.challenges.http01 import URL, parse_redirect
from tests.support.challenge_peers import settings

BASE = URL("http", Identifier(IdentifierType.DNS, "shop.example.test"), 5002, "/.well-known/acme-challenge/x")
SETTINGS = settings(http_port=5002, https_port=5003)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/other?q=1", "http://shop.example.test:5002/other?q=1"),
        ("other", "http://shop.example.test:5002/.well-known/acme-challenge/other"),
        ("//b.test/x#fragment", "http://b.test:5002/x"),
        ("http://b.test", "http://b.test:5002/"),
        ("HTTPS://B.Test/x", "https://b.test:5003/x"),
        ("https://b.test:5003/x", "https://b.test:5003/x"),
        ("http://b.test:5003/x", "http://b.test:5003/x"),
        ("http://192.0.2.1/x", "http://192.0.2.1:5002/x"),
        ("http://[2001:DB8::1]/x", "http://[2001:db8::1]:5002/x"),
    ],
)
def test_ordinary_redirects_are_followed(location, url):
    """Relative and absolute, another host or scheme; a missing port is the configured one."""
    assert str(parse_redirect(location.encode(), BASE, SETTINGS)) == url


@pytest.mark.parametrize(
    "location",
    [
        "ftp://b.test/", "file:///etc/passwd", "gopher://b.test:5002/_x", "javascript:alert(1)", "http:///x", "http://",
        "http://b.test:22/", "http://b.test:80/", "http://b.test:x/", "http://b.test:99999/", "http://b.test:0/",
        "http://user@b.test/", "http://user:pass@b.test/", "http://b.test@10.0.0.1/", "http://b.test:5002@10.0.0.1/",
        "http://2130706433/", "http://0x7f000001/", "http://0x7f.1/", "http://0177.0.0.1/", "http://127.1/",
        "http://127.0.0.1./", "http://[127.0.0.1]/", "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[::1/",
        "http://::1/", "http://b_.test/", "http://*.b.test/", "http://b.test%00.evil/", "http://b.test%2f@x/",
        "http://b.test\\@10.0.0.1/", "http://b.test/ x", "http://b.test/\r\nX: y", "http://b.test/\x00", "http://bücher.test/",
        "http://①②⑦.0.0.1/", "\thttp://b.test/", "http://b.test/" + "x" * 2048,
    ],
)  # fmt: skip
def test_hostile_redirects_are_not_followed(location):
    """Other schemes and ports, credentials, numbers as hosts, blanks and control characters."""
    with pytest.raises(ValueError, match=r"\w"):
        parse_redirect(location.encode(), BASE, SETTINGS)
