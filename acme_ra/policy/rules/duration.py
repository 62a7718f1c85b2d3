"""How long a certificate may be valid (RFC 8555 §7.1.3 notBefore and notAfter).

Without a requested end the certificate is as long as everything allows, the life of its authority included. A requested
end beyond that is refused; up to CLOCK_SKEW beyond is taken as a difference of clocks and shortened.
"""

from acme_ra.core.clock import HOUR, MINUTE, Instant, to_rfc3339
from acme_ra.core.decision import Finding
from acme_ra.core.duration import format_duration
from acme_ra.core.request import Facts, IssuanceRequest, Stage
from acme_ra.policy.rules.contract import Proposal

CLOCK_SKEW = 5 * MINUTE
#: How far back a requested start may lie when the order is placed.
PAST_START = HOUR


class MaxDuration:
    name = "constraints.maxDuration"
    late = False

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        if request.not_after is None or proposal.not_after <= proposal.base + self._maximum:
            return ()
        return (Finding(self.name, _too_long(request.not_after, proposal.base, self._maximum)),)


class Validity:
    """The requested start and end make sense, and profile and authority can give them."""

    name = "validity"
    late = False

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        findings = []
        start, profile = request.not_before, facts.profiles.get(proposal.profile)
        if start is not None and request.stage == Stage.NEW_ORDER and start < facts.now - PAST_START:
            earliest = to_rfc3339(facts.now - PAST_START)
            findings.append(
                self._finding(f"notBefore {to_rfc3339(start)} lies in the past; ask for {earliest} or later")
            )
        if (
            profile is not None
            and request.not_after is not None
            and proposal.not_after > proposal.base + profile.validity
        ):
            reason = _too_long(request.not_after, proposal.base, profile.validity)
            findings.append(self._finding(f"{reason} by profile {proposal.profile}"))
        end = facts.authority_ends.get(proposal.authority)
        if end is not None and end <= facts.now:
            findings.append(self._finding(f"authority {proposal.authority} ended at {to_rfc3339(end)}"))
            return tuple(findings)
        if end is not None and request.not_after is not None and proposal.not_after > end:
            asked, latest = to_rfc3339(request.not_after), to_rfc3339(end)
            findings.append(
                self._finding(f"notAfter {asked} is too late; authority {proposal.authority} ends at {latest}")
            )
        if profile is not None and profile.validity <= 0:
            findings.append(self._finding(f"profile {proposal.profile} cannot give any validity now"))
        elif profile is not None and proposal.not_after <= max(proposal.not_before, facts.now):
            start_text, end_text = to_rfc3339(proposal.not_before), to_rfc3339(proposal.not_after)
            findings.append(
                self._finding(f"it would end at {end_text}, before it starts ({start_text}) or in the past")
            )
        return tuple(findings)

    def _finding(self, reason: str) -> Finding:
        return Finding(self.name, reason)


def settle(
    request: IssuanceRequest, now: Instant, maximum: int, authority_end: Instant | None
) -> tuple[Instant, Instant, Instant]:
    """(base, not_before, not_after): what would be given under both limits; longer only if longer was asked for.

    A requested start that has passed meanwhile stands for up to PAST_START and moves along after that.
    """
    not_before = now if request.not_before is None else max(request.not_before, now - PAST_START)
    base = min(not_before, now)
    latest = base + max(maximum, 0)
    if authority_end is not None and authority_end < latest:
        latest = authority_end
    wanted = request.not_after
    if wanted is None or latest < wanted <= latest + CLOCK_SKEW:
        return base, not_before, latest
    return base, not_before, wanted


def _too_long(wanted: Instant, base: Instant, maximum: int) -> str:
    return (
        f"notAfter {to_rfc3339(wanted)} is too late; at most {format_duration(maximum)}, "
        f"until {to_rfc3339(base + maximum)}, is allowed"
    )
