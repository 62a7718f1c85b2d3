"""Refusals in words: which name, which policy, which rule, and what would be allowed.

cert-manager shows 1,024 characters, some of which are its own: what helps most goes first, and the rest is counted.
"""

from acme_ra.core.decision import Finding, PolicyOutcome, Refusal
from acme_ra.core.identifiers import Identifier
from acme_ra.core.problems import Subproblem
from acme_ra.core.request import Facts, IssuanceRequest
from acme_ra.policy.compiled import Policy
from acme_ra.policy.patterns import shown_list
from acme_ra.policy.selectors import Subject

MAX_DETAIL = 1000
MAX_PART = 380
MAX_SUBPROBLEM = 300
MAX_SUBPROBLEMS = 20


def explain_refused(request: IssuanceRequest, guards: list[PolicyOutcome], grants: list[PolicyOutcome]) -> Refusal:
    """`guards` failed; `grants` were selected and failed, the nearest first (empty if one passed)."""
    failed = [*guards, *grants]
    parts = [part for outcome in failed for part in _parts(outcome)]
    # Another grant's objections to a name that the nearest one would give are no reason against that name.
    subproblems = _subproblems(request, [*guards, *grants[:1]])
    tokens = {finding.token for outcome in (*guards, *grants[:1]) for finding in outcome.findings}
    return Refusal(
        _join("policy refuses ", parts), subproblems, tokens.pop() if len(tokens) == 1 else "rejectedIdentifier"
    )


def explain_unselected(
    request: IssuanceRequest, facts: Facts, subject: Subject, grants: list[Policy], guards: list[PolicyOutcome]
) -> Refusal:
    """No grant speaks about this request: say which ones come nearest, and what they select."""
    names = shown_list((one.value for one in request.identifiers), limit=4)
    who = f"namespace {subject.namespace or 'unknown'} in directory {request.directory}"
    start = f"no policy grants {names} to {who}: "
    reason = "everything is refused unless a policy grants it, and "
    if not grants:
        reason += "no granting policy is loaded; ask for a ClusterIssuancePolicy with `effect: grant`"
        parts = [reason]
    else:
        parts = _nearest(request, facts, subject, grants)
    parts += [part for outcome in guards for part in _parts(outcome)]
    why = f"no policy grants this name to {who}"
    unselected = [_subproblem(one, "rejectedIdentifier", why) for one in request.identifiers[:MAX_SUBPROBLEMS]]
    return Refusal(_join(start, parts), tuple(unselected))


def _nearest(request: IssuanceRequest, facts: Facts, subject: Subject, grants: list[Policy]) -> list[str]:
    """At most two grants, those that miss by the fewest selectors."""
    ranked = []
    for policy in grants:
        misses = policy.selector.misses(subject, request.directory)
        if misses:
            why = f"selects {' and '.join(misses)}"
        elif not policy.enforced:
            why = "is in shadow mode"
        else:
            why = f"is not one of directory {request.directory}, which takes policies named {_names_of(facts)}"
        ranked.append((len(misses), policy.name, why))
    parts = [f"grant {name} {why}" for _, name, why in sorted(ranked)[:2]]
    return [f"the nearest {parts[0]}", *parts[1:]]


def _names_of(facts: Facts) -> str:
    return shown_list(facts.policy_names)


def _parts(outcome: PolicyOutcome) -> list[str]:
    """One part for each different objection of a policy, its names together."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for finding in outcome.findings:
        grouped.setdefault((finding.rule, finding.reason), []).append(finding.identifier)
    parts = []
    for (rule, reason), identifiers in grouped.items():
        names = shown_list((one for one in identifiers if one), limit=4) if any(identifiers) else "the request"
        source = f" [{outcome.effect} {outcome.policy}, rule {rule}]"
        parts.append(_cut(f"{names}: {reason}", MAX_PART) + source)
    return parts


def _join(start: str, parts: list[str]) -> str:
    text = start
    for index, part in enumerate(parts):
        joined = text + ("; " if index else "") + part
        left = len(parts) - index
        if len(joined) + (20 if left > 1 else 0) > MAX_DETAIL:
            return _cut(text, MAX_DETAIL - 20) + f"; and {left} more" if index else _cut(joined, MAX_DETAIL)
        text = joined
    return text


def _subproblems(request: IssuanceRequest, failed: list[PolicyOutcome]) -> tuple[Subproblem, ...]:
    """At most one for each identifier (RFC 8555 §6.7.1): its first objection, which comes from the nearest policy."""
    first: dict[str, tuple[Finding, PolicyOutcome]] = {}
    for outcome in failed:
        for finding in outcome.findings:
            if finding.identifier:
                first.setdefault(finding.identifier, (finding, outcome))
    subproblems: list[Subproblem] = []
    for identifier in request.identifiers:
        found = first.get(identifier.value)
        if found is not None and len(subproblems) < MAX_SUBPROBLEMS:
            finding, outcome = found
            source = f" [{outcome.effect} {outcome.policy}, rule {finding.rule}]"
            text = _cut(finding.reason, MAX_SUBPROBLEM - len(source)) + source
            subproblems.append(_subproblem(identifier, finding.token, text))
    return tuple(subproblems)


def _subproblem(identifier: Identifier, token: str, text: str) -> Subproblem:
    return Subproblem(token, _cut(text, MAX_SUBPROBLEM), str(identifier.type), identifier.value)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"
