"""Name patterns and globs: what they match, and what a wildcard would need."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_ra.core.request import Workload
from acme_ra.policy.patterns import BoundPatterns, Glob, NamePattern, NamePatterns


def bound(*patterns: str, **facts: object) -> BoundPatterns:
    workload = Workload(source="test", **facts)  # type: ignore[arg-type]
    return NamePatterns(NamePattern(one) for one in patterns).bind(workload)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("a.example.com", "a.example.com", True),
        ("a.example.com", "b.example.com", False),
        ("a.example.com", "x.a.example.com", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "a.b.example.com", False),
        ("**.example.com", "a.example.com", True),
        ("**.example.com", "c.b.a.example.com", True),
        ("**.example.com", "example.com", False),
        ("**.example.com", "badexample.com", False),
        ("web-*.example.com", "web-1.example.com", True),
        ("web-*.example.com", "web-1.x.example.com", False),
        ("*-web-*.example.com", "a-web-b.example.com", True),
        ("a.*.com", "a.example.com", True),
        ("a.*.com", "a.b.example.com", False),
        ("**.a.*.com", "x.y.a.b.com", True),
        ("**.a.*.com", "a.b.com", False),
        ("*.*.com", "a.b.com", True),
        ("*.*.com", "b.com", False),
        ("*", "localhost", True),
        ("*", "a.b", False),
    ],
)
def test_a_star_never_matches_a_dot(pattern: str, name: str, matches: bool) -> None:
    """`*` stands within one label, a leading `**.` for one or more labels."""
    assert bound(pattern).matches(name) is matches


@pytest.mark.parametrize(
    ("pattern", "base", "covers", "touches"),
    [
        ("*.example.com", "example.com", True, True),
        ("**.example.com", "example.com", True, True),
        ("**.example.com", "a.b.example.com", True, True),
        ("**.example.com", "com", False, False),
        ("a.example.com", "example.com", False, True),
        ("web-*.example.com", "example.com", False, True),
        ("example.com", "example.com", False, False),
        ("*.*.com", "example.com", True, True),
        ("*.x*.com", "xyz.com", True, True),
        ("**.x*.com", "xyz.com", True, True),
        ("**.x*.com", "a.xyz.com", True, True),
        ("**.x*.com", "abc.com", False, False),
        ("a.*.com", "example.com", False, True),
        ("*", "example.com", False, False),
    ],
)
def test_a_wildcard_needs_every_name_below(pattern: str, base: str, covers: bool, touches: bool) -> None:
    """`*.base` is covered only when each name one label below matches, and touched when any does."""
    assert bound(pattern).covers(base) is covers
    assert bound(pattern).touches(base) is touches


@pytest.mark.parametrize("value", ["", "*", "a.b", "A", "-a", "a-", "a" * 64, "a b", "a\n", "{cluster}", "*.b", "ä"])
def test_a_namespace_that_is_no_label_matches_nothing(value: str) -> None:
    """What is unknown, or is more than a label, is put into no pattern."""
    patterns = bound("{namespace}.svc", "*.{namespace}.svc", "**.{namespace}.svc", namespace=value)

    for name in (f"{value}.svc", "x.svc", ".svc", "svc", f"a.{value}.svc", "b.svc", "a.b.svc"):
        assert not patterns.matches(name)
    assert not patterns.covers("svc")
    assert not patterns.covers(f"{value}.svc")


def test_placeholders_are_literal() -> None:
    """Cluster and labels stand for themselves; a dotted value only where it is a whole label of the pattern."""
    facts = {"namespace": "shop", "cluster": "prod.eu", "labels": {"team": "a", "example.com/tier": "web"}}

    assert bound("{namespace}.{cluster}.example.com", **facts).matches("shop.prod.eu.example.com")
    assert not bound("x-{cluster}.example.com", **facts).matches("x-prod.eu.example.com")
    assert bound("{label:team}-{namespace}.example.com", **facts).matches("a-shop.example.com")
    assert bound("{label:example.com/tier}.example.com", **facts).matches("web.example.com")
    assert not bound("{label:missing}.example.com", **facts).matches("missing.example.com")


def test_two_workloads_do_not_share_what_was_filled_in() -> None:
    """The kept result belongs to the facts that it was made from."""
    patterns = NamePatterns([NamePattern("{namespace}.svc")])

    assert patterns.bind(Workload(source="t", namespace="shop")).matches("shop.svc")
    assert not patterns.bind(Workload(source="t", namespace="pay")).matches("shop.svc")
    assert not patterns.bind(None).matches("shop.svc")


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "**",
        "a.**.b",
        "**a.b",
        "***.b",
        "A.b",
        "a b",
        "a\n",
        "{nope}.b",
        "{namespace.b",
        "namespace}.b",
        "{label:}.b",
        "{label:-}.b",
        "{}.b",
        "{{namespace}}.b",
        "-a.b",
        "a-.b",
        "a" * 64 + ".b",
        "a." * 130 + "b",
        "a_b.c",
        "ä.c",
        "1.2.3.4/8",
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        NamePattern(pattern)


_label = st.text("ab-", min_size=1, max_size=3).filter(lambda text: not text.startswith("-") and not text.endswith("-"))
_pattern_label = st.text("ab*", min_size=1, max_size=3).filter(lambda text: "**" not in text)


@given(
    deep=st.booleans(),
    labels=st.lists(_pattern_label, min_size=1, max_size=3),
    name=st.lists(_label, min_size=1, max_size=4),
    below=st.lists(_label, min_size=1, max_size=5),
)
def test_patterns_agree_with_a_plain_reading(deep: bool, labels: list[str], name: list[str], below: list[str]) -> None:
    """The sorted look-ups give what one regular expression gives, and wildcards follow from single names."""
    pattern = ("**." if deep else "") + ".".join(labels)
    one = "[a-z0-9-]+"
    wanted = "".join([rf"(?:{one}\.)+" if deep else "", r"\.".join(x.replace("*", "[a-z0-9-]*") for x in labels)])
    oracle = re.compile(wanted + r"\Z")
    patterns, base = bound(pattern), ".".join(name)

    assert patterns.matches(base) is bool(oracle.match(base))
    for label in below:
        hit = bool(oracle.match(f"{label}.{base}"))
        assert hit or not patterns.covers(base)
        assert not hit or patterns.touches(base)


@pytest.mark.parametrize(
    ("glob", "value", "matches"),
    [
        ("shop", "shop", True),
        ("shop-*", "shop-a", True),
        ("shop-*", "shop", False),
        ("*", "anything.at-all", True),
        ("*", "", False),
        ("a*b*c", "abc", True),
        ("a*b*c", "acb", False),
        ("aa*aa", "aaa", False),
        ("", "", False),
    ],
)
def test_globs_span_the_whole_text(glob: str, value: str, matches: bool) -> None:
    """Unknown, which is the empty text, matches not even `*`."""
    assert Glob(glob).matches(value) is matches
