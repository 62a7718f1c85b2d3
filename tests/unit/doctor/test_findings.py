"""The runner: whatever a check does, the next one is made, and its findings are told."""

import asyncio

from acme_ra.core.problems import ServiceUnavailable
from acme_ra.doctor.clocks import judge_offset
from acme_ra.doctor.findings import Check, Finding, Level, examine, ok


async def fine(_: str) -> list[Finding]:
    return [ok("well")]


async def broken(_: str) -> list[Finding]:
    raise ZeroDivisionError("by nothing")


async def unavailable(_: str) -> list[Finding]:
    raise ServiceUnavailable("the cluster does not answer")


async def hanging(_: str) -> list[Finding]:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_check_that_fails_or_hangs_never_ends_the_run() -> None:
    """It is a finding of its own."""
    checks = (Check("broken", broken), Check("hanging", hanging), Check("away", unavailable), Check("fine", fine))

    found = [one async for one in examine(checks, "", patience=0.01)]

    assert [(one.check, one.level) for one in found] == [
        ("broken", Level.ERROR),
        ("hanging", Level.ERROR),
        ("away", Level.ERROR),
        ("fine", Level.OK),
    ]
    assert "by nothing" in found[0].seen
    assert "not finished" in found[1].seen
    assert "the cluster does not answer" in found[2].seen
    assert all(one.fix for one in found[:3])


def test_clocks_that_differ_are_told_by_how_much_it_matters() -> None:
    assert judge_offset("the API server", 2).level == Level.OK
    assert judge_offset("the API server", -60).level == Level.WARNING
    assert "behind" in judge_offset("the API server", -60).seen
    assert judge_offset("the API server", 900).level == Level.ERROR
    assert judge_offset("the API server", None).level == Level.WARNING
