"""require.routed: something in the namespace carries each name."""

from acme_ra.core.decision import Outcome
from acme_ra.core.request import Stage
from tests.support.policies import engine, facts, grant, guard, local, policy_set, reasons, request, workload

ROUTED = grant("web", require={"challenges": "none", "routed": True})
CARRIED = {"a.example.com": "Ingress web", "b.example.com": "HTTPRoute api"}


def asked(*names: str, routes: dict[str, str] | None, stage: Stage = Stage.FINALIZE, **more: object):  # type: ignore[no-untyped-def]
    more.setdefault("namespace", "shop")
    if stage == Stage.FINALIZE:
        more.setdefault("proofs", dict.fromkeys(names, "none"))
    return request(*names, stage=stage, routes=routes, **more)  # type: ignore[arg-type]


def test_names_that_are_carried_are_allowed() -> None:
    """And the decision records what carried them, so that it can be replayed."""
    decision = engine(ROUTED).decide(asked("a.example.com", "b.example.com", routes=CARRIED), facts())

    assert decision.outcome == Outcome.ALLOWED
    assert decision.request.routes == CARRIED
    assert engine(ROUTED).decide(decision.request, facts()).outcome == Outcome.ALLOWED


def test_each_name_that_nothing_carries_is_told_with_what_would_help() -> None:
    decision = engine(ROUTED).decide(asked("a.example.com", "c.example.com", "d.example.com", routes=CARRIED), facts())

    assert reasons(decision) == [
        ("web", "require.routed", "c.example.com"),
        ("web", "require.routed", "d.example.com"),
    ]
    assert decision.refusal is not None
    assert "nothing in namespace shop carries it" in decision.refusal.detail
    assert "Ingress" in decision.refusal.detail
    assert {one.identifier_value for one in decision.refusal.subproblems} == {"c.example.com", "d.example.com"}


def test_an_empty_reference_carries_nothing() -> None:
    decision = engine(ROUTED).decide(asked("a.example.com", routes={"a.example.com": ""}), facts())

    assert decision.outcome == Outcome.REFUSED


def test_what_was_not_looked_up_is_refused_but_at_new_order() -> None:
    """Unknown means no; only at newOrder can it not be known yet."""
    for stage, outcome in (
        (Stage.NEW_ORDER, Outcome.ALLOWED),
        (Stage.AUTHORIZATION, Outcome.REFUSED),
        (Stage.FINALIZE, Outcome.REFUSED),
    ):
        decision = engine(ROUTED).decide(asked("a.example.com", routes=None, stage=stage), facts())
        assert decision.outcome == outcome, stage


def test_an_unknown_namespace_carries_nothing() -> None:
    decision = engine(ROUTED).decide(asked("a.example.com", routes={}, namespace=""), facts())

    assert decision.refusal is not None
    assert "namespace is unknown" in decision.refusal.detail


def test_a_guard_asks_for_it_whatever_the_grant_says() -> None:
    """A tenant's own, too."""
    for asking in (guard("routes", require={"routed": True}), local("shop", require={"routed": True})):
        policies = engine(grant(require={"challenges": "none"}), asking)
        assert policies.decide(asked("a.example.com", routes={}), facts()).outcome == Outcome.REFUSED
        assert policies.decide(asked("a.example.com", routes=CARRIED), facts()).outcome == Outcome.ALLOWED


def test_a_shadow_guard_asks_for_nothing() -> None:
    policies = engine(grant(require={"challenges": "none"}), guard("routes", mode="shadow", require={"routed": True}))

    assert policies.decide(asked("a.example.com", routes={}), facts()).outcome == Outcome.ALLOWED


def test_false_is_the_same_as_absent() -> None:
    """In what is evaluated, and in the set's digest."""
    told = policy_set(grant(require={"challenges": "none", "routed": False}))
    absent = policy_set(grant(require={"challenges": "none"}))

    assert told.digest == absent.digest
    assert not told.needs_routes


def test_routes_are_wanted_only_where_a_policy_could_ask_for_them() -> None:
    """By directory, namespace, label and credential: what no asking policy selects needs no look-up."""
    here = {"workload": workload("shop", labels={"team": "shop"})}
    for selector, wanted in (
        (None, True),
        ({"namespaces": {"matchNames": ["shop"]}}, True),
        ({"namespaces": {"matchNames": ["pay"]}}, False),
        ({"namespaces": {"matchLabels": {"team": "pay"}}}, False),
        ({"directories": ["other"]}, False),
        ({"credentials": ["kid-2"]}, False),
        ({"profiles": ["short"]}, True),  # the profile that will be used is chosen later
    ):
        policies = engine(grant(), guard("routes", selector=selector, require={"routed": True}))
        assert policies.needs_routes(request("a.example.com", **here), facts()) is wanted, selector  # type: ignore[arg-type]
    assert not engine(grant()).needs_routes(request("a.example.com"), facts())


def test_a_grant_that_does_not_give_the_names_needs_no_look_up() -> None:
    """It cannot allow the request, whatever carries them; a grant that gives them, or a guard, still needs it."""
    plain = grant("plain")
    routed = grant("routed", allowed={"dnsNames": ["*.routed"]}, require={"challenges": "none", "routed": True})
    asking = guard("routes", allowed={"dnsNames": ["*.other"]}, require={"routed": True})

    for names, wanted in (
        (("a.example.com",), False),
        (("a.routed",), True),
        (("a.routed", "a.example.com"), False),
    ):
        one = request(*names, workload=workload("shop"), stage=Stage.AUTHORIZATION)
        assert engine(plain, routed).needs_routes(one, facts()) is wanted, names
        assert engine(routed).decide(one, facts()).outcome == Outcome.REFUSED  # not looked up is not carried
        assert engine(plain, asking).needs_routes(one, facts())
