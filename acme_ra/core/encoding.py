"""base64url without padding (RFC 7515 §2) and canonical JSON for what is hashed or logged."""

import base64
import binascii
import re
import secrets
from typing import Any

import orjson

from acme_ra.core.problems import Malformed

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*\Z")


def b64url(raw: bytes) -> str:
    """Encode without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def parse_b64url(unverified: str, *, field: str) -> bytes:
    """Decode strictly: no padding, no other alphabet. Raises Malformed that names `field`."""
    if not _BASE64URL.match(unverified) or len(unverified) % 4 == 1:
        raise Malformed(f"{field} is not unpadded base64url (RFC 7515 §2)")
    try:
        return base64.urlsafe_b64decode(unverified + "=" * (-len(unverified) % 4))
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"{field} is not unpadded base64url (RFC 7515 §2)") from error


def canonical_json(value: Any) -> bytes:
    """UTF-8, sorted keys, no blanks: one value has one encoding."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def random_token() -> str:
    """A challenge token: 192 bits, base64url (RFC 8555 §8 wants at least 128)."""
    return secrets.token_urlsafe(24)


def random_secret() -> str:
    """The unguessable part of a resource's URL: 96 bits, base64url, 16 characters."""
    return secrets.token_urlsafe(12)
