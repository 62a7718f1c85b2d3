"""CEL conditions: type-checked at load, bounded, and never true by failing."""

import subprocess
import sys
from pathlib import Path

import pytest

from acme_ra.core.decision import Outcome
from acme_ra.core.keys import KeyAlgorithm
from acme_ra.core.request import Stage
from acme_ra.policy import cel
from acme_ra.policy.errors import PolicyErrors
from tests.support.cost import cheapest
from tests.support.policies import engine, facts, grant, request, workload


def ruled(expression: str) -> object:
    return engine(grant(require={"rules": [{"expression": expression, "message": "because"}]}))


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("request.dnsNames.size() <= 10", True),
        ("request.dnsNames.size() > 10", False),
        ("request.dnsNames.all(name, name.endsWith('.example.com'))", True),
        ("request.ipAddresses == []", True),
        ("request.namespace == 'shop' && request.cluster == 'prod'", True),
        ("'team' in request.labels && request.labels['team'] == 'web'", True),
        ("request.labels['missing'] == 'x'", False),
        ("request.labels.missing == 'x' || true", True),
        ("1 / 0 == 1", False),
        ("request.dnsNames[7] == 'x'", False),
        ("request.namespace.matches('(') ", False),
        ("request.profile == 'default' && request.authority == 'intermediate'", True),
        ("request.directory == 'internal' && request.credential == 'kid-1'", True),
        ("request.duration_seconds == 7776000", True),
    ],
)
def test_a_condition_must_be_true(expression: str, allowed: bool) -> None:
    """One that cannot be evaluated refuses."""
    here = workload("shop", cluster="prod", labels={"team": "web"})

    decision = ruled(expression).decide(request("a.example.com", workload=here), facts())  # type: ignore[attr-defined]

    assert (decision.outcome == Outcome.ALLOWED) is allowed
    if not allowed:
        assert "because" in decision.refusal.detail


def test_a_condition_that_fails_says_so() -> None:
    decision = ruled("request.labels['x'] == 'y'").decide(request("a.example.com"), facts())  # type: ignore[attr-defined]

    assert "because (could not be evaluated for this request)" in decision.refusal.detail


def test_a_condition_over_the_key_waits_for_finalize() -> None:
    """Before, the key is unknown and the rule is not asked."""
    policies = ruled("request.key.startsWith('ecdsa')")

    def decide(stage: Stage, key: KeyAlgorithm | None) -> tuple[bool, bool]:
        decision = policies.decide(request("a.example.com", stage=stage, key=key), facts())  # type: ignore[attr-defined]
        return decision.outcome == Outcome.ALLOWED, "require.rules[0]" in decision.policies[0].checked

    assert decide(Stage.NEW_ORDER, None) == (True, False)
    assert decide(Stage.FINALIZE, KeyAlgorithm.ECDSA_P256) == (True, True)
    assert decide(Stage.FINALIZE, KeyAlgorithm.RSA_3072) == (False, True)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("request.dnsName.size() < 3", "undeclared reference"),
        ("request.dnsNames.size()", "not true or false"),
        ("dyn(request.namespace)", "not true or false"),
        ("request.namespace == 1", "no matching overload"),
        ("request.dnsNames.size( <= 3", "Syntax error"),
        ("(" * 200 + "true" + ")" * 200, "recursion"),
        ("[1].all(a, [1].all(b, [1].all(c, [1].all(d, true))))", "at most 3"),
        ("+".join(["request.namespace"] * 12) + " == ''", "at most 10"),
    ],
)
def test_a_wrong_expression_does_not_load(expression: str, message: str) -> None:
    """With the place: the rule's index, and line and column within the expression."""
    with pytest.raises(PolicyErrors) as caught:
        ruled(expression)

    (mistake,) = caught.value.mistakes
    assert mistake.key == "spec.require.rules[0].expression"
    assert message in mistake.message


@pytest.mark.parametrize(
    "expression",
    [
        "request.dnsNames.all(a, request.dnsNames.all(b, request.dnsNames.all(c, a != b || b != c || true)))",
        "request.dnsNames.map(a, request.dnsNames).map(b, b).size() > 0",
        "[request.dnsNames+request.dnsNames+request.dnsNames].exists(a, [a+a+a+a].exists(b, [b+b+b+b].exists(c, "
        "c.size() > 1)))",
        "request.dnsNames.exists(n, n.matches('^(a+)+$') || n.matches('(x+x+)+y'))",
    ],
)
def test_an_expensive_condition_is_stopped(expression: str) -> None:
    """A hundred long names, and still well under a tenth of a second."""
    names = tuple(f"{'a' * 60}.{index}a.example.com" for index in range(100))
    policies = ruled(expression)
    asked = request(*names)
    policies.decide(asked, facts())  # type: ignore[attr-defined]

    assert cheapest(lambda: policies.decide(asked, facts())) < 0.1  # type: ignore[attr-defined]


def test_a_set_without_expressions_does_not_load_the_library() -> None:
    """It costs 20 MB and some start-up time."""
    code = (
        "import sys, acme_ra.policy.engine, acme_ra.policy.documents as d;"
        "d.parse_policies([('x', b'{kind: ClusterIssuancePolicy, metadata: {name: a}, "
        "spec: {effect: grant, allowed: {dnsNames: []}}}')]);"
        "sys.exit(any(m.startswith('cel_expr_python') for m in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_variable_is_documented() -> None:
    """docs/policy.md names them all, with their types."""
    text = (Path(__file__).parents[3] / "docs" / "policy.md").read_text()

    for name, kind in cel.VARIABLES.items():
        assert f"| `{name}` | {kind} |" in text
