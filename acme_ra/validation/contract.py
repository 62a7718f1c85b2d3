"""What a challenge validator is given, and what it answers (RFC 8555 §8)."""

from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

import msgspec

from acme_ra.core.identifiers import Identifier, IdentifierType


class ValidationTarget(msgspec.Struct, frozen=True):
    """What is to be proved: `identifier` comes without `*.`; `networks` are the private ones it may be reached in."""

    identifier: Identifier
    token: str
    key_authorization: str
    networks: tuple[IPv4Network | IPv6Network, ...] = ()


class ChallengeValidator(Protocol):
    """One challenge type. A new one is a module in challenges/ and a line in registry.py."""

    type: str
    identifier_types: frozenset[IdentifierType]
    proves_wildcards: bool

    async def validate(self, target: ValidationTarget) -> None:
        """Return when control is proved.

        Raises ConnectionFailed, DNSFailed, IncorrectResponse or TLSFailed (RFC 8555 §6.7), whose detail names the
        identifier, the address, what was found, what was expected, and the fix.
        """
        ...


def excerpt(data: bytes, limit: int = 64) -> str:
    """A peer's bytes, made harmless: quoted, printable ASCII, short (hostile text reaches no terminal or log)."""
    shown = ascii(data[:limit].decode("latin-1"))
    return f"{shown[: 4 * limit]}…" if len(data) > limit else shown[: 4 * limit]
