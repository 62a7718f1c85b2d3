"""What a rule is: a pure function of the request, the facts, and what would be settled."""

from typing import Protocol

import msgspec

from acme_ra.core.clock import Instant
from acme_ra.core.decision import Finding, NeededApproval
from acme_ra.core.request import Facts, IssuanceRequest


class Proposal(msgspec.Struct, frozen=True):
    """What an order would get if a grant were chosen, guards included. Empty texts: nothing can be chosen."""

    grant: str
    profile: str
    authority: str
    proof_needed: bool
    challenges: tuple[str, ...]  # any of which would prove control, if proof is needed
    base: Instant  # from which maximum durations count
    not_before: Instant
    not_after: Instant
    approvals: tuple[NeededApproval, ...] = ()  # that are needed and not given yet


class Rule(Protocol):
    """One key of a policy document. `late`: not asked before finalize."""

    @property
    def name(self) -> str:
        """The key, as the document writes it: `allowed.dnsNames`."""

    @property
    def late(self) -> bool: ...

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        """Every objection; empty if there is none. Reads nothing else and changes nothing."""
