"""A tenant asks for another tenant's name, or tries to widen policy from within its namespace (THREATS)."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acme_ra.core.clock import DAY
from acme_ra.core.decision import Decision, Outcome
from acme_ra.core.keys import KeyAlgorithm
from acme_ra.core.request import Stage, Workload
from tests.support.policies import NOW, engine, facts, grant, guard, local, request, workload

ALLOWED, REFUSED = Outcome.ALLOWED, Outcome.REFUSED
TENANTS = ("shop", "pay", "shop-pay", "pay-shop", "s", "svc", "p-a-y")
PATTERNS = (
    "{namespace}.svc",
    "*.{namespace}.svc",
    "**.{namespace}.svc",
    "web-*.{namespace}.svc",
    "{namespace}.{cluster}.example.com",
    "**.{namespace}.{cluster}.example.com",
    "*.{label:tenant}.example.net",
    "{label:tenant}-{namespace}.example.net",
)


def tenant(name: str) -> Workload:
    return workload(name, cluster="prod", labels={"tenant": name})


def names_of(name: str, pattern: str) -> list[str]:
    """Names that belong to a tenant under a pattern, wildcards among them."""
    own = pattern.replace("{namespace}", name).replace("{label:tenant}", name).replace("{cluster}", "prod")
    if own.startswith("**."):
        rest = own[3:]
        return [f"a.{rest}", f"a.b.{rest}", f"*.{rest}", f"*.b.{rest}"]
    if own.startswith("*."):
        return [f"a.{own[2:]}", own]
    return [own.replace("*", "1")]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_tenant_gets_the_name_of_another(pattern: str) -> None:
    """Tenant × tenant × name: allowed on the diagonal, and nowhere else, alone or beside an own name."""
    policies = engine(grant("all", allowed={"dnsNames": [pattern], "wildcards": True}, require={"challenges": "none"}))

    for asking, owner in itertools.product(TENANTS, TENANTS):
        for name in names_of(owner, pattern):
            own = names_of(asking, pattern)[0]
            alone = policies.decide(request(name, workload=tenant(asking)), facts())
            beside = policies.decide(request(own, name, workload=tenant(asking)), facts())
            assert (alone.outcome == ALLOWED) is (asking == owner), (asking, name)
            assert (beside.outcome == ALLOWED) is (asking == owner), (asking, name)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(
    "nobody",
    [
        None,
        Workload(source="none"),
        Workload(source="x", namespace="*", cluster="*", labels={"tenant": "*"}),
        Workload(source="x", namespace="**", cluster="prod", labels={"tenant": "**"}),
        Workload(source="x", namespace="a.shop", cluster=".", labels={"tenant": "a.shop"}),
        Workload(source="x", namespace="SHOP", cluster="PROD", labels={"tenant": "SHOP"}),
        Workload(source="x", namespace="shop\n", cluster="prod\n", labels={"tenant": "shop\n"}),
        Workload(source="x", namespace="{cluster}", cluster="shop", labels={"tenant": "{cluster}"}),
    ],
)
def test_who_is_unknown_or_strange_gets_no_name(pattern: str, nobody: Workload | None) -> None:
    """A workload whose facts are no labels is filled into no pattern."""
    policies = engine(grant("all", allowed={"dnsNames": [pattern], "wildcards": True}))

    for name in (one for owner in TENANTS for one in names_of(owner, pattern)):
        assert policies.decide(request(name, workload=nobody), facts()).outcome == REFUSED


def test_a_tenant_cannot_write_a_grant() -> None:
    """An IssuancePolicy that would allow everything allows nothing."""
    policies = engine(
        grant("shop", selector={"namespaces": {"matchNames": ["shop"]}}, allowed={"dnsNames": ["*.shop.svc"]}),
        local("shop", "all", allowed={"dnsNames": ["**.svc"], "wildcards": True, "ipAddresses": ["0.0.0.0/0"]}),
    )

    for name in ("a.pay.svc", "*.shop.svc", "10.0.0.1"):
        assert policies.decide(request(name, namespace="shop"), facts()).outcome == REFUSED


def test_a_tenant_cannot_name_another_namespace() -> None:
    """A local guard of one namespace does not touch another one: no denial of service across tenants."""
    policies = engine(grant("all", allowed={"dnsNames": ["**.svc"]}), local("shop", denied={"dnsNames": ["**.svc"]}))

    assert policies.decide(request("a.svc", namespace="pay"), facts()).outcome == ALLOWED


_names = st.sampled_from(["a.shop.svc", "b.shop.svc", "*.shop.svc", "a.pay.svc", "a.b.shop.svc", "shop.svc"])
_patterns = st.lists(
    st.sampled_from(["*.{namespace}.svc", "**.svc", "a.shop.svc", "{namespace}.svc", "*.*.svc", "b*.shop.svc"]),
    max_size=3,
    unique=True,
)
_selector = st.fixed_dictionaries(
    {},
    optional={
        "namespaces": st.sampled_from([{"matchNames": ["shop"]}, {"matchNames": ["*"]}, {"matchLabels": {"t": "1"}}]),
        "directories": st.sampled_from([["internal"], ["public"]]),
        "clusters": st.sampled_from([["prod"], ["t*"]]),
    },
)
_constraints = st.fixed_dictionaries(
    {},
    optional={
        "maxDuration": st.sampled_from(["1d", "10d", "400d"]),
        "keys": st.lists(st.sampled_from(["ecdsa-p256", "ecdsa-p384"]), max_size=2, unique=True),
    },
)
_challenge_list = st.lists(st.sampled_from(["http-01", "dns-01"]), max_size=2, unique=True)
_rules = st.sampled_from([[], [{"expression": "request.dnsNames.size() < 2", "message": "one"}]])
_mode = st.sampled_from(["enforce", "shadow"])


@st.composite
def _grants(draw: st.DrawFn, index: int) -> dict[str, Any]:
    return grant(
        f"grant-{index}",
        mode=draw(_mode),
        selector=draw(_selector),
        allowed={"dnsNames": draw(_patterns), "wildcards": draw(st.booleans())},
        constraints=draw(_constraints),
        require={"challenges": draw(st.one_of(st.just("none"), _challenge_list)), "rules": draw(_rules)},
        **draw(st.sampled_from([{}, {"profile": "short"}, {"profiles": ["default"]}])),
    )


@st.composite
def _narrowing(draw: st.DrawFn) -> dict[str, Any]:
    """Any guard of the cluster, or anything that a tenant could write."""
    spec: dict[str, Any] = {
        "mode": draw(_mode),
        "allowed": draw(st.fixed_dictionaries({}, optional={"dnsNames": _patterns, "wildcards": st.booleans()})),
        "denied": {"dnsNames": draw(st.lists(st.sampled_from(["a.shop.svc", "**.pay.svc", "b*.*.svc"]), max_size=2))},
        "constraints": draw(_constraints),
        "require": draw(st.fixed_dictionaries({"rules": _rules}, optional={"challenges": _challenge_list})),
    }
    if draw(st.booleans()):
        return local(draw(st.sampled_from(["shop", "pay"])), "added", **spec)
    return guard("added", selector=draw(_selector), **spec)


@settings(max_examples=100, deadline=None)
@given(
    grants=st.tuples(_grants(0), _grants(1)),
    before=_narrowing(),
    added=_narrowing(),
    names=st.lists(_names, min_size=1, max_size=3, unique=True),
    stage=st.sampled_from(list(Stage)),
    proof=st.sampled_from(["none", "http-01", "dns-01"]),
    namespace=st.sampled_from(["shop", "pay", ""]),
    days=st.sampled_from([None, 2, 20]),
)
def test_a_guard_or_a_local_policy_never_widens(
    grants: tuple[dict[str, Any], ...],
    before: dict[str, Any],
    added: dict[str, Any],
    names: list[str],
    stage: Stage,
    proof: str,
    namespace: str,
    days: int | None,
) -> None:
    """Whatever is allowed with it was allowed without it, for no longer and by no more kinds of proof."""
    before["metadata"]["name"] = "before"
    asked = request(
        *names,
        stage=stage,
        workload=workload(namespace, cluster="prod", labels={"t": "1"}),
        key=KeyAlgorithm.ECDSA_P256,
        proofs=dict.fromkeys(names, proof),
        not_after=None if days is None else NOW + days * DAY,
    )

    without = engine(*grants, before).decide(asked, facts())
    with_it = engine(*grants, before, added).decide(asked, facts())

    if with_it.outcome == ALLOWED:
        assert without.outcome == ALLOWED
        _assert_narrower(with_it, without)


def _assert_narrower(one: Decision, other: Decision) -> None:
    assert one.terms is not None
    assert other.terms is not None
    if one.terms.grant == other.terms.grant:
        assert one.terms.not_after <= other.terms.not_after
        assert not other.terms.challenges or set(one.terms.challenges) <= set(other.terms.challenges)
        assert one.terms.challenges or not other.terms.challenges
