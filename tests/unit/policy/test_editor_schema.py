"""The schema for editors takes every document that the server takes, and sees slips of the pen."""

import json

import pytest

from acme_ra.cli.frame import Exit
from acme_ra.cli.main import run
from acme_ra.policy.editor_schema import editor_schema
from tests.support.json_schema import fits
from tests.support.policy_documents import CASES, Case


@pytest.mark.parametrize("case", [pytest.param(one, id=one.name) for one in CASES if one.good])
def test_a_good_document_fits(case: Case) -> None:
    assert fits(editor_schema(), case.document)


@pytest.mark.parametrize(
    "name",
    ["an unknown key", "an unknown key of a part", "an unknown key of a rule", "an unknown key beside spec", "a quota",
     "no effect", "an unknown effect", "an unknown mode", "an unknown usage", "an unknown key algorithm",
     "text for a truth", "a rule without a message", "a local grant", "no spec",
     "challenges dns-01"],
)  # fmt: skip
def test_a_slip_of_the_pen_does_not_fit(name: str) -> None:
    (case,) = [one for one in CASES if one.name == name]

    assert not fits(editor_schema(), case.document)


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "schema"]) == Exit.OK
    assert json.loads(capsys.readouterr().out) == editor_schema()
