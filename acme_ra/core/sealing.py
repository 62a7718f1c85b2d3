"""Sealing of secrets at rest: AES-256-GCM under sub-keys of one master key (HKDF, RFC 5869). No I/O."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MASTER_BYTES = 32
_VERSION = b"\x01"
_NONCE = 12
_TAG = 16


class SealBroken(Exception):
    """The sealed bytes were changed, or belong to another key, purpose or context."""


class Sealer:
    """Seals and opens secrets. Each purpose has a key of its own; the context is bound to the ciphertext."""

    __slots__ = ("_ciphers", "_master")

    def __init__(self, master: bytes) -> None:
        """`master` is 32 random bytes. Raises ValueError for any other length."""
        if len(master) != MASTER_BYTES:
            raise ValueError(f"the master key has {len(master)} bytes; it must have {MASTER_BYTES}")
        self._master = master
        self._ciphers: dict[str, AESGCM] = {}

    def __repr__(self) -> str:
        return "Sealer(…)"

    def derive(self, purpose: str) -> bytes:
        """The 32-byte sub-key of a purpose: always the same for one master key, unrelated to every other purpose."""
        return HKDF(SHA256(), 32, salt=None, info=b"acme-ra/1/" + purpose.encode()).derive(self._master)

    def seal(self, plaintext: bytes, *, purpose: str, context: str) -> bytes:
        """Encrypt and bind to `context` (the row that it belongs to), so that rows cannot be exchanged unnoticed."""
        nonce = os.urandom(_NONCE)
        return _VERSION + nonce + self._cipher(purpose).encrypt(nonce, plaintext, _bound(context))

    def open(self, sealed: bytes, *, purpose: str, context: str) -> bytes:
        """The plaintext. Raises SealBroken."""
        if len(sealed) < 1 + _NONCE + _TAG or sealed[:1] != _VERSION:
            raise SealBroken("this is not a sealed secret of this version")
        nonce, ciphertext = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        try:
            return self._cipher(purpose).decrypt(nonce, ciphertext, _bound(context))
        except InvalidTag as error:
            raise SealBroken(
                f"a sealed {purpose} does not open: it was changed, or sealed under another key"
            ) from error

    def _cipher(self, purpose: str) -> AESGCM:
        cipher = self._ciphers.get(purpose)
        if cipher is None:
            cipher = self._ciphers[purpose] = AESGCM(self.derive("seal/" + purpose))
        return cipher


def _bound(context: str) -> bytes:
    return _VERSION + context.encode()
