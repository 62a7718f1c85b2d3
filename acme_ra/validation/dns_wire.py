"""DNS messages, as far as validation needs them (RFC 1035 §4, RFC 6891, RFC 8659 §4.1).

Why not a library: c-ares as Python reaches it cuts CAA values at a NUL, leaves out records that it cannot read, and
keeps a cache; dnspython costs 170 µs a query. dnspython is the oracle in the tests of this module.
"""

import struct
from enum import IntEnum
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop
from typing import NamedTuple

MAX_RECORDS = 256
MAX_ALIASES = 16
UDP_PAYLOAD = 1232  # RFC 9715 §3: fits one packet everywhere
_MAX_NAME = 255
_MAX_JUMPS = 32
_HEADER = struct.Struct("!6H")
_FIXED = struct.Struct("!HHIH")
_PAIR = struct.Struct("!HH")
_QUESTIONS_NAME = b"\xc0\x0c"  # a pointer to right behind the header, where nearly every owner points
_IN = 1
_FLAG_RESPONSE = 0x8000
_OPCODE = 0x7800
_FLAG_TRUNCATED = 0x0200
_FLAG_RECURSION_DESIRED = 0x0100
_CNAME = 5
# Root owner, type OPT, the payload size in place of the class, no extended flags, no options.
_OPT = b"\x00" + _FIXED.pack(41, UDP_PAYLOAD, 0, 0)


class RecordType(IntEnum):
    """The types that validation asks for."""

    A = 1
    TXT = 16
    AAAA = 28
    CAA = 257


class ResponseCode(IntEnum):
    """RFC 1035 §4.1.1; every other code is a failure like SERVFAIL."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5


class CAARecord(NamedTuple):
    """RFC 8659 §4.1, as it came: nothing is decoded or cut."""

    flags: int
    tag: bytes
    value: bytes


Record = str | bytes | CAARecord  # an address; a TXT's strings joined; a CAA property


class Question(NamedTuple):
    """`name` is in wire form, lower case: unambiguous whatever bytes its labels hold."""

    name: bytes
    type: RecordType

    def __str__(self) -> str:
        return show_name(self.name)


class Reply(NamedTuple):
    """What one message said. `alias` is where the answer's CNAMEs end when it holds no record there."""

    code: int
    truncated: bool
    records: tuple[Record, ...]
    alias: bytes | None


class BadMessage(Exception):
    """The bytes are no reply to the question, or break RFC 1035."""


class ForeignMessage(BadMessage):
    """A reply to some other question: to be ignored, the right one may still come (RFC 5452 §9.1)."""


@lru_cache(maxsize=8192)
def encode_name(name: str) -> bytes:
    """Wire form in lower case. Raises ValueError for what DNS cannot carry."""
    wire = bytearray()
    for label in name.rstrip(".").lower().encode("ascii").split(b"."):
        if not 0 < len(label) < 64:
            raise ValueError("a label is empty or longer than 63 octets")
        wire.append(len(label))
        wire += label
    wire.append(0)
    if len(wire) > _MAX_NAME:
        raise ValueError("the name is longer than 255 octets")
    return bytes(wire)


def show_name(wire: bytes) -> str:
    """For people: dots between labels, and whatever is not plain written as RFC 1035 §5.1 does."""
    labels, at = [], 0
    while wire[at]:
        raw = wire[at + 1 : at + 1 + wire[at]]
        labels.append("".join(chr(c) if (chr(c).isalnum() and c < 128) or c in b"-_*" else f"\\{c:03d}" for c in raw))
        at += 1 + wire[at]
    return ".".join(labels) or "."


@lru_cache(maxsize=8192)
def _query_body(question: Question, edns: bool) -> bytes:
    counts = struct.pack("!5H", _FLAG_RECURSION_DESIRED, 1, 0, 0, 1 if edns else 0)
    return counts + question.name + _PAIR.pack(question.type, _IN) + (_OPT if edns else b"")


def build_query(identity: int, question: Question, *, edns: bool = True) -> bytes:
    """A recursive query for one question."""
    return identity.to_bytes(2, "big") + _query_body(question, edns)


def parse_reply(unverified: bytes, identity: int, question: Question) -> Reply:
    """Read the reply to `question`. Raises ForeignMessage when it answers something else, BadMessage when broken."""
    try:
        return _parse_reply(unverified, identity, question)
    except (struct.error, IndexError) as error:
        raise BadMessage("the message ends too early") from error


def _parse_reply(message: bytes, identity: int, question: Question) -> Reply:
    received, flags, questions, answers, _, _ = _HEADER.unpack_from(message)
    if received != identity or not flags & _FLAG_RESPONSE or flags & _OPCODE:
        raise ForeignMessage("not a reply to this query")
    code = flags & 0xF
    if questions == 0 and code != ResponseCode.NOERROR:
        return Reply(code, False, (), None)  # Some servers send an error without the question.
    if questions != 1:
        raise ForeignMessage("not exactly one question")
    at = _HEADER.size + len(question.name)  # The first name of a message has nothing to point back to.
    if message[_HEADER.size : at].lower() != question.name or _PAIR.unpack_from(message, at) != (question.type, _IN):
        raise ForeignMessage("a reply to another question")
    if flags & _FLAG_TRUNCATED:
        return Reply(code, True, (), None)
    if answers > MAX_RECORDS:
        raise BadMessage(f"more than {MAX_RECORDS} records")
    aliases, records = _read_answers(message, at + _PAIR.size, answers, question)
    return _follow(code, question.name, aliases, records)


def _read_answers(
    message: bytes, at: int, count: int, question: Question
) -> tuple[dict[bytes, bytes], dict[bytes, list[Record]]]:
    aliases: dict[bytes, bytes] = {}
    records: dict[bytes, list[Record]] = {}
    wanted = question.type
    for _ in range(count):
        if message[at : at + 2] == _QUESTIONS_NAME:
            owner, at = question.name, at + 2
        else:
            owner, at = _read_name(message, at)
        kind, class_, _, length = _FIXED.unpack_from(message, at)
        at += _FIXED.size
        end = at + length
        if end > len(message):
            raise BadMessage("a record ends beyond the message")
        if class_ == _IN and kind == wanted:
            records.setdefault(owner, []).append(_read_record(message[at:end], wanted))
        elif class_ == _IN and kind == _CNAME:
            target, after = _read_name(message, at)
            if after != end or aliases.setdefault(owner, target) != target:
                raise BadMessage("a CNAME is broken, or a name has two")
        at = end
    return aliases, records


def _follow(code: int, name: bytes, aliases: dict[bytes, bytes], records: dict[bytes, list[Record]]) -> Reply:
    """Take the records at the end of the chain of CNAMEs; what else the answer holds was not asked for."""
    alias: bytes | None = None
    for _ in range(MAX_ALIASES + 1):
        if name in records:
            return Reply(code, False, tuple(records[name]), None)
        if name not in aliases:
            return Reply(code, False, (), alias)
        name = alias = aliases[name]
    raise BadMessage(f"the CNAMEs go in a circle, or there are more than {MAX_ALIASES}")


def _read_name(message: bytes, at: int) -> tuple[bytes, int]:
    """The name in lower case, and where reading goes on. Pointers only go back, so this ends (RFC 1035 §4.1.4)."""
    parts: list[bytes] = []
    size, after, jumps, limit = 1, -1, 0, at
    while length := message[at]:
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | message[at + 1]
            after = at + 2 if after < 0 else after
            jumps += 1
            if target >= limit or jumps > _MAX_JUMPS:
                raise BadMessage("a compressed name points forwards or too often")
            at = limit = target
            continue
        if length >= 0x40:
            raise BadMessage("a label has an unknown type")
        label = message[at : at + 1 + length]
        size += 1 + length
        if len(label) != 1 + length or size > _MAX_NAME:
            raise BadMessage("a name is cut off or too long")
        parts.append(label)
        at += 1 + length
    parts.append(b"\x00")
    return b"".join(parts).lower(), at + 1 if after < 0 else after


def _read_record(data: bytes, kind: RecordType) -> Record:
    if kind is RecordType.A and len(data) == 4:
        return inet_ntop(AF_INET, data)
    if kind is RecordType.AAAA and len(data) == 16:
        return inet_ntop(AF_INET6, data)
    if kind is RecordType.TXT and data:
        return _read_text(data)
    if kind is RecordType.CAA and len(data) >= 2:
        tag_end = 2 + data[1]
        tag = data[2:tag_end]
        if tag and tag_end <= len(data) and tag.isalnum():
            return CAARecord(data[0], tag.lower(), data[tag_end:])
    raise BadMessage(f"a {kind.name} record is broken")


def _read_text(data: bytes) -> bytes:
    strings, at = [], 0
    while at < len(data):
        end = at + 1 + data[at]
        if end > len(data):
            raise BadMessage("a TXT record is broken")
        strings.append(data[at + 1 : end])
        at = end
    return b"".join(strings)
