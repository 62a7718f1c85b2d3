"""DNS names: every name must match a pattern that is allowed, and none may match one that is denied."""

from acme_ra.core.decision import Finding
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.request import Facts, IssuanceRequest
from acme_ra.policy.patterns import BoundPatterns, NamePatterns
from acme_ra.policy.rules.contract import Proposal


class AllowedNames:
    """A wildcard is allowed only if a pattern matches every name that its certificate would be good for."""

    name = "allowed.dnsNames"
    late = False

    def __init__(self, patterns: NamePatterns) -> None:
        self._patterns = patterns

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        allowed = self._patterns.bind(request.workload)
        refused = _refused(allowed, request)
        if not refused:
            return ()
        namespace = request.workload.namespace if request.workload else ""
        whose = f"namespace {namespace}" if namespace else "an unknown namespace"
        reason = f"not among the names allowed to {whose} ({allowed})"
        return tuple([Finding(self.name, reason, identifier.value) for identifier in refused])

    def covers(self, request: IssuanceRequest) -> bool:
        """Whether `evaluate` would find nothing."""
        return not _refused(self._patterns.bind(request.workload), request)


class DeniedNames:
    """A wildcard is denied if any name that its certificate would be good for is denied."""

    name = "denied.dnsNames"
    late = False

    def __init__(self, patterns: NamePatterns) -> None:
        self._patterns = patterns.bind(None)  # denied names have no placeholders
        self._reason = f"among the names that nobody here may have ({self._patterns})"

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        refused = [
            identifier.value
            for identifier in request.identifiers
            if identifier.type is not IdentifierType.IP and _denies(self._patterns, identifier)
        ]
        return tuple([Finding(self.name, self._reason, value) for value in refused]) if refused else ()


class SomethingAsked:
    """A request without identifiers matches every list of names: it is refused for that."""

    name = "identifiers"
    late = False

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        return () if request.identifiers else (Finding(self.name, "the request names nothing; ask for a name"),)


def _refused(allowed: BoundPatterns, request: IssuanceRequest) -> list[Identifier]:
    return [
        identifier
        for identifier in request.identifiers
        if identifier.type is not IdentifierType.IP and not _allows(allowed, identifier)
    ]


def _allows(patterns: BoundPatterns, identifier: Identifier) -> bool:
    """An identifier of a type that no rule knows is not allowed."""
    if identifier.type is not IdentifierType.DNS:
        return False
    value = identifier.value
    return patterns.covers(value[2:]) if value.startswith("*.") else patterns.matches(value)


def _denies(patterns: BoundPatterns, identifier: Identifier) -> bool:
    value = identifier.value
    return patterns.touches(value[2:]) if value.startswith("*.") else patterns.matches(value)
