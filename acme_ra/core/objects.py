"""The nouns that are stored: accounts, orders, authorizations, certificates, credentials (RFC 8555 §7.1).

A stored object has an integer row id and a random `secret`; together they are its resource id `rowid.secret`,
which is what a URL shows. Look-ups go by the row id, then compare the secret in constant time.
"""

import hmac
import re

import msgspec

from acme_ra.core.clock import Instant
from acme_ra.core.identifiers import Identifier
from acme_ra.core.problems import NotFound
from acme_ra.core.request import Workload
from acme_ra.core.status import AccountStatus, ApprovalStatus, AuthorizationStatus, ChallengeStatus, OrderStatus

_RESOURCE_ID = re.compile(r"([1-9][0-9]{0,17})\.([A-Za-z0-9_-]{16})\Z")


class ResourceId(msgspec.Struct, frozen=True):
    """The id in a URL: an integer row id and 96 random bits in base64url."""

    row: int
    secret: str

    @classmethod
    def parse(cls, unverified: str) -> "ResourceId":
        """Raises NotFound when the text cannot be one of our ids."""
        match = _RESOURCE_ID.match(unverified)
        if match is None:
            raise NotFound("there is no such resource")
        return cls(int(match[1]), match[2])

    def check(self, secret: str) -> None:
        """Raises NotFound unless `secret` is this id's."""
        if not hmac.compare_digest(self.secret, secret):
            raise NotFound("there is no such resource")

    def __str__(self) -> str:
        return f"{self.row}.{self.secret}"


class StoredError(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem kept with an order or a challenge, to be shown when it is fetched. `token` is an ACME error token."""

    token: str
    detail: str
    subproblems: tuple[tuple[str, str, str, str], ...] = ()  # token, detail, identifier type, identifier value


class Account(msgspec.Struct, frozen=True):
    id: int
    secret: str
    directory: str
    thumbprint: str  # RFC 7638, SHA-256, base64url
    jwk: bytes  # canonical JSON of the public key's required members
    status: AccountStatus
    contacts: tuple[str, ...]
    credential_id: int | None
    eab: bytes | None  # the externalAccountBinding JWS as it came, to be echoed (RFC 8555 §7.1.2)
    created_at: Instant

    @property
    def resource_id(self) -> str:
        return f"{self.id}.{self.secret}"


class Binding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a credential may speak for. Empty means no limit for `directories`; no namespace for `namespaces`."""

    cluster: str = ""
    namespaces: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    directories: tuple[str, ...] = ()


class Credential(msgspec.Struct, frozen=True):
    """An external account binding credential (RFC 8555 §7.3.4); its secret is encrypted, so nothing here is secret."""

    id: int
    kid: str
    name: str
    binding: Binding
    sealed_secret: bytes
    created_at: Instant
    expires_at: Instant | None
    disabled_at: Instant | None
    max_uses: int | None  # None: any number of accounts
    uses: int
    generation: int = 1  # raised by rotation, which ends what was proved before


class Challenge(msgspec.Struct, frozen=True, omit_defaults=True):
    """One way to prove control. Kept inside its authorization."""

    type: str
    status: ChallengeStatus = ChallengeStatus.PENDING
    attempts: int = 0
    validated_at: Instant | None = None
    error: StoredError | None = None


class Authorization(msgspec.Struct, frozen=True):
    """An account's proof of control over one identifier, in one scope.

    `identifier` never has the `*.`; `wildcard` says that it was asked for. `scope` is what the proof is good for:
    account, credential generation, workload and policy set; it is never used in another one.
    An authorization without challenges was granted by policy: the attributed workload is the proof.
    """

    id: int
    secret: str
    account_id: int
    order_id: int | None  # None: made by newAuthz
    identifier: Identifier
    wildcard: bool
    subdomains: bool  # RFC 9444: subdomainAuthAllowed
    scope: str
    status: AuthorizationStatus
    token: str
    challenges: tuple[Challenge, ...]
    created_at: Instant
    expires_at: Instant
    due_at: Instant | None  # when a validation is to be (re)tried; None when none is under way
    version: int = 1

    @property
    def resource_id(self) -> str:
        return f"{self.id}.{self.secret}"

    @property
    def proof(self) -> str:
        """The challenge type that succeeded, or "none" where policy asked for no challenge."""
        for challenge in self.challenges:
            if challenge.status == ChallengeStatus.VALID:
                return challenge.type
        return "none" if not self.challenges else ""

    @property
    def validated_at(self) -> Instant | None:
        for challenge in self.challenges:
            if challenge.status == ChallengeStatus.VALID:
                return challenge.validated_at
        return self.created_at if not self.challenges else None


class Order(msgspec.Struct, frozen=True):
    id: int
    secret: str
    directory: str
    account_id: int
    status: OrderStatus
    identifiers: tuple[Identifier, ...]
    authorizations: tuple[str, ...]  # resource ids, in the order of the identifiers
    not_before: Instant | None
    not_after: Instant | None
    profile: str  # "" unless the client asked
    replaces: str  # "" or the ARI certificate id (RFC 9773 §4.1)
    workload: Workload | None
    created_at: Instant
    expires_at: Instant
    error: StoredError | None = None
    csr_digest: str = ""  # set when finalize was accepted
    key_fingerprint: str = ""
    approval: bytes | None = None  # sealed, from the claim until the certificate is stored
    certificate: str = ""  # resource id

    @property
    def resource_id(self) -> str:
        return f"{self.id}.{self.secret}"


class OrderApproval(msgspec.Struct, frozen=True):
    """One approval of people that an order needs: each policy that asks names one group."""

    order_id: int
    policy: str
    group: str
    status: ApprovalStatus
    asked_at: Instant | None = None
    expires_at: Instant | None = None
    decided_at: Instant | None = None
    decided_by: str = ""
    reason: str = ""
    told_at: Instant | None = None  # when the client was first told that it was refused
    seal: bytes | None = None  # of a granted one: what makes it count


class Certificate(msgspec.Struct, frozen=True):
    id: int
    secret: str
    order_id: int
    account_id: int
    authority: str
    serial: str  # lower-case hex, no leading zeros
    ari_id: str  # RFC 9773 §4.1: base64url(AKI keyIdentifier) "." base64url(serial)
    key_fingerprint: str
    leaf: bytes  # DER
    chain_id: str  # names the issuing chain in the authority; its PEM is stored once, in `chains`
    not_before: Instant
    not_after: Instant
    created_at: Instant
    revoked_at: Instant | None = None
    revocation_reason: int | None = None
    replaced_by: int | None = None  # order row id (RFC 9773 §5)

    @property
    def resource_id(self) -> str:
        return f"{self.id}.{self.secret}"
