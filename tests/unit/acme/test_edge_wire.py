"""JSON and base64url are read strictly."""

import msgspec
import pytest

from acme_ra.acme.wire import convert, decode_segment, parse_object, parse_payload
from acme_ra.core.problems import Malformed


class Example(msgspec.Struct):
    names: tuple[str, ...]
    reason: int | None = None


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"[]",
        b'"text"',
        b"null",
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":"x","a":"y"}',
        b'{"a":1,"a":"y"}',
        b'{"a":"y","a":{}}',
        b'{"a":"x","\\u0061":"y"}',
        b'{"a":"\\"","a":"y"}',
        b'{"deep":{"a":1,"a":1}}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1}x',
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":' + b"[" * 30000,
        b'{"a":' * 20000,
        b'{"a":' + b"[" * 300 + b"]" * 300 + b"}",
    ],
)
def test_what_two_readers_could_read_differently_is_refused(hostile):
    """Duplicates, broken encodings and bombs are Malformed, and never another exception."""
    with pytest.raises(Malformed, match="the payload"):
        parse_object(hostile, field="the payload")


def test_escapes_and_numbers_take_the_slow_reader_and_come_out_right():
    """Both ways of looking for duplicates let through what has none."""
    assert parse_object(b'{"a":"\\"b\\"","c":[1,{"d":"e"}]}', field="x") == {"a": '"b"', "c": [1, {"d": "e"}]}
    assert parse_object(b' {"a" : "b", "c":"d"} ', field="x") == {"a": "b", "c": "d"}
    assert parse_object(b"{}", field="x") == {}


def test_unknown_members_are_ignored():
    """RFC 8555 §6.4 wants them ignored."""
    assert parse_payload(b'{"names":["a"],"new":{"x":[1]}}', Example) == Example(("a",))


@pytest.mark.parametrize(
    ("payload", "told"),
    [(b"{}", "names"), (b'{"names":["a",1]}', r"names\[1\]"), (b'{"names":[],"reason":true}', "reason")],
)
def test_a_wrong_type_is_told_with_the_members_name(payload, told):
    """A developer reads which field to fix."""
    with pytest.raises(Malformed, match=told):
        parse_payload(payload, Example)


def test_told_types_hold_nothing_of_the_payload():
    """Values of a hostile payload are not reflected."""
    with pytest.raises(Malformed) as caught:
        convert({"names": "<script>"}, Example, field="the payload")

    assert "script" not in caught.value.detail


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "YQ==",
        "Y Q",
        "Y+8",
        "Y/8",
        "YR",
        "YWJ",
        "ä",
        "YQ\n",
        "=",
        "AAA=",
        "A" * 5,
        "AA\0A",
        "YQ\x80",
        None,
        7,
        ["YQ"],
    ],
)
def test_base64url_has_exactly_one_spelling(text):
    """Padding, other alphabets and set unused bits are refused, so that a signature cannot be respelled."""
    with pytest.raises(Malformed, match="the csr"):
        decode_segment(text, field="the csr")


@pytest.mark.parametrize(
    ("text", "raw"), [("", b""), ("YQ", b"a"), ("YWI", b"ab"), ("YWJj", b"abc"), ("-_8", b"\xfb\xff")]
)
def test_base64url_is_decoded(text, raw):
    """Every remainder of four."""
    assert decode_segment(text, field="x") == raw
