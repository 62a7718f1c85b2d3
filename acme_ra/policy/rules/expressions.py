"""Conditions in CEL: each must be true. One that cannot be evaluated is not true."""

from acme_ra.core.clock import SECOND
from acme_ra.core.decision import Finding
from acme_ra.core.identifiers import IdentifierType
from acme_ra.core.request import Facts, IssuanceRequest
from acme_ra.policy.cel import ExpressionFailed, Program
from acme_ra.policy.rules.contract import Proposal


class Condition:
    """One of `require.rules`."""

    def __init__(self, index: int, program: Program, message: str) -> None:
        self.name = f"require.rules[{index}]"
        self.late = program.late
        self._program = program
        self._message = message

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        try:
            if self._program.holds(variables(request, proposal)):
                return ()
        except ExpressionFailed:
            return (Finding(self.name, f"{self._message} (could not be evaluated for this request)"),)
        return (Finding(self.name, self._message),)


def variables(request: IssuanceRequest, proposal: Proposal) -> dict[str, object]:
    """The variables that cel.VARIABLES declares."""
    workload = request.workload
    names: list[str] = []
    addresses: list[str] = []
    for identifier in request.identifiers:
        (addresses if identifier.type == IdentifierType.IP else names).append(identifier.value)
    return {
        "request.dnsNames": names,
        "request.ipAddresses": addresses,
        "request.directory": request.directory,
        "request.credential": request.credential,
        "request.cluster": workload.cluster if workload else "",
        "request.namespace": workload.namespace if workload else "",
        "request.labels": workload.labels if workload else {},
        "request.profile": proposal.profile,
        "request.authority": proposal.authority,
        "request.duration_seconds": (proposal.not_after - proposal.not_before) // SECOND,
        "request.key": request.key.value if request.key else "",
    }
