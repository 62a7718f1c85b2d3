"""The authority that signs: one that the directory offers."""

from acme_ra.core.decision import Finding
from acme_ra.core.request import Facts, IssuanceRequest
from acme_ra.policy.patterns import shown_list
from acme_ra.policy.rules.contract import Proposal


class OfferedAuthority:
    name = "authority"
    late = False

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        if proposal.authority in facts.authorities:
            return ()
        reason = f"authority {proposal.authority or '(none)'} does not sign for directory {request.directory}"
        return (Finding(self.name, f"{reason}; it has {shown_list(facts.authorities)}"),)
