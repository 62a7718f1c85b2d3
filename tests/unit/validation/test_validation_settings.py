"""Settings of validation, and where the resolvers come from."""

import socket

import pytest
from pydantic import ValidationError

from acme_ra.validation.servers import configured_servers, parse_server, system_servers
from acme_ra.validation.settings import ValidationSettings


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("10.0.0.53", ("10.0.0.53", 53), "10.0.0.53:53"),
        ("127.0.0.1:5353", ("127.0.0.1", 5353), "127.0.0.1:5353"),
        ("[::1]:5353", ("::1", 5353, 0, 0), "[::1]:5353"),
        ("::1", ("::1", 53, 0, 0), "[::1]:53"),
    ],
)
def test_a_resolver_is_an_address_and_a_port(text, address, shown):
    """Each accepted form, and what a problem shows of it."""
    server = parse_server(text)

    assert server.address == address
    assert server.text == shown
    assert server.family == (socket.AF_INET6 if "::" in text else socket.AF_INET)


@pytest.mark.parametrize(
    "text", ["", "dns.example", "dns.example:53", "10.0.0.53:0", "10.0.0.53:65536", "10.0.0.53:x", "[::1"]
)
def test_any_other_resolver_stops_the_start(text):
    """The mistake is told with the accepted form."""
    with pytest.raises(ValidationError, match=r"write an address and port, like 10\.0\.0\.53:53"):
        ValidationSettings(resolvers=[text])


def test_no_resolver_means_the_systems(tmp_path):
    """resolv.conf(5): three name servers at most, the local host where there is none."""
    file = tmp_path / "resolv.conf"
    file.write_text(
        "search test\nnameserver 10.0.0.1 # one\n nameserver fd00::53\nnameserver rubbish\n"
        + "nameserver 10.0.0.3\n" * 3
    )

    assert [server.text for server in system_servers(file)] == ["10.0.0.1:53", "[fd00::53]:53", "10.0.0.3:53"]
    assert [server.text for server in system_servers(tmp_path / "missing")] == ["127.0.0.1:53"]
    assert configured_servers([]) == system_servers()


def test_the_defaults_are_those_of_the_internet():
    """RFC 8555 §8.3 and RFC 8737 §3 fix the ports; no private network is open by default."""
    settings = ValidationSettings()

    assert (settings.http_port, settings.https_port, settings.tls_alpn_port) == (80, 443, 443)
    assert settings.allowed_networks == []
    assert ValidationSettings(timeout="1m").timeout == 60_000
