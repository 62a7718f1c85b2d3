"""Anti-replay nonces: good once, never stored (RFC 8555 §6.5).

A nonce is (node, epoch, counter) authenticated by AES-GCM: those 12 bytes are the IV, which therefore never repeats,
and the tag is what nobody else can make. The worker that issued it remembers in a ring of bits which of its latest
nonces were not yet used; memory is the same whatever clients do. A nonce from before a restart carries an older epoch
and is refused. A nonce of another worker of this machine is redeemed by that worker, over its Unix socket.
"""

import binascii
import hmac
import struct
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from acme_ra.acme.nonce_peers import NonceListener, NoncePeers
from acme_ra.acme.wire import decode_segment
from acme_ra.core.problems import BadNonce, Malformed

SEALED_BYTES: Final = 28
_TEXT_LENGTH: Final = 38
_NAME = struct.Struct(">HIHI")  # node, epoch, counter in two parts: 48 bits
_LABEL: Final = b"acme-ra replay nonce 1"
#: Nonces a worker remembers: 1 MiB of bits, half an hour at 4,000 requests a second.
WINDOW: Final = 1 << 23
_REFUSED: Final = "the nonce is not one of ours, was used before, or is too old; use the Replay-Nonce of this answer"


class NonceService(Protocol):
    """Issues nonces and redeems each of them once."""

    def issue(self) -> str: ...

    async def redeem(self, nonce: str) -> None:
        """Raises BadNonce unless this is the nonce's first use."""

    def restore(self, nonce: str) -> None:
        """Make a nonce that was just redeemed good once more, where that is possible. Only for who redeemed it."""

    async def close(self) -> None: ...


class SealedNonces:
    """The nonces of one worker. `peers` redeems those of other workers; without it they are refused."""

    def __init__(
        self, *, key: bytes, node: int, epoch: int, window: int = WINDOW, peers: NoncePeers | None = None
    ) -> None:
        """`epoch` must be higher than at any earlier start of this node. Raises ValueError for values out of range."""
        if len(key) < 16:
            raise ValueError("the nonce key needs at least 16 bytes")
        if not 0 <= node < 1 << 16 or not 0 <= epoch < 1 << 32:
            raise ValueError(f"node {node} or epoch {epoch} is out of range (16 and 32 bits)")
        if window % 8 or window <= 0:
            raise ValueError("the window must be a multiple of 8")
        self._cipher = AESGCM(hmac.digest(key, _LABEL, "sha256"))
        self._node, self._epoch = node, epoch
        self._window = window
        self._unused = bytearray(window // 8)
        self._next = 0
        self._peers = peers
        self._listener: NonceListener | None = None

    def issue(self) -> str:
        counter = self._next
        self._next = counter + 1
        slot = counter % self._window
        # Setting the bit also ends the nonce that had this place one window ago.
        self._unused[slot >> 3] |= 1 << (slot & 7)
        name = _NAME.pack(self._node, self._epoch, counter >> 32, counter & 0xFFFFFFFF)
        sealed = name + self._cipher.encrypt(name, b"", _LABEL)
        return binascii.b2a_base64(sealed, newline=False).translate(_TO_URL)[:_TEXT_LENGTH].decode("ascii")

    async def redeem(self, nonce: str) -> None:
        """Raises BadNonce: forged, used, too old, of an earlier start, or its worker does not answer."""
        sealed = _decode(nonce)
        node, epoch, counter = self._open(sealed)
        if node == self._node:
            self._spend(epoch, counter)
        elif self._peers is None:
            raise BadNonce(_REFUSED)
        else:
            await self._peers.redeem(node, sealed)

    def restore(self, nonce: str) -> None:
        """Set the bit again. A nonce of another worker, or one that the window has left behind, stays spent."""
        node, epoch, counter = self._open(_decode(nonce))
        if (node, epoch) == (self._node, self._epoch) and self._next - self._window <= counter < self._next:
            slot = counter % self._window
            self._unused[slot >> 3] |= 1 << (slot & 7)

    def redeem_own(self, sealed: bytes) -> None:
        """Redeem a nonce of this worker for another one. Raises BadNonce."""
        node, epoch, counter = self._open(sealed)
        if node != self._node:
            raise BadNonce(_REFUSED)
        self._spend(epoch, counter)

    def _spend(self, epoch: int, counter: int) -> None:
        if epoch != self._epoch or not self._next - self._window <= counter < self._next:
            raise BadNonce(_REFUSED)
        slot = counter % self._window
        bit = 1 << (slot & 7)
        if not self._unused[slot >> 3] & bit:
            raise BadNonce(_REFUSED)
        self._unused[slot >> 3] ^= bit

    def _open(self, sealed: bytes) -> tuple[int, int, int]:
        name = sealed[:12]
        try:
            self._cipher.decrypt(name, sealed[12:], _LABEL)
        except InvalidTag as error:
            raise BadNonce(_REFUSED) from error
        node, epoch, high, low = _NAME.unpack(name)
        return node, epoch, high << 32 | low

    async def listen(self, socket_dir: Path) -> None:
        """Redeem this worker's nonces for the other workers of this machine."""
        self._listener = NonceListener(socket_dir, self._node, self.redeem_own)
        await self._listener.open()

    async def close(self) -> None:
        if self._listener is not None:
            await self._listener.close()
        if self._peers is not None:
            await self._peers.close()


_TO_URL: Final = bytes.maketrans(b"+/", b"-_")


def _decode(nonce: str) -> bytes:
    if len(nonce) != _TEXT_LENGTH:
        raise BadNonce(_REFUSED)
    try:
        return decode_segment(nonce, field="nonce")
    except Malformed as error:
        raise BadNonce(_REFUSED) from error


async def open_nonces(*, key: bytes, node: int, epoch: int, socket_dir: Path) -> NonceService:
    """Start the nonces of one worker. `node` is its number on this machine, `key` the same for all of them.

    Raises OSError when the socket cannot be made.
    """
    nonces = SealedNonces(key=key, node=node, epoch=epoch, peers=NoncePeers(socket_dir))
    await nonces.listen(socket_dir)
    return nonces
