"""Redeeming a nonce at the worker that issued it (RFC 8555 §6.5), over Unix sockets of this machine.

A question is the 28 sealed bytes, an answer one byte; answers come in the order of the questions. Whatever goes wrong
is a BadNonce: the client then signs again with a nonce of the worker that it talks to.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from acme_ra.core.problems import BadNonce

QUESTION_BYTES: Final = 28
_YES, _NO = b"\x01", b"\x00"
_TIMEOUT: Final = 5.0  # A busy worker is no hanging one; and a client that is told badNonce only asks again.
_MAX_WAITING: Final = 4096
_UNREACHABLE: Final = "the worker that issued the nonce does not answer; use the Replay-Nonce of this answer"
_REFUSED: Final = "the nonce was used before, or is too old; use the Replay-Nonce of this answer"


def socket_path(socket_dir: Path, node: int) -> Path:
    return socket_dir / f"nonce-{node}.sock"


class NonceListener:
    """Answers other workers' questions. Only this user can reach it: the directory and the socket are private."""

    def __init__(self, socket_dir: Path, node: int, redeem: Callable[[bytes], None]) -> None:
        self._path = socket_path(socket_dir, node)
        self._redeem = redeem
        self._server: asyncio.AbstractServer | None = None
        self._connections: set[asyncio.Transport] = set()

    async def open(self) -> None:
        """Take the place of a predecessor that was killed. Raises OSError."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Answering(self._redeem, self._connections), self._path)
        os.chmod(self._path, 0o600)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for transport in tuple(self._connections):
                transport.abort()
            await self._server.wait_closed()
            self._path.unlink(missing_ok=True)
            self._server = None


class _Answering(asyncio.Protocol):
    def __init__(self, redeem: Callable[[bytes], None], connections: set[asyncio.Transport]) -> None:
        self._redeem = redeem
        self._connections = connections
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance check: uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        whole = len(data) - len(data) % QUESTION_BYTES
        self._rest = data[whole:]
        answers = bytearray()
        for start in range(0, whole, QUESTION_BYTES):
            try:
                self._redeem(data[start : start + QUESTION_BYTES])
                answers += _YES
            except BadNonce:
                answers += _NO
        if answers and self._transport is not None:
            self._transport.write(bytes(answers))


class NoncePeers:
    """Asks the other workers. One connection each, kept; made again after it was lost."""

    def __init__(self, socket_dir: Path) -> None:
        self._socket_dir = socket_dir
        self._peers: dict[int, _Asking] = {}
        self._connecting: dict[int, asyncio.Lock] = {}

    async def redeem(self, node: int, sealed: bytes) -> None:
        """`node` must come from an authentic nonce, or anybody could make us open sockets. Raises BadNonce."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                peer = await self._peer(node)
                accepted = await peer.ask(sealed)
        except (OSError, TimeoutError) as error:
            self._forget(node, hanging=isinstance(error, TimeoutError))
            raise BadNonce(_UNREACHABLE) from error
        if not accepted:
            raise BadNonce(_REFUSED)

    async def _peer(self, node: int) -> "_Asking":
        peer = self._peers.get(node)
        if peer is not None and peer.alive:
            return peer
        async with self._connecting.setdefault(node, asyncio.Lock()):
            peer = self._peers.get(node)
            if peer is None or not peer.alive:
                loop = asyncio.get_running_loop()
                _, peer = await loop.create_unix_connection(_Asking, str(socket_path(self._socket_dir, node)))
                self._peers[node] = peer
            return peer

    def _forget(self, node: int, *, hanging: bool) -> None:
        peer = self._peers.get(node)
        if peer is None:
            return
        if hanging:
            peer.abort()
        if not peer.alive:
            del self._peers[node]

    async def close(self) -> None:
        for peer in self._peers.values():
            peer.abort()
        self._peers.clear()


class _Asking(asyncio.Protocol):
    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._transport: asyncio.Transport | None = None
        self.alive = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.alive = True

    async def ask(self, sealed: bytes) -> bool:
        """Raises OSError when the connection is lost or too many wait."""
        if self._transport is None or not self.alive or len(self._waiting) >= _MAX_WAITING:
            raise ConnectionError("no connection to the worker")
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        # A question that nobody waits for any more keeps its place, so that answers stay in step.
        self._waiting.append(answer)
        self._transport.write(sealed)
        return await answer

    def data_received(self, data: bytes) -> None:
        for byte in data:
            if not self._waiting:
                self.abort()
                return
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_result(byte == _YES[0])

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive = False
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(ConnectionError("the worker closed the connection"))
        self._waiting.clear()

    def abort(self) -> None:
        self.alive = False
        if self._transport is not None:
            self._transport.abort()
