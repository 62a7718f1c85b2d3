"""The DNS codec, with dnspython as its oracle."""

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_ra.validation.dns_wire import (
    BadMessage,
    CAARecord,
    ForeignMessage,
    Question,
    RecordType,
    build_query,
    encode_name,
    parse_reply,
    show_name,
)
from tests.support.cost import cheapest

NAME = "shop.example.test"
A = Question(encode_name(NAME), RecordType.A)


def reply(
    question: Question, *rrsets: tuple[str, str, list[str]], rcode: int = 0, flags: int = 0, edns: bool = True
) -> bytes:
    """What a server would send, made by dnspython."""
    response = dns.message.make_response(dns.message.from_wire(build_query(7, question, edns=edns)))
    for owner, kind, texts in rrsets:
        response.answer.append(dns.rrset.from_text(owner, 60, "IN", kind, *texts))
    response.set_rcode(dns.rcode.Rcode(rcode))
    response.flags |= flags
    return response.to_wire()


@pytest.mark.parametrize("edns", [True, False])
@pytest.mark.parametrize("kind", list(RecordType))
def test_a_query_is_what_the_oracle_reads(kind, edns):
    """The hand-built query says the same to dnspython as it does to us."""
    query = dns.message.from_wire(build_query(4711, Question(encode_name("Shop.Example.Test"), kind), edns=edns))

    assert query.id == 4711
    assert query.flags == dns.flags.RD
    assert query.question[0].to_text() == f"{NAME}. IN {kind.name}"
    assert query.edns == (0 if edns else -1)


@pytest.mark.parametrize(
    ("kind", "texts", "records"),
    [
        ("A", ["192.0.2.1", "192.0.2.2"], ("192.0.2.1", "192.0.2.2")),
        ("AAAA", ["2001:db8::1", "::ffff:10.0.0.1"], ("2001:db8::1", "::ffff:10.0.0.1")),
        ("TXT", ['"one" "two"', '"\\000\\255"'], (b"onetwo", b"\x00\xff")),
        (
            "CAA",
            ['0 issue "ca.test"', '128 Foo "\\000x"'],
            (CAARecord(0, b"issue", b"ca.test"), CAARecord(128, b"foo", b"\x00x")),
        ),
    ],
)
def test_records_are_read_whole(kind, texts, records):
    """Every record comes out as it went in; a CAA value is not cut at a NUL, and nothing is left out."""
    question = Question(encode_name(NAME), RecordType[kind])

    parsed = parse_reply(reply(question, (f"{NAME}.", kind, texts)), 7, question)

    assert sorted(parsed.records) == sorted(records)
    assert (parsed.code, parsed.truncated, parsed.alias) == (0, False, None)


def test_aliases_are_followed_within_the_answer():
    """Only the records at the end of the chain count."""
    chain = [(f"{NAME}.", "CNAME", ["B.test."]), ("b.test.", "CNAME", ["c.test."]), ("c.test.", "A", ["192.0.2.3"])]

    assert parse_reply(reply(A, *chain, ("evil.test.", "A", ["192.0.2.66"])), 7, A).records == ("192.0.2.3",)
    assert parse_reply(reply(A, *chain[:2]), 7, A).alias == encode_name("c.test")


def test_aliases_in_a_circle_are_an_error():
    """A loop is neither an empty answer nor an endless one."""
    with pytest.raises(BadMessage, match="circle"):
        parse_reply(reply(A, (f"{NAME}.", "CNAME", ["b.test."]), ("b.test.", "CNAME", [f"{NAME}."])), 7, A)


def test_records_of_another_owner_are_not_taken():
    """An answer for somebody else's name is no answer."""
    parsed = parse_reply(reply(A, ("other.test.", "A", ["192.0.2.66"])), 7, A)

    assert parsed.records == ()


@pytest.mark.parametrize("change", ["identity", "question", "type", "query"])
def test_a_reply_to_another_question_is_foreign(change):
    """A forged or late datagram is passed over, so that the right one can still come."""
    other = {
        "identity": (8, A),
        "question": (7, Question(encode_name("b.test"), RecordType.A)),
        "type": (7, Question(encode_name(NAME), RecordType.AAAA)),
        "query": (7, A),
    }[change]
    wire = build_query(7, A) if change == "query" else reply(A)

    with pytest.raises(ForeignMessage):
        parse_reply(wire, *other)


def test_truncation_is_told_and_never_an_empty_answer():
    """What is left of a truncated answer is not used."""
    parsed = parse_reply(reply(A, (f"{NAME}.", "A", ["192.0.2.1"]), flags=dns.flags.TC), 7, A)

    assert parsed.truncated
    assert parsed.records == ()


@given(st.binary(max_size=600))
def test_no_bytes_break_the_parser(rubbish):
    """Whatever comes, the outcome is a Reply or a BadMessage."""
    header = (7).to_bytes(2, "big") + b"\x81\x80\x00\x01\x00\x05\x00\x00\x00\x00" + A.name + b"\x00\x01\x00\x01"
    for wire in (rubbish, header + rubbish):
        try:
            parse_reply(wire, 7, A)
        except BadMessage:
            continue


@given(st.data())
def test_a_mutated_answer_reads_like_the_oracle_or_not_at_all(data):
    """With one byte changed, we never see a record that dnspython does not see."""
    question = Question(encode_name(NAME), RecordType.CAA)
    wire = bytearray(reply(question, (f"{NAME}.", "CAA", ['0 issue "ca.test"', '0 issue "b.test"']), edns=False))
    at = data.draw(st.integers(12 + len(question.name) + 4, len(wire) - 1))
    wire[at] = data.draw(st.integers(0, 255))
    try:
        ours = parse_reply(bytes(wire), 7, question).records
    except BadMessage:
        return
    theirs = dns.message.from_wire(bytes(wire), ignore_trailing=True, one_rr_per_rrset=True, continue_on_error=True)
    seen = {
        (item.flags, item.tag.lower(), item.value)
        for rrset in theirs.answer
        if rrset.rdtype == RecordType.CAA
        for item in rrset
        if hasattr(item, "flags")
    }
    assert {tuple(record) for record in ours} <= seen


@given(st.lists(st.binary(min_size=1, max_size=63), min_size=1, max_size=3))
def test_text_strings_are_joined_like_the_oracle_joins_them(strings):
    """Several strings of one TXT record are one value (RFC 8555 §8.4)."""
    question = Question(encode_name(NAME), RecordType.TXT)
    rdata = " ".join('"' + "".join(f"\\{byte:03d}" for byte in string) + '"' for string in strings)

    assert parse_reply(reply(question, (f"{NAME}.", "TXT", [rdata])), 7, question).records == (b"".join(strings),)


def test_compression_bombs_end_quickly():
    """Names that point at names that point at names cost no time."""
    header = (7).to_bytes(2, "big") + b"\x81\x80\x00\x01\x01\x00\x00\x00\x00\x00" + A.name + b"\x00\x01\x00\x01"
    pointers = bytearray(header)
    while len(pointers) < 16000:
        pointers += (0xC000 | max(12, len(pointers) - 2)).to_bytes(2, "big")
    forwards = header + b"\xc0\xff" + bytes(300)

    def parse() -> None:
        for bomb in (bytes(pointers), forwards):
            with pytest.raises(BadMessage):
                parse_reply(bomb, 7, A)

    assert cheapest(parse) < 0.1


@pytest.mark.parametrize("name", ["", ".".join(["a" * 63] * 4), "a" * 64, "a..b"])
def test_names_that_dns_cannot_carry_are_refused(name):
    """Too long or empty labels never reach the wire."""
    with pytest.raises(ValueError, match="octets"):
        encode_name(name)


def test_names_are_shown_harmlessly():
    """A label may hold any byte; what a person sees may not."""
    assert show_name(b"\x04a.\x1b\xff\x04test\x00") == "a\\046\\027\\255.test"
