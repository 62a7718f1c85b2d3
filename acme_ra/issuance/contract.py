"""The contract of an authority: it signs or forwards an Approval, which is all that it gets."""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from acme_ra.core.approval import Approval
from acme_ra.core.clock import Instant
from acme_ra.core.problems import RejectedIdentifier, ServerInternal, ServiceUnavailable
from acme_ra.issuance.issuer import Issuer

Revoked = tuple[str, Instant, int]
"""Serial in lower-case hex, when it was revoked, and the reason code (RFC 5280 §5.3.1)."""


class IssuedChain(msgspec.Struct, frozen=True):
    """A certificate as the authority returned it."""

    leaf: bytes  # DER
    chain_id: str  # names `chains` for all certificates that share them
    chains: tuple[bytes, ...]  # PEM of what follows the leaf, the default chain first


class AuthorityDescription(msgspec.Struct, frozen=True):
    """What `acme-ra ca show` tells of an authority; rendered by the CLI."""

    name: str
    kind: str
    subject: str
    issuer: str
    serial: str
    key: str
    not_before: Instant
    not_after: Instant
    fingerprint: str  # SHA-256 of the certificate in hex
    permitted: tuple[str, ...]
    excluded: tuple[str, ...]
    path_length: int | None
    chain: tuple[str, ...]  # subjects above the issuing certificate, the root last


class AuthorityUnavailable(ServiceUnavailable):
    """Nothing was issued, and the same Approval may be tried again."""


class AuthorityRefused(RejectedIdentifier):
    """The authority will not sign this Approval, now or later. `detail` is safe to tell."""


class IssuedMismatch(ServerInternal):
    """What was issued is not what was approved. The certificate must be withheld, audited, and revoked."""

    def __init__(self, differences: tuple[str, ...], chain: IssuedChain) -> None:
        super().__init__("the issued certificate differs from what was approved; it is withheld")
        self.differences = differences
        self.chain = chain


class Authority(Protocol):
    """Signs Approvals and, apart from that, its own revocation list."""

    @property
    def name(self) -> str: ...

    @property
    def issuer(self) -> Issuer:
        """Who will appear as the issuer; certificates are checked against this."""
        ...

    async def issue(self, approval: Approval) -> IssuedChain:
        """Sign. The same Approval again yields the same certificate. Raises AuthorityRefused, AuthorityUnavailable."""
        ...

    async def sign_crl(self, revoked: Iterable[Revoked], *, number: int, now: Instant) -> bytes:
        """A complete CRL in DER (RFC 5280 §5). Raises AuthorityRefused where the issuer may not sign CRLs."""
        ...

    def describe(self) -> AuthorityDescription: ...

    async def close(self) -> None: ...
