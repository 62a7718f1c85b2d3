"""Which addresses validation may connect to: the public ones, and the private ones that a directory allows.

The tables are IANA's special-purpose registries (RFC 6890). Whatever is not known to be public is refused.
"""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import NamedTuple, NewType

from acme_ra.core.problems import ConnectionFailed

CheckedAddress = NewType("CheckedAddress", str)
"""An address in its normal text form that check_address let through: the only thing the dialer connects to."""

Network = IPv4Network | IPv6Network

# Never connected to, whatever is allowed: they are no host, or another address in disguise.
_NEVER: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "not the address of a host (RFC 1122)"),
        ("224.0.0.0/4", "a multicast address"),
        ("255.255.255.255/32", "the broadcast address"),
        ("192.88.99.0/24", "a 6to4 relay's address (RFC 7526)"),
        ("::/128", "the unspecified address"),
        ("::ffff:0:0/96", "an IPv4-mapped address"),
        ("64:ff9b::/96", "a NAT64 address (RFC 6052)"),
        ("64:ff9b:1::/48", "a NAT64 address (RFC 8215)"),
        ("2001::/32", "a Teredo address (RFC 4380)"),
        ("2002::/16", "a 6to4 address (RFC 3056)"),
        ("ff00::/8", "a multicast address"),
    )
)
# Refused unless a network in the settings lies inside the one here: 0.0.0.0/0 or 10.0.0.0/8 does not mean these.
_BY_NAME_ONLY: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("169.254.0.0/16", "a link-local address, where clouds serve credentials (RFC 3927)"),
        ("100.100.100.200/32", "a cloud's metadata service"),
        ("168.63.129.16/32", "a cloud's metadata service"),
        ("fd00:ec2::254/128", "a cloud's metadata service"),
        ("fd20:ce::254/128", "a cloud's metadata service"),
        ("fe80::/10", "a link-local address (RFC 4291)"),
    )
)
# Refused unless a network in the settings holds the address.
_UNLESS_ALLOWED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("10.0.0.0/8", "a private address (RFC 1918)"),
        ("100.64.0.0/10", "a carrier's shared address (RFC 6598)"),
        ("127.0.0.0/8", "a loopback address"),
        ("172.16.0.0/12", "a private address (RFC 1918)"),
        ("192.0.0.0/24", "reserved for protocols (RFC 6890)"),
        ("192.0.2.0/24", "reserved for documentation (RFC 5737)"),
        ("192.168.0.0/16", "a private address (RFC 1918)"),
        ("198.18.0.0/15", "reserved for benchmarks (RFC 2544)"),
        ("198.51.100.0/24", "reserved for documentation (RFC 5737)"),
        ("203.0.113.0/24", "reserved for documentation (RFC 5737)"),
        ("240.0.0.0/4", "reserved (RFC 1112)"),
        ("::1/128", "a loopback address"),
        ("fc00::/7", "a private address (RFC 4193)"),
        ("2001::/23", "reserved for protocols (RFC 2928)"),
        ("2001:db8::/32", "reserved for documentation (RFC 3849)"),
        ("3fff::/20", "reserved for documentation (RFC 9637)"),
    )
)
_IPV4_COMPATIBLE = IPv6Network("::/96")  # not in _NEVER, because ::1 is in it and may be allowed
_IPV6_GLOBAL = IPv6Network("2000::/3")


def check_address(unverified: str, networks: Sequence[Network]) -> CheckedAddress:
    """Return the address in normal form when validation may connect to it.

    `networks` are the private networks that are allowed here. Raises ConnectionFailed that says what kind of address
    it is and which setting would allow it.
    """
    checked = _check(unverified, tuple(networks))
    if isinstance(checked, _Refusal):
        raise ConnectionFailed(checked.detail)
    return checked


class _Refusal(NamedTuple):
    detail: str


@lru_cache(maxsize=4096)
def _check(unverified: str, networks: tuple[Network, ...]) -> CheckedAddress | _Refusal:
    try:
        address = ipaddress.ip_address(unverified)
    except ValueError:
        return _Refusal("what the name leads to is not an IP address")
    refusal = _refusal(address, unverified, networks)
    return CheckedAddress(str(address)) if refusal is None else _Refusal(refusal)


def _refusal(address: IPv4Address | IPv6Address, shown: str, networks: tuple[Network, ...]) -> str | None:
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "an address with a scope is nobody's public address; validation never connects there"
    kind = _kind(address, _NEVER)
    if kind is None and address in _IPV4_COMPATIBLE and address != IPv6Address(1):
        kind = "an IPv4-compatible address"
    if kind is not None:
        return f"{shown} is {kind}; validation never connects there"
    allowed = [network for network in networks if address in network]
    for special, kind in _BY_NAME_ONLY:
        if address in special:
            named = any(network.subnet_of(special) for network in allowed)  # type: ignore[arg-type]
            return None if named else _with_fix(address, kind, special)
    kind = _kind(address, _UNLESS_ALLOWED)
    if kind is None and isinstance(address, IPv6Address) and address not in _IPV6_GLOBAL:
        kind = "not a public address (RFC 4291)"
    return None if kind is None or allowed else _with_fix(address, kind, None)


def _kind(address: IPv4Address | IPv6Address, table: tuple[tuple[Network, str], ...]) -> str | None:
    return next((kind for network, kind in table if address in network), None)


def _with_fix(address: IPv4Address | IPv6Address, kind: str, special: Network | None) -> str:
    within = f" (a network inside {special})" if special is not None and special.num_addresses > 1 else ""
    return (
        f"{address} is {kind}; validation does not connect there. To allow it, the server's operator adds "
        f"{ipaddress.ip_network(address)} or its network{within} to allowed_networks of the directory or of validation"
    )


def is_public(address: CheckedAddress) -> bool:
    """Whether anybody may connect there, so that what it serves is no secret of this network."""
    return not isinstance(_check(address, ()), _Refusal)
