"""Which addresses may be connected to."""

from ipaddress import ip_network

import pytest

from acme_ra.core.problems import ConnectionFailed
from acme_ra.validation.guard import check_address, is_public

EVERYTHING = (ip_network("0.0.0.0/0"), ip_network("::/0"))

PRIVATE = [
    "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "240.0.0.1", "::1",
    "fc00::1", "fdff::1", "2001:db8::1", "2001:2::1", "2001:10::1", "3fff::1", "100::1", "4000::1", "5f00::1",
    "fec0::1",
]  # fmt: skip
NEVER = [
    "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.255", "255.255.255.255", "192.88.99.1", "::", "::7f00:1",
    "::10.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b::808:808",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "ff02::1", "fe80::1%1", "::1%1",
]  # fmt: skip
BY_NAME = [
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
]
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "172.32.0.1",
    "172.15.255.255",
    "100.128.0.1",
    "192.0.1.1",
    "2606:4700::1111",
    "2a00::1",
]


@pytest.mark.parametrize("address", PRIVATE + NEVER + BY_NAME)
def test_nothing_but_the_public_internet_is_reached_by_default(address):
    """Without an allowed network every special address is refused, and the refusal names it."""
    with pytest.raises(ConnectionFailed, match=r"validation (does not connect|never connects)"):
        check_address(address, ())


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_need_no_permission(address):
    """Public hosts are validated by default."""
    assert check_address(address, ()) == address
    assert is_public(check_address(address, ()))


@pytest.mark.parametrize("address", NEVER)
def test_disguises_are_refused_whatever_is_allowed(address):
    """Mapped, translated and tunnelled forms reach another address than they show; no setting allows them."""
    with pytest.raises(ConnectionFailed):
        check_address(address, EVERYTHING)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_network_in_the_settings_allows_its_addresses(address):
    """A private address is reached when a network holds it, and is not public for that."""
    checked = check_address(address, (ip_network(address),))

    assert not is_public(checked)
    assert check_address(address, EVERYTHING) == checked


@pytest.mark.parametrize("address", BY_NAME)
def test_metadata_services_are_allowed_only_by_name(address):
    """0.0.0.0/0 or a whole private range never means the cloud's credentials."""
    with pytest.raises(ConnectionFailed):
        check_address(address, (*EVERYTHING, ip_network("100.64.0.0/10"), ip_network("fc00::/7")))

    assert check_address(address, (ip_network(address),)) == address


def test_the_refusal_names_the_setting():
    """Who reads the refusal knows what to change."""
    with pytest.raises(ConnectionFailed) as caught:
        check_address("10.1.2.3", (ip_network("10.9.0.0/16"),))

    assert "10.1.2.3 is a private address (RFC 1918)" in caught.value.detail
    assert "10.1.2.3/32" in caught.value.detail
    assert "allowed_networks" in caught.value.detail


@pytest.mark.parametrize(
    "text", ["", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1 ", "[::1]"]
)
def test_what_is_no_address_is_refused(text):
    """Forms that inet_aton would take are not addresses here."""
    with pytest.raises(ConnectionFailed):
        check_address(text, EVERYTHING)
