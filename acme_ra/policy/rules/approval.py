"""Approval by a person: at finalize, somebody of the group has approved this very order for this very policy."""

from acme_ra.core.decision import Finding, NeededApproval
from acme_ra.core.request import Facts, IssuanceRequest
from acme_ra.policy.rules.contract import Proposal


class ApprovedByGroup:
    """Asked at finalize: until then a request that lacks it is allowed, and the order waits."""

    name = "require.approval"
    late = True

    def __init__(self, needed: NeededApproval) -> None:
        self._needed = needed

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        if is_given(self._needed, request):
            return ()
        reason = f"the approval of group {self._needed.group} is needed, and this order does not have it"
        return (Finding(self.name, f"{reason}; place a new order and ask them"),)


def is_given(needed: NeededApproval, request: IssuanceRequest) -> bool:
    """An approval that was given for another policy, or by another group, is not this one."""
    return any(one.policy == needed.policy and one.group == needed.group for one in request.approved)
