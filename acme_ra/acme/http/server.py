"""The HTTP server of one process: a listening socket, its connections, and their end."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from acme_ra.acme.http.answer import Answer
from acme_ra.acme.http.connection import Connection
from acme_ra.acme.http.request import Request

log = structlog.get_logger(__name__)

Handler = Callable[[Request], Awaitable[Answer]]
_BACKLOG: Final = 1024
_ROUND: Final = 1.0  # seconds between looks at the deadlines
_FAREWELL: Final = 1.0
#: What one connection may hold of a body beyond what its handler would read.
_SPARE: Final = 64 * 1024


class HTTPServer:
    """Serves `handler`, which must not raise. To be made where the event loop runs.

    Times are in seconds: `idle` is how long a connection may wait for its next request, `patience` how long a head or a
    TLS handshake may take, however it is dripped. A body's time is its reader's business.
    """

    def __init__(self, handler: Handler, *, max_body: int, idle: float = 75.0, patience: float = 15.0) -> None:
        self.handler = handler
        self.max_unread = max_body + _SPARE
        self.idle = idle
        self.patience = patience
        self.loop = asyncio.get_running_loop()
        self.closing = False
        self.connections: set[Connection] = set()
        self._moved = asyncio.Event()
        self._listening: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, listening: socket.socket, *, tls: ssl.SSLContext | None = None) -> None:
        """Serve a socket that is bound, and becomes this server's own."""
        self._listening = await self.loop.create_server(
            lambda: Connection(self),
            sock=listening,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else self.patience,
            backlog=_BACKLOG,
        )
        self._timer = self.loop.call_later(_ROUND, self._look)

    async def close(self, *, timeout: float = 10.0) -> None:
        """Stop listening, answer what was begun, and cut off after `timeout` seconds what is still under way."""
        self.closing = True
        if self._listening is not None:
            self._listening.close()
        for connection in tuple(self.connections):
            connection.shut()
        await self._until(lambda: not any(one.busy for one in self.connections), timeout)
        # Who does not answer our goodbye is not waited for as long.
        await self._until(lambda: not self.connections, min(timeout, _FAREWELL))
        for connection in tuple(self.connections):
            connection.cancel()
        if self._timer is not None:
            self._timer.cancel()

    # For connections.

    def gone(self, connection: Connection) -> None:
        """It is closed, and nothing of it is under way."""
        self.connections.discard(connection)
        self._moved.set()

    def answered(self) -> None:
        if self.closing:
            self._moved.set()

    def refusal(self, status: int, why: str, address: str) -> Answer:
        """The answer to what is no request that could be handled."""
        log.info("request not readable", status=status, reason=why, address=address)
        return Answer(f"{why}\n".encode(), ("Content-Type", "text/plain; charset=utf-8"), status=status)

    def failed(self, error: Exception) -> None:
        log.error("answer not sent", exc_info=error)

    async def _until(self, reached: Callable[[], bool], timeout: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not reached():
                    self._moved.clear()
                    await self._moved.wait()

    def _look(self) -> None:
        """One timer for all: a timer for each request would cost more than it guards."""
        now = self.loop.time()
        for connection in tuple(self.connections):
            if 0 < connection.deadline < now:
                connection.expire()
        self._timer = self.loop.call_later(_ROUND, self._look)
