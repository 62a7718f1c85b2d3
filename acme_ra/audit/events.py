"""The catalogue of audit events: one class per kind, for everything in RFC terms that changes state or refuses.

An event's body is canonical JSON of its own fields; the fields that filters use are repeated beside it. Nothing here
ever holds a secret: no keys, no MACs, no tokens, no whole requests.
"""

from typing import Any, ClassVar

import msgspec

from acme_ra.core.clock import Instant
from acme_ra.core.decision import Decision
from acme_ra.core.events import EventRecord
from acme_ra.core.identifiers import Identifier
from acme_ra.core.objects import StoredError
from acme_ra.core.request import Workload

_encoder = msgspec.json.Encoder(order="sorted")


class Subject(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an event is about; becomes the columns that filters use, and is not repeated in the body."""

    directory: str = ""
    account_id: int | None = None
    order_id: int | None = None
    namespace: str = ""
    serial: str = ""
    names: tuple[str, ...] = ()


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The base of all kinds."""

    kind: ClassVar[str]
    outcome: ClassVar[str] = ""

    def record(self, now: Instant, subject: Subject) -> EventRecord:
        """The event as storage appends it."""
        return EventRecord(
            now,
            self.kind,
            self.outcome,
            _encoder.encode(self),
            subject.directory,
            subject.account_id,
            subject.order_id,
            subject.namespace,
            subject.serial,
            subject.names,
        )


class AccountCreated(Event, frozen=True, kw_only=True, omit_defaults=True):
    kind = "account.created"
    thumbprint: str
    contacts: tuple[str, ...] = ()
    credential: str = ""


class AccountRefused(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A newAccount request with a known credential that may not be used."""

    kind = "account.refused"
    outcome = "refused"
    credential: str
    reason: str


class AccountUpdated(Event, frozen=True, kw_only=True, omit_defaults=True):
    kind = "account.updated"
    contacts: tuple[str, ...]


class AccountDeactivated(Event, frozen=True, kw_only=True, omit_defaults=True):
    kind = "account.deactivated"


class AccountKeyChanged(Event, frozen=True, kw_only=True, omit_defaults=True):
    kind = "account.key-changed"
    previous: str  # thumbprints
    thumbprint: str


class CredentialCreated(Event, frozen=True, kw_only=True, omit_defaults=True):
    kind = "credential.created"
    credential: str
    name: str
    cluster: str = ""
    namespaces: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    directories: tuple[str, ...] = ()
    expires_at: Instant | None = None
    max_uses: int | None = None


class CredentialDisabled(Event, frozen=True, kw_only=True, omit_defaults=True):
    kind = "credential.disabled"
    credential: str


class CredentialRotated(Event, frozen=True, kw_only=True, omit_defaults=True):
    kind = "credential.rotated"
    credential: str


class OrderCreated(Event, frozen=True, kw_only=True, omit_defaults=True):
    kind = "order.created"
    outcome = "allowed"
    identifiers: tuple[Identifier, ...]
    policy_digest: str = ""
    grant: str = ""
    workload: Workload | None = None
    profile: str = ""
    replaces: str = ""


class OrderRefused(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Policy refused at newOrder, newAuthz or at the first authorization fetch."""

    kind = "order.refused"
    outcome = "refused"
    decision: Decision


class OrderInvalid(Event, frozen=True, kw_only=True, omit_defaults=True):
    kind = "order.invalid"
    outcome = "failed"
    error: StoredError


class OrderExpired(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Housekeeping found the order unfinished past its expiry; written by storage in its own transaction."""

    kind = "order.expired"
    outcome = "failed"
    identifiers: tuple[Identifier, ...]
    status: str
    expires_at: Instant


class ApprovalRequested(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The order's authorizations are valid, and it waits for somebody of the group."""

    kind = "approval.requested"
    policy: str
    group: str
    identifiers: tuple[Identifier, ...]
    expires_at: Instant


class ApprovalGranted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """`login` is the operating system's, where `by` was given by hand."""

    kind = "approval.granted"
    outcome = "allowed"
    policy: str
    group: str
    by: str
    login: str = ""
    reason: str


class ApprovalRejected(Event, frozen=True, kw_only=True, omit_defaults=True):
    kind = "approval.rejected"
    outcome = "refused"
    policy: str
    group: str
    by: str
    login: str = ""
    reason: str


class ApprovalExpired(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Nobody decided in time."""

    kind = "approval.expired"
    outcome = "failed"
    policy: str
    group: str


class AuthorizationCreated(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Made by newAuthz; those of an order are part of its creation."""

    kind = "authorization.created"
    outcome = "allowed"
    authorization: int
    identifier: Identifier
    subdomains: bool = False
    grant: str = ""


class AuthorizationAttributed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The workload became known after newOrder."""

    kind = "authorization.attributed"
    outcome = "allowed"
    decision: str
    policy_digest: str
    grant: str
    workload: Workload | None


class AttributionRefused(Event, frozen=True, kw_only=True, omit_defaults=True):
    """At the first authorization fetch it was found that the order is nobody's, or not of who asks."""

    kind = "attribution.refused"
    outcome = "refused"
    error: StoredError


class AuthorizationValid(Event, frozen=True, kw_only=True, omit_defaults=True):
    kind = "authorization.valid"
    outcome = "allowed"
    authorization: int
    identifier: Identifier
    challenge: str
    attempts: int


class AuthorizationInvalid(Event, frozen=True, kw_only=True, omit_defaults=True):
    kind = "authorization.invalid"
    outcome = "failed"
    authorization: int
    identifier: Identifier
    challenge: str
    attempts: int
    error: StoredError


class AuthorizationDeactivated(Event, frozen=True, kw_only=True, omit_defaults=True):
    kind = "authorization.deactivated"
    authorization: int
    identifier: Identifier


class FinalizeRefused(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A finalize request that was refused before policy was asked: the CSR, a proof, CAA, attribution."""

    kind = "finalize.refused"
    outcome = "refused"
    error: StoredError


class DecisionAllowed(Event, frozen=True, kw_only=True, omit_defaults=True):
    kind = "decision.allowed"
    outcome = "allowed"
    decision: Decision


class DecisionRefused(Event, frozen=True, kw_only=True, omit_defaults=True):
    kind = "decision.refused"
    outcome = "refused"
    decision: Decision


class CertificateIntended(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Durable before anything is signed: what is going to be signed, under which serial."""

    kind = "certificate.intended"
    outcome = "allowed"
    decision: str
    authority: str
    profile: str
    key_fingerprint: str
    not_before: Instant
    not_after: Instant


class CertificateRefused(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Lint or the authority refused after the decision."""

    kind = "certificate.refused"
    outcome = "refused"
    decision: str
    error: StoredError


class CertificateIssued(Event, frozen=True, kw_only=True, omit_defaults=True):
    kind = "certificate.issued"
    outcome = "allowed"
    decision: str
    certificate: int
    authority: str
    profile: str
    fingerprint: str  # SHA-256 of the DER, hex
    not_before: Instant
    not_after: Instant


class CertificateWithheld(Event, frozen=True, kw_only=True, omit_defaults=True):
    """What came back differs from the approval: stored, revoked, and never handed out."""

    kind = "certificate.withheld"
    outcome = "failed"
    decision: str
    authority: str
    fingerprint: str
    differences: tuple[str, ...]


class CertificateRevoked(Event, frozen=True, kw_only=True, omit_defaults=True):
    kind = "certificate.revoked"
    reason: int
    by: str  # account | authorizations | key


class RevocationRefused(Event, frozen=True, kw_only=True, omit_defaults=True):
    kind = "revocation.refused"
    outcome = "refused"
    error: StoredError


class PolicyApplied(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Another policy set came into force, from files and from resources in clusters."""

    kind = "policy.applied"
    digest: str
    grants: int
    guards: int
    resources: int = 0
    not_accepted: int = 0  # of the resources; their guards refuse
    unknown: tuple[str, ...] = ()  # clusters whose policies could not be read yet; their requests are answered 503


CATALOGUE: dict[str, type[Event]] = {kind.kind: kind for kind in Event.__subclasses__()}


def details(body: bytes) -> dict[str, Any]:
    """An event's body as plain values."""
    decoded: dict[str, Any] = msgspec.json.decode(body)
    return decoded
