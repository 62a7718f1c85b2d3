"""Policy files that are made to hurt: bombs, depth, size, patterns that backtrack (THREATS: parser bombs)."""

import resource

import pytest

from acme_ra.policy.documents import parse_policies
from acme_ra.policy.errors import PolicyErrors
from acme_ra.policy.patterns import Glob, NamePattern, NamePatterns
from tests.support.cost import cheapest

LAUGHS = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9)
)
HEAD = b"kind: ClusterIssuancePolicy\nmetadata: {name: a}\nspec:\n  effect: grant\n  allowed:\n    dnsNames: "
HOSTILE = {
    "billion laughs": LAUGHS,
    "quadratic alias": b"a: &a " + b"x" * 50_000 + b"\nb: [" + b",".join([b"*a"] * 10_000) + b"]\n",
    "recursive alias": b"&a [*a]\n",
    "merge keys": b"a: &a {x: 1}\nb: {<<: [*a, *a]}\n",
    "deep sequence": b"[" * 100_000 + b"]" * 100_000,
    "deep mapping": b"{a: " * 50_000,
    "deep block": b"- " * 100_000,
    "deep keys": b"? " * 100_000,
    "indented": b"".join(b" " * i + b"a:\n" for i in range(700)),
    "huge": b"x" * 50_000_000,
    "huge comment": b"#" * 50_000_000,
    "many nodes": b"[" + b"a," * 120_000 + b"]",
    "many documents": b"--- a\n" * 40_000,
    "many keys": b"".join(b"k%d: 1\n" % i for i in range(25_000)),
    "many anchors": b"".join(b"- &a%d x\n" % i for i in range(20_000)),
    "long names": HEAD + b"[" + b",".join([b"a" * 250 + b".b"] * 900) + b"]\n",
    "many names": HEAD + b"[" + b",".join(b"a%d.b" % i for i in range(12_000)) + b"]\n",
    "directives": b"%TAG ! tag:x,2000:\n" * 10_000 + b"--- a\n",
    "nul": b"\x00" * 200_000,
    "utf-16 bom": b"\xff\xfe" + b"a\x00" * 100_000,
    "quotes": b'"' + b"\\x41" * 60_000 + b'"',
    "unclosed quote": b"a: '" + b"x\n" * 120_000,
    "python tag": b"!!python/object/apply:os.system ['true']",
    "long number": b"kind: " + b"9" * 200_000,
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_file_is_refused_quickly(name: str) -> None:
    """A mistake with a fix, in under 100 ms of CPU and 50 MB."""
    content = HOSTILE[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told: list[PolicyErrors] = []

    def refuse() -> None:
        with pytest.raises(PolicyErrors) as caught:
            parse_policies([("hostile.yaml", content)])
        told.append(caught.value)

    assert cheapest(refuse) < 0.1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024
    assert len(str(told[-1])) < 100_000
    assert all(mistake.fix for mistake in told[-1].mistakes)


def test_patterns_do_not_backtrack() -> None:
    """Many stars against a long label: linear, where a regular expression would take for ever."""
    stars = "a*" * 30 + "b"
    patterns = NamePatterns([NamePattern(f"{'*a' * 30}b.test"), NamePattern(f"**.{stars}.test")]).bind(None)

    def match() -> None:
        for _ in range(1000):
            assert not patterns.matches("a" * 63 + ".test")
            assert not Glob(stars).matches("a" * 63)

    assert cheapest(match) < 0.5


def test_every_mistake_of_a_long_list_is_short() -> None:
    """What is told of a value is cut: an error message is no amplifier."""
    with pytest.raises(PolicyErrors) as caught:
        parse_policies([("h.yaml", HEAD + b"[" + b"A" * 200_000 + b"]\n")])

    assert len(str(caught.value)) < 500
