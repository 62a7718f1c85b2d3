"""The name grammar: what the X.509 library would let through stops here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_ra.core.identifiers import MAX_NAME, Identifier, IdentifierType, parse_dns_name, parse_identifier
from acme_ra.core.problems import Malformed, Problem, RejectedIdentifier, UnsupportedIdentifier
from tests.support.cost import cheapest

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True).filter(lambda label: label[2:4] != "--")


@pytest.mark.parametrize(
    ("given_value", "normal"),
    [
        ("example.test", "example.test"),
        ("EXAMPLE.Test", "example.test"),
        ("*.example.test", "*.example.test"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("single", "single"),
        ("a1.b-2.c3", "a1.b-2.c3"),
    ],
)
def test_names_are_normalised(given_value: str, normal: str) -> None:
    """A legal name comes out in lower case and otherwise as it was."""
    assert parse_identifier("dns", given_value) == Identifier(IdentifierType.DNS, normal)


@pytest.mark.parametrize(
    "hostile",
    [
        "a..com",
        ".example.test",
        "example.test.",
        "*.*.com",
        "*.com",
        "*",
        "a.*.example.test",
        "*a.example.test",
        "exa mple.test",
        "example.test\x00.evil.test",
        "example.test\n",
        "<script>.test",
        "under_score.test",
        "-lead.test",
        "trail-.test",
        "a" * 64 + ".test",
        "a." * 130 + "test",
        "bücher.test",
        "xn--a.test",
        "ab--cd.test",
        "127.0.0.1",
        "1.2.3",
        "host.0x7f",
        "[::1]",
        "2001:db8::1",
        "ＥＸＡＭＰＬＥ.test",
        "test\u212a.test",
    ],
)
def test_hostile_names_are_refused_with_the_name_as_subproblem(hostile: str) -> None:
    """Each is a rejectedIdentifier whose text is printable ASCII, whatever came in."""
    with pytest.raises(RejectedIdentifier) as caught:
        parse_identifier("dns", hostile)

    problem = caught.value
    assert problem.detail.isascii()
    assert problem.detail.isprintable()
    assert problem.subproblems[0].identifier_type == "dns"


def test_an_empty_name_is_malformed() -> None:
    with pytest.raises(Malformed):
        parse_identifier("dns", "")


@pytest.mark.parametrize(
    ("given_value", "normal"), [("192.0.2.1", "192.0.2.1"), ("2001:DB8:0:0::1", "2001:db8::1"), ("::1", "::1")]
)
def test_addresses_are_written_as_rfc_5952_does(given_value: str, normal: str) -> None:
    assert parse_identifier("ip", given_value).value == normal


@pytest.mark.parametrize(
    "hostile", ["::ffff:192.0.2.1", "fe80::1%eth0", "192.0.2.01", "192.0.2.0/24", "1", "", "a.test"]
)
def test_hostile_addresses_are_refused(hostile: str) -> None:
    with pytest.raises(Malformed):
        parse_identifier("ip", hostile)


@pytest.mark.parametrize("kind", ["DNS", "email", "", "dns\x00", "permanent-identifier"])
def test_an_unknown_type_is_refused(kind: str) -> None:
    """An unknown value never falls through to something known."""
    with pytest.raises(UnsupportedIdentifier):
        parse_identifier(kind, "example.test")


@given(st.lists(LABEL, min_size=2, max_size=6))
def test_every_ldh_name_with_letters_at_the_end_is_accepted(labels: list[str]) -> None:
    name = ".".join([*labels, "test"])
    assert parse_dns_name(name, allow_wildcard=False) == name


@given(st.text(max_size=400))
def test_whatever_passes_is_a_plain_lower_case_name(text: str) -> None:
    """The grammar's guarantee for everything behind it: LDH labels, no more than 253 characters."""
    try:
        name = parse_dns_name(text, allow_wildcard=True)
    except Problem:
        return

    assert set(name.removeprefix("*.")) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
    assert len(name) <= MAX_NAME


def test_a_huge_name_costs_nothing() -> None:
    def refuse() -> None:
        with pytest.raises(RejectedIdentifier):
            parse_identifier("dns", "a." * 500_000)

    assert cheapest(refuse) < 0.1
