"""The outcome of asking policy: allowed or refused, with every rule's reason. Refused is a value, not an error."""

from enum import StrEnum

import msgspec

from acme_ra.core.clock import Instant
from acme_ra.core.problems import BadCSR, InvalidProfile, Problem, RejectedIdentifier, Subproblem
from acme_ra.core.request import IssuanceRequest

_KINDS: dict[str, type[Problem]] = {"badCSR": BadCSR, "invalidProfile": InvalidProfile}


class Outcome(StrEnum):
    ALLOWED = "allowed"
    REFUSED = "refused"


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule's objection: what is wrong and what would be allowed. `identifier` where it concerns one name."""

    rule: str
    reason: str
    identifier: str = ""
    token: str = "rejectedIdentifier"  # the ACME error token this is told as


class PolicyOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """One applicable policy: the rules that it checked, and every objection."""

    policy: str
    effect: str  # grant | guard
    mode: str  # enforce | shadow
    passed: bool
    checked: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


class Refusal(msgspec.Struct, frozen=True):
    """Why not, for a person to act on; becomes a problem document as it is."""

    detail: str
    subproblems: tuple[Subproblem, ...] = ()
    token: str = "rejectedIdentifier"  # the ACME error token, where all objections agree on another one

    def problem(self) -> Problem:
        """As it is told: badCSR (RFC 8555 §7.4), invalidProfile (profiles draft §5), else rejectedIdentifier."""
        return _KINDS.get(self.token, RejectedIdentifier)(self.detail, subproblems=self.subproblems)


class NeededApproval(msgspec.Struct, frozen=True):
    """A policy that asks for the approval of a group of people."""

    policy: str
    group: str


class Terms(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the passing grant settles for an allowed request."""

    grant: str
    challenges: tuple[str, ...]  # any one of these proves control; empty: none is needed
    authority: str
    profile: str
    not_before: Instant
    not_after: Instant
    approvals: tuple[NeededApproval, ...] = ()  # that are still missing: the order waits for all of them


class Decision(msgspec.Struct, frozen=True):
    """Enough to be understood, and to be decided again under another policy set."""

    id: str
    outcome: Outcome
    request: IssuanceRequest
    policy_digest: str  # SHA-256 in hex of the canonical policy set
    policies: tuple[PolicyOutcome, ...]
    terms: Terms | None  # present if and only if allowed
    refusal: Refusal | None  # present if and only if refused
