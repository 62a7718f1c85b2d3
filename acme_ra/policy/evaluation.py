"""Evaluation: one grant that passes, every guard that passes, and all reasons told. Pure; no approvals here."""

from functools import lru_cache
from typing import NamedTuple

from acme_ra.core.decision import Finding, NeededApproval, Outcome, PolicyOutcome, Refusal, Terms
from acme_ra.core.request import Facts, IssuanceRequest, Stage
from acme_ra.policy.compiled import Policy, PolicySet
from acme_ra.policy.explain import explain_refused, explain_unselected
from acme_ra.policy.rules.approval import is_given
from acme_ra.policy.rules.challenges import common
from acme_ra.policy.rules.contract import Proposal
from acme_ra.policy.rules.duration import settle
from acme_ra.policy.rules.names import AllowedNames
from acme_ra.policy.rules.profile import choose_profile
from acme_ra.policy.selectors import Globs, Subject

_STAGES = frozenset(Stage)


class Verdict(NamedTuple):
    """What a decision will hold."""

    outcome: Outcome
    policies: tuple[PolicyOutcome, ...]
    terms: Terms | None
    refusal: Refusal | None


class _Evaluated(NamedTuple):
    policy: Policy
    proposal: Proposal
    outcome: PolicyOutcome


class _Selection(NamedTuple):
    """The policies that could select a request of one directory and namespace."""

    grants: tuple[Policy, ...]
    guards: tuple[Policy, ...]


class Evaluator:
    """One policy set, ready to be asked. Never changes, so a reload makes another one."""

    __slots__ = ("_select", "policies")

    def __init__(self, policies: PolicySet) -> None:
        self.policies = policies
        self._select = lru_cache(maxsize=4096)(self._look_up)

    def evaluate(self, request: IssuanceRequest, facts: Facts) -> Verdict:
        subject = Subject.of(request, facts)
        selection = self._select(request.directory, facts.policy_names, subject.namespace)
        grants = [one for one in selection.grants if _selected(one, subject)]
        guards = [one for one in selection.guards if one.selector.matches(subject)]
        if request.stage not in _STAGES:
            return _refused((), Refusal("this step of the protocol is unknown to policy, so nothing is allowed"))
        evaluated = [_evaluate_grant(one, guards, request, facts) for one in grants]
        passing = [one for one in evaluated if one.outcome.passed and one.policy.enforced]
        told: list[_Evaluated] | None = None
        for grant in passing:
            held = _evaluate_guards(guards, grant.proposal, request, facts)
            if all(one.outcome.passed or not one.policy.enforced for one in held):
                outcomes = tuple(one.outcome for one in (*evaluated, *held))
                return Verdict(Outcome.ALLOWED, outcomes, _terms(grant.proposal), None)
            told = told or held
        if told is None:
            # No grant passes. Guards are asked all the same, so that every reason is told at once.
            proposal = min(evaluated, key=_nearness).proposal if evaluated else _propose(None, guards, request, facts)
            told = _evaluate_guards(guards, proposal, request, facts)
        outcomes = tuple(one.outcome for one in (*evaluated, *told))
        failed_guards = [one.outcome for one in told if one.policy.enforced and not one.outcome.passed]
        failed_grants = [] if passing else sorted((e for e in evaluated if e.policy.enforced), key=_nearness)
        if passing or failed_grants:
            return _refused(outcomes, explain_refused(request, failed_guards, [e.outcome for e in failed_grants]))
        known = [one for one in self.policies.policies if one.effect == "grant"]
        return _refused(outcomes, explain_unselected(request, facts, subject, known, failed_guards))

    def needs_routes(self, request: IssuanceRequest, facts: Facts) -> bool:
        """Whether a policy that could select the request asks what carries its names.

        A grant that does not give the names cannot allow the request, whatever carries them.
        """
        if not self.policies.needs_routes:
            return False
        subject = Subject.of(request, facts)
        selection = self._select(request.directory, facts.policy_names, subject.namespace)
        asking = (one for one in (*selection.grants, *selection.guards) if one.routed)
        return any(one.selector.matches(subject) and _may_give(one, request) for one in asking)

    def _look_up(self, directory: str, policy_names: tuple[str, ...], namespace: str) -> _Selection:
        """Directory and namespace narrow many to few. A directory's list of names chooses among grants only."""
        names = Globs(policy_names)
        here = []
        for policy in self.policies.policies:
            selector = policy.selector
            if selector.directories is not None and not selector.directories.match(directory):
                continue
            if selector.namespaces is not None and not selector.namespaces.match(namespace):
                continue
            if policy.effect == "guard" or names.match(policy.name):
                here.append(policy)
        grants = tuple(one for one in here if one.effect == "grant")
        return _Selection(grants, tuple(one for one in here if one.effect == "guard"))


def _may_give(policy: Policy, request: IssuanceRequest) -> bool:
    names = (rule for rule in policy.rules if isinstance(rule, AllowedNames))
    return policy.effect != "grant" or all(rule.covers(request) for rule in names)


def _selected(policy: Policy, subject: Subject) -> bool:
    profiles = policy.selector.profiles
    return policy.selector.matches(subject) and (profiles is None or profiles.match(subject.profile))


def _evaluate_grant(policy: Policy, guards: list[Policy], request: IssuanceRequest, facts: Facts) -> _Evaluated:
    proposal = _propose(policy, guards, request, facts)
    return _Evaluated(policy, proposal, _outcome(policy, proposal, request, facts))


def _evaluate_guards(
    guards: list[Policy], proposal: Proposal, request: IssuanceRequest, facts: Facts
) -> list[_Evaluated]:
    return [
        _Evaluated(one, proposal, _outcome(one, proposal, request, facts))
        for one in guards
        if _holds_for(one, proposal.profile)
    ]


def _holds_for(guard: Policy, profile: str) -> bool:
    """A guard is selected by the profile that would be used, whoever chose it."""
    return guard.selector.profiles is None or guard.selector.profiles.match(profile)


def _outcome(policy: Policy, proposal: Proposal, request: IssuanceRequest, facts: Facts) -> PolicyOutcome:
    rules, checked = policy.rules_at(request.stage)
    findings: tuple[Finding, ...] = ()
    for rule in rules:
        objections = rule.evaluate(request, facts, proposal)
        if objections:
            findings += objections
    return PolicyOutcome(policy.name, policy.effect, policy.mode, not findings, checked, findings)


def _propose(grant: Policy | None, guards: list[Policy], request: IssuanceRequest, facts: Facts) -> Proposal:
    """What the order would get under this grant and every enforced guard that is selected."""
    name, authority, waived, accepted, maximum = "", "", False, None, None
    profile = choose_profile(request, facts, grant.profile if grant else "", grant.profiles if grant else None)
    if grant is not None:
        name, authority, waived = grant.name, grant.authority, grant.waives_proof
        accepted, maximum = grant.challenges, grant.maximum
    holding = [one for one in guards if one.mode == "enforce" and _holds_for(one, profile)]
    demanded = [one.challenges for one in holding if one.challenges is not None]
    proof_needed = not waived or bool(demanded)
    challenges: tuple[str, ...] = ()
    if proof_needed:
        pool = facts.challenges if accepted is None or waived else common(accepted, facts.challenges)
        challenges = common(pool, *demanded) if demanded else pool
    known = facts.profiles.get(profile)
    limit = known.validity if known is not None else 0
    if maximum is not None and maximum < limit:
        limit = maximum
    for guard in holding:
        if guard.maximum is not None and guard.maximum < limit:
            limit = guard.maximum
    authority = authority or (facts.authorities[0] if facts.authorities else "")
    base, not_before, not_after = settle(request, facts.now, limit, facts.authority_ends.get(authority))
    approvals = _missing_approvals(grant, holding, request)
    return Proposal(name, profile, authority, proof_needed, challenges, base, not_before, not_after, approvals)


def _missing_approvals(
    grant: Policy | None, holding: list[Policy], request: IssuanceRequest
) -> tuple[NeededApproval, ...]:
    """Of the grant and of every guard that holds: none of them can waive another's."""
    needed = [one.approval for one in holding if one.approval is not None]
    if grant is not None and grant.approval is not None:
        needed.insert(0, grant.approval)
    return tuple(one for one in needed if not is_given(one, request)) if needed else ()


def _terms(proposal: Proposal) -> Terms:
    return Terms(
        grant=proposal.grant,
        challenges=proposal.challenges,
        authority=proposal.authority,
        profile=proposal.profile,
        not_before=proposal.not_before,
        not_after=proposal.not_after,
        approvals=proposal.approvals,
    )


def _refused(outcomes: tuple[PolicyOutcome, ...], refusal: Refusal) -> Verdict:
    return Verdict(Outcome.REFUSED, outcomes, None, refusal)


def _nearness(evaluated: _Evaluated) -> tuple[bool, int, str]:
    """Enforced grants with the fewest objections first: that is what the person most likely meant."""
    return (not evaluated.policy.enforced, len(evaluated.outcome.findings), evaluated.policy.name)
