"""Policies as they are evaluated, compiled once from their documents, and the set of them."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from acme_ra.core.decision import NeededApproval
from acme_ra.core.encoding import canonical_json
from acme_ra.core.request import Stage
from acme_ra.policy.cel import ExpressionInvalid, compile_expression
from acme_ra.policy.patterns import NamePattern, NamePatterns
from acme_ra.policy.rules.addresses import AllowedAddresses, DeniedAddresses
from acme_ra.policy.rules.approval import ApprovedByGroup
from acme_ra.policy.rules.authority import OfferedAuthority
from acme_ra.policy.rules.challenges import GrantChallenges, GuardChallenges
from acme_ra.policy.rules.contract import Rule
from acme_ra.policy.rules.duration import MaxDuration, Validity
from acme_ra.policy.rules.expressions import Condition
from acme_ra.policy.rules.keys import AllowedKeys, ProfileKeys
from acme_ra.policy.rules.names import AllowedNames, DeniedNames, SomethingAsked
from acme_ra.policy.rules.profile import AllowedProfiles, OfferedProfile
from acme_ra.policy.rules.routed import Routed
from acme_ra.policy.rules.usages import AllowedUsages
from acme_ra.policy.rules.wildcards import NoWildcards
from acme_ra.policy.schema import ClusterSpec, GuardSelector, GuardSpec, IssuancePolicy, PolicyDocument, Selector
from acme_ra.policy.selectors import CompiledSelector, Globs


class Policy(NamedTuple):
    """One policy. `rules` are all of them; `early` those that are asked before finalize."""

    name: str
    effect: str
    mode: str
    selector: CompiledSelector
    rules: tuple[Rule, ...]
    early: tuple[Rule, ...]
    checked: tuple[str, ...]
    checked_early: tuple[str, ...]
    maximum: int | None
    waives_proof: bool
    challenges: tuple[str, ...] | None
    profile: str
    profiles: tuple[str, ...] | None
    authority: str
    routed: bool
    approval: NeededApproval | None
    kind: str
    content: bytes
    """What the document says, as canonical JSON: names of files, comments, labels and annotations do not count."""
    document: PolicyDocument | None

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def enforced(self) -> bool:
        return self.mode == "enforce"

    def rules_at(self, stage: Stage) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
        """The rules that are asked at this stage, and their names."""
        return (self.rules, self.checked) if stage == Stage.FINALIZE else (self.early, self.checked_early)


class ExpressionMistake(Exception):
    """A CEL rule that does not compile; `index` is its place in require.rules."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index
        self.message = message


class PolicySet:
    """All policies of a server, in the order in which they are tried. An empty set denies everything."""

    __slots__ = ("digest", "needs_approvals", "needs_routes", "policies", "unknown")

    def __init__(self, policies: Iterable[Policy] = (), *, unknown: Iterable[str] = ()) -> None:
        """What asks least of the requester goes first, then by name, so that one choice is always the same.

        `unknown` are clusters whose own policies could not be read yet: nothing is decided about their workloads.
        """
        self.unknown = frozenset(unknown)
        self.policies = tuple(sorted(policies, key=_demands))
        self.digest = _digest(self.policies, self.unknown)
        #: Whether any policy asks what carries a name, so that it must be looked up beforehand.
        self.needs_routes = any(one.routed for one in self.policies)
        #: Whether any policy asks for the approval of a person.
        self.needs_approvals = any(one.approval is not None for one in self.policies)

    def __len__(self) -> int:
        return len(self.policies)


def _demands(policy: Policy) -> tuple[str, bool, bool, str]:
    """Waiting for a person is more than a proof, and a proof is more than nothing."""
    return policy.effect, policy.approval is not None, not policy.waives_proof, policy.name


def compile_policy(document: PolicyDocument, *, cluster: str = "") -> Policy:
    """Raises ExpressionMistake; all else was checked when the document was read.

    A document that is a resource in a cluster speaks about that cluster's workloads only, and is named after it.
    """
    name = name_in(cluster, document.full_name)
    spec = document.spec
    require = spec.require
    challenges = None if require is None else require.challenges
    waives = challenges == "none"
    accepted = None if challenges is None or waives else tuple(challenges)
    grant = isinstance(spec, ClusterSpec) and spec.effect == "grant"
    profile, authority = (spec.profile or "", spec.authority or "") if isinstance(spec, ClusterSpec) else ("", "")
    profiles = None if spec.profiles is None else tuple(spec.profiles)
    if profile and profiles is None:
        profiles = (profile,)
    conditions = _conditions(spec)
    rules = _grant_rules(spec, accepted, profiles, waives=waives) if grant else _guard_rules(spec, accepted)
    approval = None
    if require is not None and require.approval is not None:
        approval = NeededApproval(name, require.approval)
        rules.append(ApprovedByGroup(approval))
    rules += conditions
    early = tuple(rule for rule in rules if not rule.late)
    return Policy(
        name=name,
        effect="grant" if grant else "guard",
        mode=spec.mode,
        selector=compile_selector(spec.selector, namespace=_namespace(document), cluster=cluster),
        rules=tuple(rules),
        early=early,
        checked=tuple(rule.name for rule in rules),
        checked_early=tuple(rule.name for rule in early),
        maximum=None if spec.constraints is None else spec.constraints.max_duration,
        waives_proof=waives,
        challenges=accepted,
        profile=profile,
        profiles=profiles,
        authority=authority,
        routed=require is not None and require.routed is True,
        approval=approval,
        kind=document.kind,
        content=_content(document, cluster),
        document=document,
    )


def name_in(cluster: str, name: str) -> str:
    """What a policy is called in decisions. No file can have a name with a colon, nor can a cluster or a namespace."""
    return f"{cluster}:{name}" if cluster else name


def _grant_rules(
    spec: GuardSpec, accepted: tuple[str, ...] | None, profiles: tuple[str, ...] | None, *, waives: bool
) -> list[Rule]:
    """A grant gives only what it names: what is absent from `allowed` is not given."""
    allowed = spec.allowed
    assert allowed is not None
    rules: list[Rule] = [SomethingAsked(), AllowedNames(_names(allowed.dns_names or []))]
    if allowed.wildcards is not True:
        rules.append(NoWildcards())
    rules.append(AllowedAddresses(allowed.ip_addresses or []))
    rules += [OfferedProfile(profiles), OfferedAuthority(), GrantChallenges(accepted, waived=waives), Validity()]
    rules.append(ProfileKeys())
    return rules + _constraint_rules(spec)


def _guard_rules(spec: GuardSpec, accepted: tuple[str, ...] | None) -> list[Rule]:
    """A guard checks only what it names: what is absent is not its business."""
    rules: list[Rule] = []
    if spec.allowed is not None:
        if spec.allowed.dns_names is not None:
            rules.append(AllowedNames(_names(spec.allowed.dns_names)))
        if spec.allowed.wildcards is False:
            rules.append(NoWildcards())
        if spec.allowed.ip_addresses is not None:
            rules.append(AllowedAddresses(spec.allowed.ip_addresses))
    if spec.denied is not None:
        if spec.denied.dns_names is not None:
            rules.append(DeniedNames(_names(spec.denied.dns_names)))
        if spec.denied.ip_addresses is not None:
            rules.append(DeniedAddresses(spec.denied.ip_addresses))
    if spec.profiles is not None:
        rules.append(AllowedProfiles(spec.profiles))
    if accepted is not None:
        rules.append(GuardChallenges(accepted))
    return rules + _constraint_rules(spec)


def _constraint_rules(spec: GuardSpec) -> list[Rule]:
    rules: list[Rule] = []
    if spec.allowed is not None and spec.allowed.usages is not None:
        rules.append(AllowedUsages(spec.allowed.usages))
    if spec.constraints is not None:
        if spec.constraints.max_duration is not None:
            rules.append(MaxDuration(spec.constraints.max_duration))
        if spec.constraints.keys is not None:
            rules.append(AllowedKeys(spec.constraints.keys))
    if spec.require is not None and spec.require.routed:
        rules.append(Routed())
    return rules


def _conditions(spec: GuardSpec) -> list[Rule]:
    conditions: list[Rule] = []
    for index, rule in enumerate((spec.require and spec.require.rules) or []):
        try:
            conditions.append(Condition(index, compile_expression(rule.expression), rule.message))
        except ExpressionInvalid as error:
            raise ExpressionMistake(index, str(error)) from error
    return conditions


def _names(texts: list[str]) -> NamePatterns:
    return NamePatterns(NamePattern(text) for text in texts)


def compile_selector(selector: GuardSelector | None, *, namespace: str = "", cluster: str = "") -> CompiledSelector:
    """`namespace` and `cluster`: the only ones that are spoken about, whatever the selector says."""
    namespaces, labels = Globs([namespace]) if namespace else None, None
    if not namespace and isinstance(selector, Selector) and selector.namespaces is not None:
        namespaces = _globs(selector.namespaces.match_names)
        wanted = selector.namespaces.match_labels
        labels = None if wanted is None else {key: Globs([value]) for key, value in wanted.items()}
        if namespaces is None and labels is None:
            namespaces = Globs([])  # `namespaces: {}` is empty, and empty matches nothing
    return CompiledSelector(
        home=cluster,
        clusters=_globs(selector.clusters) if selector else None,
        namespaces=namespaces,
        labels=labels,
        directories=_globs(selector.directories) if selector else None,
        credentials=_globs(selector.credentials) if selector else None,
        profiles=_globs(selector.profiles) if selector else None,
    )


def _namespace(document: PolicyDocument) -> str:
    return document.metadata.namespace if isinstance(document, IssuancePolicy) else ""


def _globs(texts: list[str] | None) -> Globs | None:
    return None if texts is None else Globs(texts)


def _content(document: PolicyDocument, cluster: str) -> bytes:
    told = document.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    told["metadata"] = {key: value for key, value in told["metadata"].items() if key in ("name", "namespace")}
    if cluster:
        told["cluster"] = cluster
    return canonical_json(told)


def _digest(policies: tuple[Policy, ...], unknown: frozenset[str]) -> str:
    """SHA-256 over a JSON list of what the documents say, and over what is not known."""
    hashed = hashlib.sha256(b"[" + b",".join(policy.content for policy in policies) + b"]")
    if unknown:
        hashed.update(canonical_json(sorted(unknown)))
    return hashed.hexdigest()
