"""JSON as clients send it, read strictly: one value per member, bounded nesting, typed fields (RFC 8259, RFC 7493).

Unknown members are ignored, as RFC 8555 §6.4 wants; a member that occurs twice is refused wherever it occurs, because
two readers of one document must never see two different values.
"""

import binascii
import json
from typing import Any, Final, TypeVar

import msgspec
import orjson

from acme_ra.core.problems import Malformed

T = TypeVar("T")

#: An order of 100 identifiers has 102 objects and arrays; a key change nests two JWS.
MAX_CONTAINERS: Final = 400
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
#: What the last character may be when 2 or 3 characters are left over: its unused bits are zero.
_LAST: Final = {1: frozenset[str](), 2: frozenset(_ALPHABET[::16]), 3: frozenset(_ALPHABET[::4])}
_PADDING: Final = (b"", b"===", b"==", b"=")
#: To the alphabet that the library decodes; what belongs to that one only becomes a character of neither.
_TO_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/!!!")


class _Duplicate(ValueError):
    pass


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Duplicate
    return members


_decode = json.JSONDecoder(object_pairs_hook=_pairs).decode


def parse_object(unverified: bytes, *, field: str) -> dict[str, Any]:
    """Parse a JSON object. Raises Malformed that names `field`."""
    if unverified.count(b"{") + unverified.count(b"[") > MAX_CONTAINERS:
        raise Malformed(f"{field} has too many nested or repeated values; at most {MAX_CONTAINERS} are accepted")
    try:
        # orjson is the strict reader (UTF-8, surrogates, NaN).
        parsed = orjson.loads(unverified)
        if not isinstance(parsed, dict):
            raise Malformed(f"{field} is not a JSON object")
        # What is written again as the very same bytes has lost nothing on the way: no member occurred twice.
        if orjson.dumps(parsed) != unverified and not _surely_unique(unverified, parsed):
            _decode(unverified.decode("utf-8"))
    except _Duplicate as error:
        raise Malformed(f"{field} has a member that occurs twice") from error
    except orjson.JSONEncodeError as error:
        raise Malformed(f"{field} is nested too deeply") from error
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{field} is not valid JSON") from error
    return parsed


def _surely_unique(raw: bytes, parsed: dict[str, Any]) -> bool:
    """Whether a look at the quotes is enough to know that no member occurs twice, which is so for every JWS.

    Where all values are text and nothing is escaped, a member has four quotes; one more occurrence would add two.
    """
    return (
        raw.count(b'"') == 4 * len(parsed) and b"\\" not in raw and all(type(value) is str for value in parsed.values())
    )


def convert(members: dict[str, Any], kind: type[T], *, field: str) -> T:
    """Read typed members. Raises Malformed that names the member and the type it should have."""
    try:
        return msgspec.convert(members, kind)
    except msgspec.ValidationError as error:
        raise Malformed(f"{field}: {_plain(str(error))}") from error


def parse_payload(unverified: bytes, kind: type[T]) -> T:
    """A request's payload as typed members. Raises Malformed."""
    return convert(parse_object(unverified, field="the payload"), kind, field="the payload")


def decode_segment(unverified: object, *, field: str) -> bytes:
    """Decode unpadded base64url that has exactly one spelling (RFC 7515 §2, RFC 4648 §3.5). Raises Malformed."""
    if not isinstance(unverified, str):
        raise Malformed(f"{field} is missing or not a string")
    rest = len(unverified) % 4
    try:
        if rest and unverified[-1] not in _LAST[rest]:
            raise ValueError("unused bits are set")
        standard = unverified.encode("ascii").translate(_TO_STANDARD) + _PADDING[rest]
        return binascii.a2b_base64(standard, strict_mode=True)
    except ValueError as error:
        raise Malformed(f"{field} is not unpadded base64url (RFC 7515 §2)") from error


def _plain(message: str) -> str:
    """msgspec's text holds types and member names of ours only; its `$` becomes nothing."""
    return message.replace(" - at `$.", " at `").replace(" - at `$", " at `")[:300]
