"""IP addresses (RFC 8738): each must lie in a network that is allowed, and in none that is denied."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from acme_ra.core.decision import Finding
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.request import Facts, IssuanceRequest
from acme_ra.core.settings import Network
from acme_ra.policy.patterns import shown_list
from acme_ra.policy.rules.contract import Proposal


class AllowedAddresses:
    name = "allowed.ipAddresses"
    late = False

    def __init__(self, networks: list[str]) -> None:
        self._networks: tuple[Network, ...] = tuple(ip_network(network) for network in networks)
        self._reason = f"not among the IP addresses allowed ({shown_list(networks)})"

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        refused = [
            identifier.value
            for identifier in request.identifiers
            if identifier.type is not IdentifierType.DNS and not _within(_address(identifier), self._networks)
        ]
        return tuple([Finding(self.name, self._reason, value) for value in refused]) if refused else ()


class DeniedAddresses:
    name = "denied.ipAddresses"
    late = False

    def __init__(self, networks: list[str]) -> None:
        self._networks: tuple[Network, ...] = tuple(ip_network(network) for network in networks)
        self._shown = shown_list(networks)

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        findings = []
        for identifier in request.identifiers:
            if identifier.type != IdentifierType.IP:
                continue
            address = _address(identifier)
            if address is None or _within(address, self._networks):
                reason = f"among the IP addresses that nobody here may have ({self._shown})"
                findings.append(Finding(self.name, reason, identifier.value))
        return tuple(findings)


def _address(identifier: Identifier) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(identifier.value)
    except ValueError:
        return None


def _within(address: IPv4Address | IPv6Address | None, networks: tuple[Network, ...]) -> bool:
    return address is not None and any(address in network for network in networks)
