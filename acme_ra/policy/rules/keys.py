"""The certificate's key: its algorithm and size. Known at finalize, and not asked about before."""

from acme_ra.core.decision import Finding
from acme_ra.core.request import Facts, IssuanceRequest
from acme_ra.policy.patterns import shown_list
from acme_ra.policy.rules.contract import Proposal

_TOKEN = "badCSR"


class AllowedKeys:
    name = "constraints.keys"
    late = True

    def __init__(self, keys: list[str]) -> None:
        self._keys = frozenset(keys)
        self._shown = shown_list(keys)

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        if request.key in self._keys:
            return ()
        reason = f"the key is {request.key or 'unknown'}; use {self._shown}"
        return (Finding(self.name, reason, "", _TOKEN),)


class ProfileKeys:
    """Whatever a grant says, the profile's own list holds."""

    name = "profile.keys"
    late = True

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        profile = facts.profiles.get(proposal.profile)
        if profile is None or request.key in profile.keys:
            return ()
        shown = shown_list(key.value for key in profile.keys)
        reason = f"the key is {request.key or 'unknown'}; profile {proposal.profile} takes {shown}"
        return (Finding(self.name, reason, "", _TOKEN),)
