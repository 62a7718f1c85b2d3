"""The profile (draft-ietf-acme-profiles): offered by the directory, and allowed by the policy."""

from acme_ra.core.decision import Finding
from acme_ra.core.request import Facts, IssuanceRequest
from acme_ra.policy.patterns import shown_list
from acme_ra.policy.rules.contract import Proposal

_TOKEN = "invalidProfile"


class OfferedProfile:
    """A grant must have a profile to give. `profiles` None: any that the directory offers."""

    name = "profile"
    late = False

    def __init__(self, profiles: tuple[str, ...] | None) -> None:
        self._profiles = profiles

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        if proposal.profile:
            return ()
        allowed = [name for name in facts.profiles if self._profiles is None or name in self._profiles]
        asked = f"profile {request.profile} was asked for" if request.profile else "no profile can be chosen"
        return (Finding(self.name, f"{asked}; allowed here: {shown_list(allowed)}", "", _TOKEN),)


class AllowedProfiles:
    """A guard's list."""

    name = "profiles"
    late = False

    def __init__(self, profiles: list[str]) -> None:
        self._profiles = profiles

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        if proposal.profile in self._profiles:
            return ()
        reason = f"profile {proposal.profile or 'unknown'} would be used; allowed: {shown_list(self._profiles)}"
        return (Finding(self.name, reason, "", _TOKEN),)


def choose_profile(request: IssuanceRequest, facts: Facts, profile: str, profiles: tuple[str, ...] | None) -> str:
    """What was asked for, else the grant's own, else the directory's default; "" where that is not to be had."""
    wanted: tuple[str, ...]
    if request.profile:
        wanted = (request.profile,)
    elif profile:
        wanted = (profile,)
    else:
        wanted = (facts.default_profile, *(profiles or ()))
    for name in wanted:
        if name in facts.profiles and (profiles is None or name in profiles):
            return name
    return ""
