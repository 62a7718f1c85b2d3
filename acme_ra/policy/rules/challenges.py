"""Proof of control: which challenges count, and at finalize, which one every name was proved by (RFC 8555 §8)."""

from collections.abc import Iterable

from acme_ra.core.decision import Finding
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.request import Facts, IssuanceRequest, Stage
from acme_ra.policy.patterns import shown_list
from acme_ra.policy.rules.contract import Proposal

NAME = "require.challenges"
_TOKEN = "unauthorized"
_PROVES = {
    "http-01": frozenset({"name", "address"}),
    "tls-alpn-01": frozenset({"name", "address"}),
    "dns-01": frozenset({"name", "wildcard"}),
}
_NEEDS = {"wildcard": "a wildcard needs dns-01", "address": "an IP address needs http-01 or tls-alpn-01"}


def proves(challenge: str, identifier: Identifier) -> bool:
    """RFC 8555 §8.3 and §8.4, RFC 8737 §3, RFC 8738 §7: an unknown challenge proves nothing."""
    return _shape(identifier) in _PROVES.get(challenge, ())


class GrantChallenges:
    """`challenges` is what the grant accepts and the directory offers; None where the grant needs no proof."""

    name = NAME
    late = False

    def __init__(self, challenges: tuple[str, ...] | None, *, waived: bool) -> None:
        self._challenges = challenges
        self._waived = waived

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        if self._waived:
            return _unproved(request, proposal) if request.stage == Stage.FINALIZE else ()
        wanted = facts.challenges if self._challenges is None else self._challenges
        return _objections(request, [one for one in wanted if one in facts.challenges])


class GuardChallenges:
    """Narrows what a grant accepts, and asks for a proof where the grant asked for none."""

    name = NAME
    late = False

    def __init__(self, challenges: tuple[str, ...]) -> None:
        self._challenges = challenges

    def evaluate(self, request: IssuanceRequest, facts: Facts, proposal: Proposal) -> tuple[Finding, ...]:
        pool = proposal.challenges if proposal.proof_needed else facts.challenges
        return _objections(request, [one for one in pool if one in self._challenges])


def _objections(request: IssuanceRequest, accepted: list[str]) -> tuple[Finding, ...]:
    """Each name must be provable by an accepted challenge, and at finalize be proved by one."""
    findings = []
    final = request.stage == Stage.FINALIZE
    by_shape: dict[str, list[str]] = {}
    for identifier in request.identifiers:
        shape = _shape(identifier)
        if shape not in by_shape:
            by_shape[shape] = [one for one in accepted if shape in _PROVES.get(one, ())]
        usable = by_shape[shape]
        if not usable:
            need = _NEEDS.get(shape, "it must be proved")
            findings.append(_finding(identifier, f"{need}; accepted here: {shown_list(accepted)}"))
        elif final:
            proof = request.proofs.get(identifier.value, "")
            if proof not in usable:
                findings.append(_finding(identifier, f"proved by {proof or 'nothing'}; needed: {shown_list(usable)}"))
    return tuple(findings)


def _unproved(request: IssuanceRequest, proposal: Proposal) -> tuple[Finding, ...]:
    """Where no proof is needed, more than is needed will do; an unknown one will not.

    Where a guard needs a proof after all, that guard tells what is missing.
    """
    findings = []
    for identifier in request.identifiers:
        proof = request.proofs.get(identifier.value, "")
        if proof != "none" and not proves(proof, identifier):
            findings.append(_finding(identifier, f"proved by {proof or 'nothing'}; place a new order"))
    return tuple(findings)


def _finding(identifier: Identifier, reason: str) -> Finding:
    return Finding(NAME, reason, identifier.value, _TOKEN)


def _shape(identifier: Identifier) -> str:
    if identifier.type is IdentifierType.DNS:
        return "wildcard" if identifier.value.startswith("*.") else "name"
    return "address" if identifier.type == IdentifierType.IP else "unknown"


def common(pool: Iterable[str], *lists: tuple[str, ...]) -> tuple[str, ...]:
    """What all lists have, in the order of the first."""
    return tuple(one for one in pool if all(one in others for others in lists))
