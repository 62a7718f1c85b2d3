"""Name constraints of an issuing chain (RFC 5280 §4.2.1.10), checked before anything is signed."""

import ipaddress
from collections.abc import Iterable

import msgspec
from cryptography import x509

from acme_ra.core.identifiers import Identifier, IdentifierType

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_NO_ADDRESSES = "the CA may sign DNS names only"


class NameConstraints(msgspec.Struct, frozen=True):
    """The constraints of one CA certificate. A permitted list that is None leaves its type of name free."""

    permitted_dns: tuple[str, ...] | None = None
    permitted_ip: tuple[Network, ...] | None = None
    excluded_dns: tuple[str, ...] = ()
    excluded_ip: tuple[Network, ...] = ()
    directory_names: bool = False  # constrains subjects, so that none may be set

    @classmethod
    def of(cls, certificate: x509.Certificate) -> "NameConstraints":
        """Read them from a CA certificate. Types of names that we never issue are left out."""
        try:
            value = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        except x509.ExtensionNotFound:
            return cls()
        permitted, excluded = list(value.permitted_subtrees or ()), list(value.excluded_subtrees or ())
        return cls(
            permitted_dns=_dns(permitted) or None,
            permitted_ip=_ip(permitted) or None,
            excluded_dns=_dns(excluded),
            excluded_ip=_ip(excluded),
            directory_names=any(isinstance(name, x509.DirectoryName) for name in (*permitted, *excluded)),
        )

    @property
    def permitted(self) -> tuple[str, ...]:
        return (*(self.permitted_dns or ()), *map(str, self.permitted_ip or ()))

    @property
    def excluded(self) -> tuple[str, ...]:
        return (*self.excluded_dns, *map(str, self.excluded_ip))

    def objection(self, identifier: Identifier) -> str:
        """Why the name is outside, in words, or an empty string."""
        if identifier.type == IdentifierType.IP:
            return self._ip_objection(identifier.value)
        return self._dns_objection(identifier)

    def _dns_objection(self, identifier: Identifier) -> str:
        permitted = self.permitted_dns
        if permitted is not None and not any(_within(identifier.base, tree, identifier.wildcard) for tree in permitted):
            return f"the CA may only sign names under {', '.join(permitted)}"
        for tree in self.excluded_dns:
            # A wildcard also stands for the excluded name one label below it, which not every verifier notices.
            covered = identifier.wildcard and tree.lstrip(".").partition(".")[2] == identifier.base
            if covered or _within(identifier.base, tree, identifier.wildcard):
                return f"the CA may not sign names under {tree}" if tree else "the CA may sign addresses only"
        return ""

    def _ip_objection(self, value: str) -> str:
        address = ipaddress.ip_address(value)
        if self.permitted_ip is not None and not any(address in network for network in self.permitted_ip):
            return f"the CA may only sign addresses in {', '.join(map(str, self.permitted_ip))}"
        for network in self.excluded_ip:
            if address in network:
                return f"the CA may not sign addresses in {network}" if network.prefixlen else _NO_ADDRESSES
        return ""


def _within(name: str, tree: str, wildcard: bool) -> bool:
    """Whether `name` lies in the subtree. A leading dot, which some CAs write, leaves out the name itself."""
    if tree.startswith("."):
        return name.endswith(tree) or (wildcard and name == tree[1:])
    return tree in ("", name) or name.endswith("." + tree)


def _dns(names: Iterable[x509.GeneralName]) -> tuple[str, ...]:
    return tuple(name.value.lower() for name in names if isinstance(name, x509.DNSName))


def _ip(names: Iterable[x509.GeneralName]) -> tuple[Network, ...]:
    values = (name.value for name in names if isinstance(name, x509.IPAddress))
    return tuple(value for value in values if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network))
