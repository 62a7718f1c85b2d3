"""Identifiers and their strict grammar (RFC 8555 §7.1.4, RFC 8738, RFC 5890 A-labels).

Nothing looser than this grammar gets in, whatever the X.509 library would accept.
"""

import ipaddress
import re
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache

import idna
import msgspec

from acme_ra.core.problems import Malformed, RejectedIdentifier, Subproblem, UnsupportedIdentifier

MAX_NAME = 253
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")


class IdentifierType(StrEnum):
    DNS = "dns"
    IP = "ip"


class Identifier(msgspec.Struct, frozen=True, order=True):
    """A name in normal form: dns in lower case, perhaps with a leading `*.`; ip as RFC 5952 writes it."""

    type: IdentifierType
    value: str

    @property
    def wildcard(self) -> bool:
        return self.value.startswith("*.")

    @property
    def base(self) -> str:
        """The value without `*.`: what an authorization carries (RFC 8555 §7.1.4)."""
        return self.value[2:] if self.wildcard else self.value

    def subproblem(self, token: str, detail: str) -> Subproblem:
        return Subproblem(token, detail, self.type.value, self.value)

    def __str__(self) -> str:
        return self.value


def parse_identifier(unverified_type: str, unverified_value: str) -> Identifier:
    """Normalise one identifier of a request.

    Raises UnsupportedIdentifier for a type other than dns and ip, RejectedIdentifier for a name that the grammar
    forbids, Malformed for an empty value. Each carries the identifier as a subproblem, cut to a safe length.
    """
    if unverified_type == IdentifierType.DNS:
        return Identifier(IdentifierType.DNS, parse_dns_name(unverified_value, allow_wildcard=True))
    if unverified_type == IdentifierType.IP:
        return Identifier(IdentifierType.IP, parse_ip_address(unverified_value))
    why = f"identifier type {_shown(unverified_type)} is not supported; use dns or ip"
    about = Subproblem(UnsupportedIdentifier.token, why, _shown(unverified_type)[1:-1], _shown(unverified_value)[1:-1])
    raise UnsupportedIdentifier(why, subproblems=(about,))


@lru_cache(maxsize=8192)
def parse_dns_name(unverified: str, *, allow_wildcard: bool) -> str:
    """Return the name in lower case, or raise RejectedIdentifier/Malformed with the rule that it breaks."""
    if not unverified:
        why = "an identifier has an empty value"
        raise Malformed(why, subproblems=(Subproblem(Malformed.token, why, "dns", ""),))
    name = unverified.lower() if unverified.isascii() else unverified
    base = name
    if name.startswith("*."):
        if not allow_wildcard:
            raise _refused(unverified, "a wildcard is not allowed here; name the domain itself")
        base = name[2:]
        if "." not in base:
            raise _refused(unverified, "a wildcard needs at least two labels after '*.'")
    if not name.isascii():
        raise _refused(unverified, "international names must be given as A-labels (xn--...)")
    if len(name) > MAX_NAME:
        raise _refused(unverified, f"the name has {len(name)} characters; at most {MAX_NAME} are allowed")
    if "*" in base:
        raise _refused(unverified, "'*' may only be the whole leftmost label")
    if base.endswith("."):
        raise _refused(unverified, "a trailing dot is not allowed")
    labels = base.split(".")
    for label in labels:
        if not _LABEL.match(label):
            raise _refused(unverified, f"label {_shown(label)} is not letters, digits and inner hyphens (1 to 63)")
        if label[2:4] == "--":
            _check_a_label(unverified, label)
    if labels[-1].isdigit() or re.match(r"0x[0-9a-f]*\Z", labels[-1]):
        raise _refused(unverified, "the last label is a number; use an identifier of type ip for an address")
    return name


def parse_ip_address(unverified: str) -> str:
    """Return the address as RFC 5952 writes it; scope ids, IPv4-mapped forms and leading zeros are refused."""
    try:
        address = ipaddress.ip_address(unverified) if len(unverified) <= 45 else None
    except ValueError:
        address = None
    if address is None or "%" in unverified:
        raise _malformed_address(unverified, "not an IP address (RFC 8738 §3)")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise _malformed_address(unverified, f"an IPv4-mapped address; use {address.ipv4_mapped}")
    return str(address)


def _check_a_label(name: str, label: str) -> None:
    if not label.startswith("xn--"):
        raise _refused(name, f"label {_shown(label)} has hyphens in places 3 and 4 but is no A-label")
    try:
        idna.ulabel(label)
    except (idna.IDNAError, UnicodeError) as error:
        raise _refused(name, f"label {_shown(label)} is not a valid A-label (RFC 5891)") from error


def _shown(text: str) -> str:
    """Printable ASCII and short: hostile bytes reach neither a terminal nor a log as they are."""
    return ascii(text if len(text) <= 64 else text[:64] + "...")


def _malformed_address(address: str, why: str) -> Malformed:
    about = Subproblem(Malformed.token, why, "ip", _shown(address)[1:-1])
    return Malformed(f"{_shown(address)} is {why}", subproblems=(about,))


def _refused(name: str, why: str) -> RejectedIdentifier:
    detail = f"{_shown(name)}: {why}"
    return RejectedIdentifier(detail, subproblems=(Subproblem("rejectedIdentifier", why, "dns", _shown(name)[1:-1]),))


def brief(identifiers: Sequence[Identifier]) -> str:
    """The first of them for a sentence that has more to say: at most 250 characters."""
    shown = ", ".join(one.value for one in identifiers[:4])
    if len(shown) > 230:
        shown = f"{shown[:229]}…"
    more = len(identifiers) - 4
    return shown if more <= 0 else f"{shown} and {more} more"
