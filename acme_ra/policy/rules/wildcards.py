"""Wildcards: whether `*.name` may be asked for at all."""

from acme_ra.core.decision import Finding
from acme_ra.core.request import Facts, IssuanceRequest
from acme_ra.policy.rules.contract import Proposal

_REASON = "wildcards are not allowed here; ask for each name"


class NoWildcards:
    """Made where `allowed.wildcards` is not true in a grant, or is false in a guard."""

    name = "allowed.wildcards"
    late = False

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        wildcards = [identifier.value for identifier in request.identifiers if identifier.value[0:2] == "*."]
        return tuple([Finding(self.name, _REASON, value) for value in wildcards]) if wildcards else ()
