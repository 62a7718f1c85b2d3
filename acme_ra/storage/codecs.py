"""Rows to objects and back. Columns come in the order that statements.py names them."""

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from acme_ra.core.events import EventRecord, StoredEvent
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.objects import (
    Account,
    Authorization,
    Binding,
    Certificate,
    Challenge,
    Credential,
    Order,
    OrderApproval,
    StoredError,
)
from acme_ra.core.request import Workload
from acme_ra.core.status import AccountStatus, ApprovalStatus, AuthorizationStatus, OrderStatus

Row = Sequence[Any]
S = TypeVar("S", bound=StrEnum)

_encode = msgspec.json.Encoder().encode
_texts = msgspec.json.Decoder(tuple[str, ...]).decode
_identifiers = msgspec.json.Decoder(tuple[Identifier, ...]).decode
_challenges = msgspec.json.Decoder(tuple[Challenge, ...]).decode
_binding = msgspec.json.Decoder(Binding).decode
_workload = msgspec.json.Decoder(Workload).decode
_error = msgspec.json.Decoder(StoredError).decode
_pems = msgspec.json.Decoder(tuple[str, ...]).decode


def _by_value(kind: type[S]) -> Mapping[str, S]:
    """A look-up in a dict costs a tenth of calling the enum."""
    return {member.value: member for member in kind}


_ACCOUNT_STATUS = _by_value(AccountStatus)
_AUTHORIZATION_STATUS = _by_value(AuthorizationStatus)
_ORDER_STATUS = _by_value(OrderStatus)
_IDENTIFIER_TYPE = _by_value(IdentifierType)


def hash63(text: str) -> int:
    """A stable hash that fits an SQLite integer. It finds rows; the text itself is compared afterwards."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def key_hash(directory: str, thumbprint: str) -> int:
    return hash63(f"{directory}/{thumbprint}")


def holder_hash(account_id: int, identifier: str) -> int:
    return hash63(f"{account_id}/{identifier}")


@lru_cache(maxsize=65536)
def mark_hash(field: str, value: str | int) -> int:
    """Of a field of an event that blocks are marked with."""
    return hash63(f"{field}={value}")


def serial_of_ari_id(ari_id: str) -> str | None:
    """The serial in an ARI certificate id, as certificates have it, or None when it is none (RFC 9773 §4.1)."""
    _, dot, encoded = ari_id.partition(".")
    if not dot or len(encoded) > 64:
        return None
    try:
        raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except (binascii.Error, ValueError):
        return None
    return f"{int.from_bytes(raw, 'big'):x}" if raw else None


def to_json(value: object) -> str:
    """For a TEXT column."""
    return _encode(value).decode()


def account(row: Row) -> Account:
    return Account(
        row[0], row[1], row[2], row[3], row[4], _ACCOUNT_STATUS[row[5]], _texts(row[6]), row[7], row[8], row[9]
    )


def credential(row: Row) -> Credential:
    return Credential(row[0], row[1], row[2], _binding(row[3]), row[4], row[5], row[6], row[7], row[8], row[9], row[10])


def order(row: Row) -> Order:
    error = row[14]
    return Order(
        row[0],
        row[1],
        row[2],
        row[3],
        _ORDER_STATUS[row[4]],
        _identifiers(row[5]),
        _texts(row[6]),
        row[7],
        row[8],
        row[9],
        row[10],
        workload(row[11]),
        row[12],
        row[13],
        None if error is None else _error(error),
        row[15],
        row[16],
        row[17],
        row[18],
    )


def authorization(row: Row) -> Authorization:
    return Authorization(
        row[0],
        row[1],
        row[2],
        row[3],
        Identifier(_IDENTIFIER_TYPE[row[4]], row[5]),
        row[6] == 1,
        row[7] == 1,
        row[8],
        _AUTHORIZATION_STATUS[row[9]],
        row[10],
        _challenges(row[11]),
        row[12],
        row[13],
        row[14],
        row[15],
    )


def approval(row: Row) -> OrderApproval:
    return OrderApproval(row[0], row[1], row[2], ApprovalStatus(row[3]), *row[4:])


def certificate(row: Row) -> Certificate:
    return Certificate(*row)


def identifiers(text: str) -> tuple[Identifier, ...]:
    return _identifiers(text)


def workload(text: str | None) -> Workload | None:
    return None if text is None else _workload(text)


def chain(pems: str) -> tuple[bytes, ...]:
    return tuple(pem.encode() for pem in _pems(pems))


def chain_to_json(pems: tuple[bytes, ...]) -> str:
    return to_json([pem.decode("ascii") for pem in pems])


def event(row: Row) -> StoredEvent:
    return StoredEvent(
        row[0],
        EventRecord(row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9], _texts(row[10])),
    )


def workload_json(encoded: bytes | None) -> str | None:
    """Checked before it is stored: a workload that cannot be read would make its order unreadable."""
    if encoded is None:
        return None
    _workload(encoded)
    return encoded.decode()


def binding_json(encoded: bytes) -> str:
    _binding(encoded)
    return encoded.decode()
