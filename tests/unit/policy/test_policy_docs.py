"""docs/policy.md and the example documents say what the code does."""

import re
from pathlib import Path

import pytest

from acme_ra.core.decision import Decision
from acme_ra.core.duration import format_duration
from acme_ra.policy.documents import load_policies, parse_policies
from acme_ra.policy.engine import PolicyEngine
from tests.support.policies import APPROVAL_KEY, facts, request, workload

ROOT = Path(__file__).parents[3]
_BLOCK = re.compile(r"```yaml\n(.*?)```(.*?)(?=```yaml|\Z)", re.DOTALL)
_ROW = re.compile(r"^\| (\S+) \| ([^|]+) \| ((?:allowed by|refused:) [^|]+) \|$", re.MULTILINE)


def examples() -> list[tuple[str, str, str, str]]:
    text = (ROOT / "docs" / "policy.md").read_text()
    return [(policies, *row.groups()) for policies, after in _BLOCK.findall(text) for row in _ROW.finditer(after)]


def shown(decision: Decision) -> str:
    if decision.terms is None:
        assert decision.refusal is not None
        return decision.refusal.detail
    terms = decision.terms
    challenge = f"challenge {' or '.join(terms.challenges)}" if terms.challenges else "no challenge"
    return f"allowed by {terms.grant} for {format_duration(terms.not_after - terms.not_before)}, {challenge}"


@pytest.mark.parametrize(("policies", "namespace", "names", "outcome"), examples())
def test_the_examples_of_the_page_come_out_as_written(policies: str, namespace: str, names: str, outcome: str) -> None:
    """Each row of a table, under the documents above it."""
    engine = PolicyEngine(parse_policies([("docs/policy.md", policies.encode())]), approval_key=APPROVAL_KEY)
    known = "" if namespace in ("unknown", "any") else namespace
    here = workload(known, cluster="prod-eu", labels={"team": "shop"})

    found = shown(engine.decide(request(*names.split(), workload=here), facts()))

    assert outcome.removeprefix("refused: ") in found
    assert found.startswith("allowed") is outcome.startswith("allowed")


def test_the_page_has_examples() -> None:
    assert len(examples()) >= 15


@pytest.mark.parametrize(
    ("namespace", "name", "outcome"),
    [
        ("demo", "demo.svc", "allowed by demo-names for 90d, no challenge"),
        ("demo", "a.demo.svc", "allowed by demo-names for 90d, no challenge"),
        ("demo", "*.demo.svc", "allowed by demo-names for 90d, no challenge"),
        ("demo", "a.b.demo.svc.cluster.local", "allowed by demo-names for 90d, no challenge"),
        ("demo", "*.demo.internal", "allowed by demo-names for 90d, no challenge"),
        ("demo", "demo.internal", "allowed by demo-names for 90d, no challenge"),
        ("demo", "a.b.demo.svc", "refused"),
        ("demo", "other.svc", "refused"),
        ("demo", "svc", "refused"),
        ("demo", "internal", "refused"),
        ("other", "other.svc", "refused"),
        ("other", "a.demo.svc", "refused"),
        ("", "a.demo.svc", "refused"),
        ("demo", "a.demo.test", "allowed by test-names for 90d, challenge http-01 or dns-01 or tls-alpn-01"),
        ("", "a.test", "allowed by test-names for 90d, challenge http-01 or dns-01 or tls-alpn-01"),
        ("", "*.a.test", "allowed by test-names for 90d, challenge http-01 or dns-01 or tls-alpn-01"),
        ("", "test", "refused"),
        ("", "127.0.0.1", "allowed by test-names for 90d, challenge http-01 or dns-01 or tls-alpn-01"),
        ("", "::1", "allowed by test-names for 90d, challenge http-01 or dns-01 or tls-alpn-01"),
        ("", "10.0.0.1", "refused"),
        ("demo", "localhost", "refused"),
        ("demo", "kubernetes.default.svc", "refused"),
    ],
)
def test_the_quickstart_policies_grant_what_they_promise(namespace: str, name: str, outcome: str) -> None:
    """Names of demo without a challenge, names under test with any, and nothing else."""
    engine = PolicyEngine(load_policies(ROOT / "config" / "policies" / "quickstart.yaml"), approval_key=APPROVAL_KEY)

    found = shown(engine.decide(request(name, namespace=namespace), facts()))

    assert found == outcome or (outcome == "refused" and not found.startswith("allowed"))
