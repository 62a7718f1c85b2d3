"""Guards, local guards and shadows: they narrow, and nothing overrides them."""

import pytest

from acme_ra.core.clock import DAY
from acme_ra.core.decision import Outcome
from acme_ra.core.keys import KeyAlgorithm
from acme_ra.core.request import Stage
from tests.support.policies import NOW, engine, facts, grant, guard, local, profile, reasons, request

ALLOWED, REFUSED = Outcome.ALLOWED, Outcome.REFUSED
WIDE = grant("wide", allowed={"dnsNames": ["*", "**.*"], "wildcards": True, "ipAddresses": ["0.0.0.0/0", "::/0"]})


@pytest.mark.parametrize(
    ("spec", "name", "allowed"),
    [
        ({"allowed": {"dnsNames": ["**.a.test"]}}, "x.a.test", True),
        ({"allowed": {"dnsNames": ["**.a.test"]}}, "x.b.test", False),
        ({"allowed": {"dnsNames": ["**.a.test"]}}, "10.0.0.1", True),
        ({"allowed": {"dnsNames": []}}, "x.a.test", False),
        ({"allowed": {"dnsNames": ["a.b.test"]}}, "*.b.test", False),
        ({"allowed": {"dnsNames": ["*.b.test"]}}, "*.b.test", True),
        ({"allowed": {"dnsNames": ["{namespace}.test"]}}, "shop.test", True),
        ({"allowed": {"dnsNames": ["{cluster}.test"]}}, "shop.test", False),
        ({"allowed": {"wildcards": False}}, "*.b.test", False),
        ({"allowed": {"wildcards": True}, "constraints": {"keys": ["ed25519"]}}, "*.b.test", True),
        ({"allowed": {"ipAddresses": ["10.0.0.0/8"]}}, "10.0.0.1", True),
        ({"allowed": {"ipAddresses": ["10.0.0.0/8"]}}, "11.0.0.1", False),
        ({"allowed": {"ipAddresses": []}}, "a.test", True),
        ({"denied": {"dnsNames": ["admin.test"]}}, "admin.test", False),
        ({"denied": {"dnsNames": ["admin.test"]}}, "x.admin.test", True),
        ({"denied": {"dnsNames": ["admin.test"]}}, "*.admin.test", True),
        ({"denied": {"dnsNames": ["admin.corp.test"]}}, "*.corp.test", False),
        ({"denied": {"dnsNames": ["**.corp.test"]}}, "*.corp.test", False),
        ({"denied": {"dnsNames": ["**.corp.test"]}}, "*.a.corp.test", False),
        ({"denied": {"dnsNames": ["a.*.test"]}}, "*.corp.test", False),
        ({"denied": {"ipAddresses": ["127.0.0.0/8"]}}, "127.0.0.1", False),
        ({"denied": {"ipAddresses": ["127.0.0.0/8"]}}, "10.0.0.1", True),
        ({"allowed": {"usages": ["client auth"]}}, "a.test", False),
        ({"profiles": ["short"]}, "a.test", False),
        ({"require": {"rules": [{"expression": "request.namespace == 'pay'", "message": "no"}]}}, "a.test", False),
    ],
)
def test_a_guard_holds_whatever_a_grant_gives(spec: dict[str, object], name: str, allowed: bool) -> None:
    """Absent keys of a guard are not its business; what it names must hold."""
    decision = engine(WIDE, guard(**spec)).decide(request(name, namespace="shop"), facts())

    assert (decision.outcome == ALLOWED) is allowed
    assert decision.policies[0].passed


def test_a_guard_alone_grants_nothing() -> None:
    """Passing every guard is not enough."""
    decision = engine(guard(allowed={"dnsNames": ["**.test"]})).decide(request("a.test"), facts())

    assert decision.outcome == REFUSED


def test_every_guard_must_hold() -> None:
    """One that fails is enough, wherever it stands among those that pass."""
    good = [guard(name, denied={"dnsNames": ["other.test"]}) for name in ("a", "c")]

    decision = engine(WIDE, *good, guard("b", denied={"dnsNames": ["a.test"]})).decide(request("a.test"), facts())

    assert decision.outcome == REFUSED
    assert [(one.policy, one.passed) for one in decision.policies] == [
        ("wide", True),
        ("a", True),
        ("b", False),
        ("c", True),
    ]


def test_a_local_guard_holds_for_its_own_namespace_only() -> None:
    """Not for another one, and not where the namespace is unknown."""
    policies = engine(WIDE, local("shop", denied={"dnsNames": ["**.test"]}))

    assert policies.decide(request("a.test", namespace="shop"), facts()).outcome == REFUSED
    assert policies.decide(request("a.test", namespace="pay"), facts()).outcome == ALLOWED
    assert policies.decide(request("a.test"), facts()).outcome == ALLOWED


def test_a_guard_asks_for_a_proof_where_the_grant_asked_for_none() -> None:
    """And at finalize, "none" is not enough any more."""
    waived = grant("waived", allowed={"dnsNames": ["**.test"]}, require={"challenges": "none"})
    policies = engine(waived, local("shop", require={"challenges": ["dns-01"]}))

    early = policies.decide(request("a.test", namespace="shop"), facts())

    assert early.terms is not None
    assert early.terms.challenges == ("dns-01",)
    for proof, outcome in (("dns-01", ALLOWED), ("none", REFUSED), ("http-01", REFUSED)):
        asked = request("a.test", namespace="shop", stage=Stage.FINALIZE, proofs={"a.test": proof})
        assert policies.decide(asked, facts()).outcome == outcome


def test_guards_that_agree_on_no_challenge_refuse() -> None:
    """Each could be satisfied alone; together nothing is left."""
    policies = engine(
        WIDE, guard("a", require={"challenges": ["dns-01"]}), guard("b", require={"challenges": ["http-01"]})
    )

    decision = policies.decide(request("a.test"), facts())

    assert decision.outcome == REFUSED
    assert {policy for policy, _, _ in reasons(decision)} == {"a", "b"}


def test_a_guard_limits_what_is_asked_for_by_name() -> None:
    """A requested end beyond a guard's maximum is refused with that maximum."""
    policies = engine(WIDE, guard("short-lived", constraints={"maxDuration": "24h"}))

    decision = policies.decide(request("a.test", not_after=NOW + 2 * DAY), facts())

    assert decision.refusal is not None
    assert reasons(decision) == [("short-lived", "constraints.maxDuration", "")]
    assert "at most 1d" in decision.refusal.detail


def test_a_guard_over_a_profile_sees_the_one_that_would_be_used() -> None:
    """Not asking for the profile is no way round the guard."""
    policies = engine(
        grant("long", profile="long"),
        guard("no-long", selector={"profiles": ["long"]}, denied={"dnsNames": ["**.example.com"]}),
    )
    some = facts(profiles={"default": profile(), "long": profile()})

    assert policies.decide(request("a.example.com"), some).outcome == REFUSED


def test_a_shadow_is_recorded_and_never_counts() -> None:
    """Neither a shadow guard that fails nor a shadow grant that passes changes the outcome."""
    no = guard("no", mode="shadow", denied={"dnsNames": ["**.*"]}, require={"challenges": ["dns-01"]})
    yes = grant("yes", mode="shadow", allowed={"dnsNames": ["**.*"]}, require={"challenges": "none"})

    guarded = engine(WIDE, no).decide(request("a.test"), facts(challenges=("http-01",)))
    granted = engine(yes).decide(request("a.test"), facts())

    assert guarded.outcome == ALLOWED
    assert [(one.policy, one.mode, one.passed) for one in guarded.policies] == [
        ("wide", "enforce", True),
        ("no", "shadow", False),
    ]
    assert guarded.terms is not None
    assert guarded.terms.challenges == ("http-01",)
    assert granted.outcome == REFUSED
    assert [(one.policy, one.mode, one.passed) for one in granted.policies] == [("yes", "shadow", True)]


def test_all_reasons_are_told_at_once() -> None:
    """Every rule of every applicable policy runs, whatever failed before it."""
    policies = engine(
        grant(
            "only",
            allowed={"dnsNames": ["a.example.com"]},
            constraints={"maxDuration": "1d", "keys": ["ecdsa-p384"]},
            require={"challenges": ["dns-01"], "rules": [{"expression": "false", "message": "never"}]},
            authority="elsewhere",
        ),
        guard("no-b", denied={"dnsNames": ["b.example.com"]}),
        guard("other-namespace", selector={"namespaces": {"matchNames": ["pay"]}}, denied={"dnsNames": ["**.*"]}),
    )
    asked = request(
        "*.example.com",
        "b.example.com",
        namespace="shop",
        stage=Stage.FINALIZE,
        key=KeyAlgorithm.ECDSA_P256,
        not_after=NOW + 5 * DAY,
        proofs={"*.example.com": "dns-01", "b.example.com": "http-01"},
    )

    decision = policies.decide(asked, facts())

    assert set(reasons(decision)) == {
        ("only", "allowed.dnsNames", "*.example.com"),
        ("only", "allowed.dnsNames", "b.example.com"),
        ("only", "allowed.wildcards", "*.example.com"),
        ("only", "authority", ""),
        ("only", "require.challenges", "b.example.com"),
        ("only", "constraints.maxDuration", ""),
        ("only", "constraints.keys", ""),
        ("only", "require.rules[0]", ""),
        ("no-b", "denied.dnsNames", "*.example.com"),
        ("no-b", "denied.dnsNames", "b.example.com"),
    }
    assert [one.policy for one in decision.policies] == ["only", "no-b"]


def test_a_reload_changes_later_decisions() -> None:
    """The digest tells which set decided."""
    policies = engine(grant())
    before = policies.decide(request("a.example.com"), facts())

    policies.replace(engine(grant(), guard(denied={"dnsNames": ["**.example.com"]})).policies)

    after = policies.decide(request("a.example.com"), facts())
    assert (before.outcome, after.outcome) == (ALLOWED, REFUSED)
    assert before.policy_digest != after.policy_digest == policies.digest
