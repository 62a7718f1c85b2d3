"""Lint: what is valid and hardly meant is told with its line, and what may be meant is left alone."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from acme_ra.cli.frame import Exit
from acme_ra.cli.main import run
from acme_ra.core.decision import Outcome
from acme_ra.core.keys import KeyAlgorithm
from acme_ra.core.request import Stage
from acme_ra.policy.containment import names_within
from acme_ra.policy.lint import lint
from acme_ra.policy.patterns import NamePattern, NamePatterns
from tests.support.policies import P256, engine, facts, grant, guard, local, profile, request, workload

ROOT = Path(__file__).parents[3]


def checks(*documents: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(policy, check, key) of each remark."""
    sources = [(f"{index}.yaml", json.dumps(one).encode()) for index, one in enumerate(documents)]
    return [(one.policy, one.check, one.mistake.key) for one in lint(sources)]


def names(*patterns: str) -> dict[str, Any]:
    return {"dnsNames": list(patterns)}


@pytest.mark.parametrize(
    ("pattern", "check"),
    [
        ("*example.com", "broad-name"),
        ("a.*example.com", "broad-name"),
        ("**.*example.com", "broad-name"),
        ("*", "broad-name"),
        ("**.*", "broad-name"),
        ("example.*", "broad-name"),
        ("**.com", "public-suffix"),
        ("*.co.uk", "public-suffix"),
        ("{namespace}.com", "public-suffix"),
        ("*-shop.com", "public-suffix"),
        ("**.github.io", "public-suffix"),
    ],
)
def test_a_pattern_that_matches_more_than_it_seems_to_is_told(pattern: str, check: str) -> None:
    assert checks(grant(allowed=names("a.example.com", pattern))) == [("grant", check, "spec.allowed.dnsNames[1]")]


@pytest.mark.parametrize(
    "pattern",
    ["*.example.com", "**.example.co.uk", "web-*.example.com", "*-web.svc", "*.{namespace}.svc", "**.internal",
     "{namespace}", "shop", "co.uk"],
)  # fmt: skip
def test_a_pattern_that_says_what_it_means_is_left_alone(pattern: str) -> None:
    assert checks(grant(allowed=names(pattern))) == []


@pytest.mark.parametrize(
    ("selector", "key"),
    [
        ({"clusters": []}, "clusters"),
        ({"profiles": []}, "profiles"),
        ({"namespaces": {}}, "namespaces"),
        ({"namespaces": {"matchNames": []}}, "namespaces.matchNames"),
        ({"namespaces": {"matchLabels": {}}}, "namespaces.matchLabels"),
    ],
)
def test_a_grant_that_selects_nothing_is_told(selector: dict[str, Any], key: str) -> None:
    assert checks(grant(selector=selector)) == [("grant", "selects-nothing", f"spec.selector.{key}")]


def test_a_grant_that_names_nothing_is_told() -> None:
    assert checks(grant(allowed=names())) == [("grant", "gives-nothing", "spec.allowed")]


@pytest.mark.parametrize(
    ("given", "held", "key"),
    [
        ({}, {"denied": names("**.com")}, "allowed"),
        ({"constraints": {"keys": ["rsa-2048"]}}, {"constraints": {"keys": ["ecdsa-p256"]}}, "constraints.keys"),
        ({"profile": "a"}, {"profiles": ["b"]}, "profile"),
        ({"require": {"challenges": ["http-01"]}}, {"require": {"challenges": ["dns-01"]}}, "require.challenges"),
    ],
)
def test_a_grant_that_a_guard_always_refuses_is_told(given: dict[str, Any], held: dict[str, Any], key: str) -> None:
    assert checks(grant(**given), guard(**held)) == [("grant", "always-refused", f"spec.{key}")]
    assert checks(grant(**given), guard(**held, mode="shadow")) == []
    assert checks(grant(**given), guard(**held, selector={"clusters": ["east"]})) == []
    assert checks(grant(**given), guard(**held, selector={"profiles": ["a"]})) == []
    key = KeyAlgorithm.RSA_2048 if "constraints" in given else P256
    asked = request("a.example.com", stage=Stage.FINALIZE, key=key, proofs={"a.example.com": "http-01"})
    known = facts(profiles={one: profile(keys=(P256, KeyAlgorithm.RSA_2048)) for one in "ab"}, default_profile="a")
    assert engine(grant(**given)).decide(asked, known).outcome == Outcome.ALLOWED
    assert engine(grant(**given), guard(**held)).decide(asked, known).outcome == Outcome.REFUSED


def test_a_namespaces_own_guard_refuses_grants_of_that_namespace_only() -> None:
    own = local("shop", denied=names("**.com"))
    here, wider = ({"namespaces": {"matchNames": [one]}} for one in ("shop", "shop*"))

    assert checks(grant(selector=here), own) == [("grant", "always-refused", "spec.allowed")]
    assert checks(grant(selector=wider), own) == []


def test_a_grant_of_names_and_addresses_is_not_refused_by_half() -> None:
    both = grant(allowed={**names("**.example.com"), "ipAddresses": ["10.0.0.0/8"]})

    assert checks(both, guard(denied=names("**.com"))) == []
    assert len(checks(both, guard(denied={**names("**.com"), "ipAddresses": ["10.0.0.0/7"]}))) == 1


def test_a_grant_that_another_makes_needless_is_told_once() -> None:
    shop = grant("shop", allowed=names("*.shop.example.com"), selector={"clusters": ["east"]})

    assert checks(grant("all"), shop) == [("shop", "unreachable", "metadata.name")]
    assert checks(grant("a"), grant("b")) == [("b", "unreachable", "metadata.name")]


@pytest.mark.parametrize(
    "spec",
    [
        {"mode": "shadow"},
        {"selector": {"clusters": ["west"]}},
        {"constraints": {"maxDuration": "1d"}},
        {"require": {"approval": "security"}},
        {"allowed": names("*.example.com")},
    ],
)
def test_a_grant_that_makes_a_difference_is_left_alone(spec: dict[str, Any]) -> None:
    """It gives what the other does not, or on other terms."""
    shop = grant("shop", allowed=names("**.shop.example.com"), selector={"clusters": ["east"]})

    assert checks(grant("all", **spec), shop) == []


@pytest.mark.parametrize(
    ("inner", "outer", "within"),
    [
        ("a.example.com", "*.example.com", True),
        ("a-*.example.com", "a*.example.com", True),
        ("a*.example.com", "a-*.example.com", False),
        ("**.a.example.com", "**.example.com", True),
        ("**.example.com", "**.a.example.com", False),
        ("**.example.com", "*.example.com", False),
        ("example.com", "**.example.com", False),
        ("**.example.com", "**.example.com", True),
        ("{namespace}.svc", "*.svc", True),
        ("{cluster}.svc", "*.svc", False),
        ("{cluster}.svc", "**.svc", True),
        ("*.svc", "{namespace}.svc", False),
    ],
)
def test_what_a_pattern_includes(inner: str, outer: str, within: bool) -> None:
    """A `{cluster}` may have several labels, which `*` does not match."""
    assert names_within([inner], [outer]) is within


def test_what_a_pattern_includes_is_what_it_matches() -> None:
    """Every pair of small patterns, asked about every small name: what is called included is matched, wildcards too."""
    labels = ["a", "*", "a*", "*a", "{namespace}", "{cluster}"]
    texts = [*labels, *(f"{one}.{two}" for one in labels for two in labels)]
    texts += [f"**.{text}" for text in texts]
    parts = ["a", "b", "ab"]
    known = [*parts, *(f"{x}.{y}" for x in parts for y in parts)]
    known += [f"{x}.{rest}" for x in parts for rest in known[3:]]
    here = workload("b", cluster="a.b")
    bound = {text: NamePatterns([NamePattern(text)]).bind(here) for text in texts}
    matched = {text: {name for name in known if bound[text].matches(name)} for text in texts}
    covered = {text: {name for name in known if bound[text].covers(name)} for text in texts}

    pairs = [(inner, outer) for inner in texts for outer in texts if names_within([inner], [outer])]

    assert len(pairs) > len(texts)
    assert [pair for pair in pairs if not matched[pair[0]] <= matched[pair[1]]] == []
    assert [pair for pair in pairs if not covered[pair[0]] <= covered[pair[1]]] == []


def test_the_example_of_the_page_comes_out_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/policy.md, section Lint: its document, its command, its output; and the exit codes."""
    section = (ROOT / "docs" / "policy.md").read_text("utf-8").split("\n## Lint\n")[1].split("\n## ")[0]
    document = re.findall(r"```\n(.*?)```", section, re.DOTALL)[0]
    monkeypatch.chdir(tmp_path)
    Path("policies").mkdir()
    Path("policies/shop.yaml").write_text(document)

    assert run(["policy", "lint", "policies"]) == Exit.FAILURE
    assert capsys.readouterr().out.splitlines() == re.findall(r"^    (policies/.*)$", section, re.MULTILINE)
    assert run(["policy", "lint", "policies", "--output", "json"]) == Exit.FAILURE
    told = json.loads(capsys.readouterr().out)["remarks"]
    assert [(one["check"], one["line"]) for one in told] == [("broad-name", 5), ("public-suffix", 5)]
    Path("policies/shop.yaml").write_text(document.replace("*example", "*.example").replace("**.co.uk", "example.org"))
    assert run(["policy", "lint", "policies"]) == Exit.OK
    Path("policies/shop.yaml").write_text(document.replace("effect", "efect"))
    assert run(["policy", "lint", "policies"]) == Exit.CONFIGURATION


def test_the_policies_that_are_shipped_have_no_remarks() -> None:
    files = sorted((ROOT / "config" / "policies").glob("*.yaml"))

    assert files
    assert lint([(file.name, file.read_bytes()) for file in files]) == []
