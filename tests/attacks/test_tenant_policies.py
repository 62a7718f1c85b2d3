"""A tenant writes policies in its own namespace and wants more than the security team gives (DESIGN, Policy).

Whatever it writes, well-formed or not: nothing is allowed that was not allowed without it, and nobody outside of its
namespace, or in the namespace of the same name of another cluster, notices.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acme_ra.core.clock import DAY
from acme_ra.core.decision import Decision, Outcome
from acme_ra.core.keys import KeyAlgorithm
from acme_ra.core.request import Facts, GivenApproval, IssuanceRequest, Stage, Workload
from acme_ra.policy_resources.merge import MAX_LOCAL
from tests.support.policies import NOW, facts, grant, guard, local, policy_set, request
from tests.support.policy_documents import CASES, FULL
from tests.support.policy_resources import as_seen, combined, engine_of

ALLOWED, REFUSED = Outcome.ALLOWED, Outcome.REFUSED
TENANT, OTHERS = ("east", "shop"), (("west", "shop"), ("east", "pay"), ("", "shop"), ("east", ""), ("", ""))
FILES = (
    grant("own", allowed={"dnsNames": ["*.{namespace}.svc"]}, require={"challenges": ["http-01", "dns-01"]}),
    grant("free", allowed={"dnsNames": ["{namespace}.svc"]}, require={"challenges": "none"}, profiles=["short"]),
    guard("reserved", denied={"dnsNames": ["admin.*.svc"]}),
    guard("asked", selector={"directories": ["strict"]}, require={"approval": "security"}),
)
NAMES = ("a.shop.svc", "shop.svc", "admin.shop.svc", "*.shop.svc", "a.pay.svc", "pay.svc", "10.0.0.1", "b.example.com")

_texts = st.sampled_from(
    ["**.svc", "*", "a.shop.svc", "*.shop.svc", "{namespace}.svc", "**.pay.svc", "{label:a}.b", "x"]
)
_globs = st.lists(st.sampled_from(["*", "east", "west", "shop", "pay", "internal", "strict", ""]), max_size=2)
_networks = st.lists(st.sampled_from(["0.0.0.0/0", "10.0.0.1", "::/0"]), max_size=2)
_choices = st.sampled_from(["short", "default", "none", "*"])
_junk = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=4) | _texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
_expressions = st.sampled_from(
    ["true", "false", "request.namespace == 'pay'", "request.dnsNames.size() < 2", "1", "request.nothing", "1 / 0 == 1"]
)
_rules = st.lists(st.fixed_dictionaries({"expression": _expressions, "message": st.just("no")}), max_size=2)
_challenges = st.one_of(st.just("none"), st.lists(st.sampled_from(["http-01", "dns-01", "tls-alpn-01"]), max_size=2))


def _of(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of these keys with what belongs there, or something else."""
    return st.fixed_dictionaries(
        {}, optional={key: st.one_of(value, value, value, _junk) for key, value in fields.items()}
    )


_namespaces = _of(matchNames=_globs, matchLabels=st.dictionaries(_texts, _texts, max_size=1))
_selectors = _of(clusters=_globs, directories=_globs, credentials=_globs, profiles=_globs, namespaces=_namespaces)
_specs = _of(
    effect=st.sampled_from(["grant", "guard"]),
    mode=st.sampled_from(["enforce", "shadow"]),
    selector=_selectors,
    allowed=_of(
        dnsNames=st.lists(_texts, max_size=2),
        wildcards=st.booleans(),
        ipAddresses=_networks,
        usages=st.lists(st.sampled_from(["server auth", "client auth"]), max_size=2),
    ),
    denied=_of(dnsNames=st.lists(_texts, max_size=2), ipAddresses=_networks),
    constraints=_of(
        maxDuration=st.sampled_from(["1m", "1d", "9999d"]), keys=st.lists(st.sampled_from(["ecdsa-p256", "rsa-2048"]))
    ),
    require=_of(challenges=_challenges, rules=_rules, routed=st.booleans(), approval=st.just("security")),
    profiles=st.lists(_choices, max_size=2),
    profile=_choices,
    authority=st.sampled_from(["intermediate", "other"]),
    quota=_junk,
)
_tops = _of(
    spec=_specs,
    metadata=st.just({"name": "free", "namespace": "pay"}),
    kind=st.just("ClusterIssuancePolicy"),
    cluster=st.just("west"),
)
_documents = st.tuples(st.sampled_from(["own", "free", "reserved", "a.b"]), _tops)
_requests = st.fixed_dictionaries(
    {
        "names": st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True),
        "stage": st.sampled_from(list(Stage)),
        "directory": st.sampled_from(["internal", "strict"]),
        "proof": st.sampled_from(["none", "http-01", "dns-01"]),
        "profile": st.sampled_from(["", "short", "default"]),
        "days": st.sampled_from([None, 2, 20]),
        "approved": st.booleans(),
    }
)


def _ask(place: tuple[str, str], asked: dict[str, Any]) -> tuple[IssuanceRequest, Facts]:
    cluster, namespace = place
    names = asked["names"]
    made = request(
        *names,
        stage=asked["stage"],
        directory=asked["directory"],
        workload=Workload(source="kubernetes", cluster=cluster, namespace=namespace, labels={"a": namespace}),
        key=KeyAlgorithm.ECDSA_P256,
        proofs=dict.fromkeys(names, asked["proof"]),
        profile=asked["profile"],
        not_after=None if asked["days"] is None else NOW + asked["days"] * DAY,
        routes=dict.fromkeys(names, "Ingress web"),
        approved=(GivenApproval("asked", "security", "p", NOW),) if asked["approved"] else (),
    )
    return made, facts()


def _resources(documents: list[tuple[str, dict[str, Any]]]) -> dict[Any, Any]:
    """As the API server has them: kind, name and namespace are its own, and not the tenant's to choose."""
    found = {}
    for name, top in documents:
        extra = {key: value for key, value in top.items() if key not in ("kind", "metadata")}
        found |= as_seen({**local(TENANT[1], name), "spec": None, **extra}, cluster=TENANT[0])
    return found


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents=st.lists(_documents, min_size=1, max_size=2), asked=_requests)
def test_no_document_of_a_tenant_widens_anything(
    documents: list[tuple[str, dict[str, Any]]], asked: dict[str, Any]
) -> None:
    """What is allowed with it is allowed without it, for no longer, by no fewer proofs and no fewer people."""
    mine, known = _ask(TENANT, asked)

    without = engine_of(combined(*FILES)).decide(mine, known)
    with_it = engine_of(combined(*FILES, resources=_resources(documents))).decide(mine, known)

    if with_it.outcome == ALLOWED:
        assert without.outcome == ALLOWED
        _assert_narrower(with_it, without)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents=st.lists(_documents, min_size=1, max_size=2), asked=_requests, place=st.sampled_from(OTHERS))
def test_no_document_of_a_tenant_touches_others(
    documents: list[tuple[str, dict[str, Any]]], asked: dict[str, Any], place: tuple[str, str]
) -> None:
    """Others' decisions are the same to the letter: no grant, no denial of service, no text of the tenant's in them."""
    theirs, known = _ask(place, asked)

    without = engine_of(combined(*FILES)).decide(theirs, known)
    with_it = engine_of(combined(*FILES, resources=_resources(documents))).decide(theirs, known)

    assert (with_it.outcome, with_it.terms, with_it.refusal) == (without.outcome, without.terms, without.refusal)
    assert with_it.policies == without.policies


@pytest.mark.parametrize("case", [one for one in CASES if one.document["spec"]], ids=lambda case: case.name)
def test_what_the_security_team_may_write_is_no_more_than_a_guard_in_a_namespace(case: Any) -> None:
    """Every document of the table, sent as an IssuancePolicy, is a guard or nothing."""
    document = {**local("shop", "x"), "spec": case.document["spec"]}

    policies = combined(resources=as_seen(document)).policies

    assert [one.effect for one in policies] in ([], ["guard"])
    assert all(one.name == "east:shop/x" for one in policies)


@pytest.mark.parametrize(
    "spec",
    [
        {"effect": "guard", "profiles": ["default"]},
        {"selector": {"namespaces": {"matchNames": ["pay"]}}, "profiles": ["default"]},
        {"selector": {"clusters": []}, "profiles": ["default"]},
        {"selector": {"clusters": ["west"]}, "profiles": []},
        {"denied": {"dnsNames": ["{namespace}.svc"]}},
        {"require": {"rules": [{"expression": "request.(", "message": "m"}]}},
        {**FULL},
        None,
        [],
        "grant",
    ],
)
def test_a_tenants_mistake_closes_its_own_door_only(spec: Any) -> None:
    """A guard that cannot be read refuses its namespace; another cluster and another namespace go on."""
    resources = as_seen({**local("shop"), "spec": spec})
    (policy,) = combined(resources=resources).policies or (None,)
    policies = engine_of(combined(*FILES, resources=resources))
    if policy is None:
        assert spec["mode"] == "shadow"
        return

    for cluster, namespace in (("west", "shop"), ("east", "pay")):
        theirs = request(f"a.{namespace}.svc", workload=Workload("kubernetes", cluster, namespace))
        assert policies.decide(theirs, facts()).outcome == ALLOWED
    mine = policies.decide(request("a.shop.svc", workload=Workload("kubernetes", "east", "shop")), facts())
    selects_others = isinstance(spec, dict) and spec.get("selector") == {"clusters": ["west"]}
    assert mine.outcome == (ALLOWED if selects_others else REFUSED)


def test_too_many_policies_close_the_door_of_their_namespace() -> None:
    """Past the limit nothing is read, so that nothing may be had; the limit is each namespace's own."""
    resources: dict[Any, Any] = {}
    for index in range(MAX_LOCAL + 30):
        resources |= as_seen(local("shop", f"p{index:03}", profiles=["default", "short"]))
    resources |= as_seen(local("pay", "own", profiles=["default"]))

    policies = combined(*FILES, resources=resources)

    assert len(policies) == len(FILES) + MAX_LOCAL + 1 + 1
    decide = engine_of(policies).decide
    refused = decide(request("a.shop.svc", workload=Workload("kubernetes", "east", "shop")), facts())
    assert refused.outcome == REFUSED
    assert refused.refusal is not None
    assert "more than 50 IssuancePolicies" in refused.refusal.detail
    assert decide(request("a.pay.svc", workload=Workload("kubernetes", "east", "pay")), facts()).outcome == ALLOWED


def test_names_of_resources_are_never_those_of_files() -> None:
    """A resource cannot be taken for a policy of the security team: not in the audit log, not by an approval."""
    files = policy_set(*FILES, local("east", "own", profiles=["a"]))
    resources = as_seen(local("shop", "own", profiles=["default"])) | as_seen(
        local("own", "own", profiles=["default"]), cluster="shop"
    )

    policies = combined(*FILES, local("east", "own", profiles=["a"]), resources=resources)

    assert len({one.name for one in policies.policies}) == len(files) + 2


def _assert_narrower(one: Decision, other: Decision) -> None:
    assert one.terms is not None
    assert other.terms is not None
    if one.terms.grant != other.terms.grant:
        return  # another of the grants that are there without it, too
    assert one.terms.not_after <= other.terms.not_after
    assert set(other.terms.approvals) <= set(one.terms.approvals)
    assert not other.terms.challenges or set(one.terms.challenges) <= set(other.terms.challenges)
    assert one.terms.challenges or not other.terms.challenges
    assert (one.terms.profile, one.terms.authority) == (other.terms.profile, other.terms.authority)
