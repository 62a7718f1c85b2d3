"""Answers as they leave: one piece, with the framing that the request asks for."""

import pytest

from acme_ra.acme.http.answer import Answer


def _lines(encoded: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, content = encoded.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in rest)
    assert headers.pop("Date").endswith(" GMT")
    assert headers.pop("Server") == "acme-ra"
    return first, headers, content


def test_an_answer_has_its_length_and_its_body():
    """In the order in which headers were given."""
    answer = Answer(b"abc", ("A", "b"), status=201)
    answer.add("C", "d")

    assert _lines(answer.encode()) == ("HTTP/1.1 201 Created", {"Content-Length": "3", "A": "b", "C": "d"}, b"abc")


def test_a_header_may_have_several_lines():
    """Clients read Link from each."""
    answer = Answer(b"", ("Link", "<a>"))
    answer.add("Link", "<b>")

    assert answer.encode().count(b"\r\nLink: <") == 2


def test_head_has_the_length_but_not_the_body():
    """RFC 9110 §9.3.2."""
    assert _lines(Answer(b"abc").encode(head=True)) == ("HTTP/1.1 200 OK", {"Content-Length": "3"}, b"")


def test_no_content_has_no_length():
    """RFC 9110 §8.6."""
    assert _lines(Answer(b"", status=204).encode()) == ("HTTP/1.1 204 No Content", {}, b"")


@pytest.mark.parametrize(
    ("old", "keep_alive", "told"),
    [(False, True, None), (False, False, "close"), (True, True, "keep-alive"), (True, False, "close")],
)
def test_the_connection_is_told_where_it_is_not_understood(old, keep_alive, told):
    """RFC 9112 §9.3."""
    _, headers, _ = _lines(Answer(b"").encode(keep_alive=keep_alive, old=old))

    assert headers.get("Connection") == told


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "\r\n\r\nHTTP/1.1 200 OK"])
def test_a_header_that_would_split_the_answer_is_not_sent(value):
    """Response splitting: nothing that a client sent may become a line of its own."""
    with pytest.raises(ValueError, match="line end"):
        Answer(b"", ("Location", value)).encode()
    with pytest.raises(ValueError, match="line end"):
        Answer(b"", (value, "x")).encode()
