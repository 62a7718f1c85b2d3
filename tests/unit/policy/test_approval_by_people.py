"""require.approval: which groups are asked, and that nothing passes at finalize without them."""

import pytest

from acme_ra.core.decision import Decision, NeededApproval, Outcome
from acme_ra.core.keys import SubjectKey
from acme_ra.core.request import GivenApproval, Stage
from acme_ra.policy.errors import NotApproved
from acme_ra.policy.rules.approval import ApprovedByGroup
from tests.support.policies import NOW, P256, engine, facts, grant, guard, local, reasons, request

SECURITY = grant("web", require={"challenges": "none", "approval": "security"})


def given(policy: str, group: str, by: str = "anna") -> GivenApproval:
    return GivenApproval(policy, group, by, NOW)


def decide(policies, *approved: GivenApproval, stage: Stage = Stage.FINALIZE, **more: object) -> Decision:  # type: ignore[no-untyped-def]
    if stage == Stage.FINALIZE:
        more.setdefault("proofs", {"a.example.com": "none"})
    asked = request("a.example.com", namespace="shop", stage=stage, approved=approved, **more)  # type: ignore[arg-type]
    decision: Decision = policies.decide(asked, facts())
    return decision


def needed(decision: Decision) -> list[tuple[str, str]]:
    assert decision.terms is not None
    return [(one.policy, one.group) for one in decision.terms.approvals]


@pytest.mark.parametrize("stage", [Stage.NEW_ORDER, Stage.AUTHORIZATION])
def test_before_finalize_the_terms_say_who_is_asked(stage: Stage) -> None:
    decision = decide(engine(SECURITY), stage=stage)

    assert decision.outcome == Outcome.ALLOWED
    assert needed(decision) == [("web", "security")]


def test_at_finalize_it_must_be_there() -> None:
    refused = decide(engine(SECURITY))
    allowed = decide(engine(SECURITY), given("web", "security"))

    assert reasons(refused) == [("web", "require.approval", "")]
    assert refused.refusal is not None
    assert "the approval of group security is needed" in refused.refusal.detail
    assert needed(allowed) == []
    assert allowed.request.approved[0].by == "anna"


@pytest.mark.parametrize("wrong", [("web", "platform"), ("other", "security"), ("", "security"), ("web", "")])
def test_another_policys_or_groups_approval_is_none(wrong: tuple[str, str]) -> None:
    """Also after a grant began to ask another group: what was approved before is void."""
    assert decide(engine(SECURITY), given(*wrong)).outcome == Outcome.REFUSED


def test_a_changed_policy_set_does_not_void_an_approval() -> None:
    changed = engine(SECURITY, guard("more", constraints={"maxDuration": "24h"}))

    assert decide(changed, given("web", "security")).outcome == Outcome.ALLOWED


def test_guards_add_groups_that_no_grant_waives() -> None:
    """The security team's, and the namespace's own: each needs its own approval."""
    policies = engine(
        grant(require={"challenges": "none"}),
        guard("four-eyes", require={"approval": "security"}),
        local("shop", require={"approval": "shop-leads"}),
    )

    assert needed(decide(policies, stage=Stage.NEW_ORDER)) == [("four-eyes", "security"), ("shop/own", "shop-leads")]
    one = decide(policies, given("four-eyes", "security"))
    both = decide(policies, given("four-eyes", "security"), given("shop/own", "shop-leads"))
    assert reasons(one) == [("shop/own", "require.approval", "")]
    assert both.outcome == Outcome.ALLOWED


def test_a_grants_approval_does_not_serve_a_guard_that_asks_the_same_group() -> None:
    policies = engine(SECURITY, guard("four-eyes", require={"approval": "security"}))

    assert decide(policies, given("web", "security")).outcome == Outcome.REFUSED


def test_a_shadow_guard_asks_nobody() -> None:
    policies = engine(
        grant(require={"challenges": "none"}), guard("later", mode="shadow", require={"approval": "security"})
    )

    assert needed(decide(policies, stage=Stage.NEW_ORDER)) == []
    assert decide(policies).outcome == Outcome.ALLOWED


def test_a_grant_that_asks_nobody_goes_first() -> None:
    """Whatever its name is, and even if it needs a proof of control."""
    policies = engine(SECURITY, grant("zzz", require={"challenges": ["http-01"]}))

    decision = decide(policies, stage=Stage.NEW_ORDER)

    assert decision.terms is not None
    assert (decision.terms.grant, decision.terms.approvals) == ("zzz", ())


def test_who_has_an_approval_is_not_asked_again() -> None:
    assert needed(decide(engine(SECURITY), given("web", "security"), stage=Stage.AUTHORIZATION)) == []


def test_no_approval_for_signing_while_a_person_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the rule were forgotten, terms that still wait for somebody make no Approval."""
    monkeypatch.setattr(ApprovedByGroup, "evaluate", lambda *_: ())
    policies = engine(SECURITY)
    decision = decide(policies)
    assert decision.terms is not None
    assert decision.terms.approvals == (NeededApproval("web", "security"),)

    with pytest.raises(NotApproved, match="waits for the approval of a person"):
        policies.approve(decision, order_id=1, key=SubjectKey(P256, b"spki", "f" * 64), serial="1f")


def test_the_set_knows_whether_anybody_is_ever_asked() -> None:
    assert engine(SECURITY).policies.needs_approvals
    assert engine(guard("g", require={"approval": "security"}), grant()).policies.needs_approvals
    assert not engine(grant(require={"approval": None})).policies.needs_approvals
