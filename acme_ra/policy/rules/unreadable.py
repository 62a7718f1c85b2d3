"""A guard that cannot be read refuses what it may have been about."""

from acme_ra.core.decision import Finding
from acme_ra.core.request import Facts, IssuanceRequest
from acme_ra.policy.rules.contract import Proposal


class Unreadable:
    """Objects to everything: what the guard would have checked is not known."""

    name = "policy"
    late = False

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        return (Finding(self.name, self._reason),)
