"""Extended key usages: all that the profile would put into the certificate must be allowed."""

from acme_ra.core.decision import Finding
from acme_ra.core.request import Facts, IssuanceRequest
from acme_ra.policy.patterns import shown_list
from acme_ra.policy.rules.contract import Proposal

#: Key usages say what a key may do, not for whom: they are the profile's business and not compared.
KEY_USAGES = frozenset(
    {
        "digital signature",
        "content commitment",
        "key encipherment",
        "data encipherment",
        "key agreement",
        "encipher only",
        "decipher only",
    }
)


class AllowedUsages:
    name = "allowed.usages"
    late = False

    def __init__(self, usages: list[str]) -> None:
        self._usages = frozenset(usages)
        self._shown = shown_list(usages)

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        profile = facts.profiles.get(proposal.profile)
        if profile is None:
            return (Finding(self.name, "no profile can be chosen, so its usages are unknown"),)
        extra = [usage for usage in profile.usages if usage not in KEY_USAGES and usage not in self._usages]
        if not extra:
            return ()
        reason = f"profile {proposal.profile} gives {shown_list(extra)}; allowed is {self._shown}"
        return (Finding(self.name, reason),)
