"""Near the end of an authority's life certificates get shorter; who asked for longer is told (RFC 8555 §7.1.3)."""

import pytest

from acme_ra.core.clock import DAY, HOUR, MINUTE, SECOND, Instant
from acme_ra.core.decision import Decision, Outcome
from acme_ra.core.request import Stage
from tests.support.policies import NOW, engine, facts, grant, guard, reasons, request


def decided(end: Instant, *policies: dict[str, object], **asked: object) -> Decision:
    known = facts(authority_ends={"intermediate": end, "other": NOW + 1000 * DAY})
    return engine(*(policies or (grant(),))).decide(request("a.example.com", **asked), known)  # type: ignore[arg-type]


@pytest.mark.parametrize("stage", list(Stage))
def test_nobody_asked_for_an_end_and_gets_what_is_left(stage: Stage) -> None:
    """The decision records the shortened end, at each step."""
    decision = decided(NOW + 3 * DAY, stage=stage)

    assert decision.outcome == Outcome.ALLOWED
    assert decision.terms is not None
    assert decision.terms.not_after == NOW + 3 * DAY


@pytest.mark.parametrize(("end", "given"), [(NOW + 90 * DAY, 90 * DAY), (NOW + 400 * DAY, 90 * DAY), (NOW + DAY, DAY)])
def test_the_least_of_all_limits_holds(end: Instant, given: int) -> None:
    decision = decided(end)
    assert decision.terms is not None
    assert decision.terms.not_after - NOW == given


def test_a_stricter_policy_stays_the_limit() -> None:
    decision = decided(NOW + 3 * DAY, grant(), guard(constraints={"maxDuration": "24h"}))
    assert decision.terms is not None
    assert decision.terms.not_after == NOW + DAY


def test_an_end_beyond_the_authority_that_was_asked_for_is_refused() -> None:
    """Asked for explicitly, so it is not changed behind the client's back; the refusal tells the end."""
    decision = decided(NOW + 3 * DAY, not_after=NOW + 4 * DAY)

    assert decision.outcome == Outcome.REFUSED
    assert reasons(decision) == [("grant", "validity", "")]
    assert decision.refusal is not None
    assert "authority intermediate ends at 2026-11-21T" in decision.refusal.detail


def test_an_end_within_the_authoritys_life_is_given_as_asked() -> None:
    decision = decided(NOW + 3 * DAY, not_after=NOW + 2 * DAY)
    assert decision.terms is not None
    assert decision.terms.not_after == NOW + 2 * DAY


def test_a_difference_of_clocks_is_shortened_as_elsewhere() -> None:
    decision = decided(NOW + 3 * DAY, not_after=NOW + 3 * DAY + MINUTE)
    assert decision.terms is not None
    assert decision.terms.not_after == NOW + 3 * DAY


@pytest.mark.parametrize("asked", [{}, {"not_after": NOW + HOUR}])
def test_an_authority_whose_life_is_over_gives_nothing(asked: dict[str, Instant]) -> None:
    decision = decided(NOW, **asked)

    assert decision.outcome == Outcome.REFUSED
    assert decision.refusal is not None
    assert "authority intermediate ended at" in decision.refusal.detail


def test_a_start_after_the_authoritys_end_is_refused() -> None:
    assert decided(NOW + DAY, not_before=NOW + DAY + SECOND).outcome == Outcome.REFUSED


def test_each_authority_has_its_own_end() -> None:
    """The grant chooses the authority, and with it the limit."""
    decision = decided(NOW + DAY, grant(authority="other"))
    assert decision.terms is not None
    assert (decision.terms.authority, decision.terms.not_after) == ("other", NOW + 90 * DAY)
