"""Routes: each name is carried by an Ingress, Gateway or route of the workload's own namespace."""

from acme_ra.core.decision import Finding
from acme_ra.core.request import Facts, IssuanceRequest, Stage
from acme_ra.policy.rules.contract import Proposal

NAME = "require.routed"


class Routed:
    """What was not looked up carries nothing: only at newOrder, where it cannot be known yet, is that no objection."""

    name = NAME
    late = False

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        routes = request.routes
        if routes is None:
            if request.stage == Stage.NEW_ORDER:
                return ()
            reason = "what carries it was not looked up, since this policy does not give every name of the request"
        else:
            reason = _reason(request)
        unrouted = [one.value for one in request.identifiers if not (routes or {}).get(one.value)]
        return tuple([Finding(self.name, reason, value) for value in unrouted]) if unrouted else ()


def _reason(request: IssuanceRequest) -> str:
    namespace = request.workload.namespace if request.workload else ""
    if not namespace:
        return "its namespace is unknown, so nothing there can carry it"
    return (
        f"nothing in namespace {namespace} carries it; add it to an Ingress, a Gateway's listener, an HTTPRoute "
        "or a TLSRoute there"
    )
