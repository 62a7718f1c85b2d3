"""A client of one cluster's API server: few calls at one time, none without an end, and no answer without a size."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncGenerator, Hashable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NoReturn, TypeVar, cast

import aiohttp
import msgspec
import structlog
import yarl

from acme_ra import __version__
from acme_ra.core.clock import SECOND
from acme_ra.kubernetes.connection import Connection
from acme_ra.kubernetes.errors import (
    ApiConflict,
    ApiGone,
    ApiInvalid,
    ApiNotFound,
    ApiRefused,
    ApiTooLarge,
    ApiUnavailable,
    ClusterMisconfigured,
    KubernetesError,
)
from acme_ra.kubernetes.resources import Page, Resource, Status, WatchEvent
from acme_ra.kubernetes.settings import ClusterSettings

log = structlog.get_logger(__name__)
T = TypeVar("T")

MAX_OBJECT = 8 * 1024 * 1024  # etcd keeps at most 1.5 MB of one
MAX_PAGE = 32 * 1024 * 1024
PAGE_SIZE = 500
#: More of one resource is no cluster that can be served, and an API server that lies can tell of any number.
MAX_OBJECTS = 200_000
_CHUNK = 64 * 1024
_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_KINDS: dict[int, type[KubernetesError]] = {
    401: ApiRefused,
    403: ApiRefused,
    404: ApiNotFound,
    409: ApiConflict,
    410: ApiGone,
    400: ApiInvalid,
    405: ApiInvalid,
    413: ApiInvalid,
    415: ApiInvalid,
    422: ApiInvalid,
}


class ApiClient:
    """One cluster. Raises KubernetesError for whatever is not the answer that was asked for.

    `into` is a msgspec type; what it does not name is dropped while parsing, so that a large object costs little.
    """

    def __init__(self, name: str, connection: Connection, settings: ClusterSettings) -> None:
        self.name = name
        self.settings = settings
        self.max_objects = MAX_OBJECTS  # of one resource
        self.calls = 0  # that were sent, watches included
        self._connection = connection
        self._seconds = settings.timeout / SECOND
        self._turns = asyncio.Semaphore(settings.max_concurrent)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    # ----------------------------------------------------------------------------------------------------- reading

    async def get(self, resource: Resource, name: str, *, namespace: str = "", into: type[T]) -> T:
        """One object as it is now. Raises ApiNotFound."""
        if name in ("", ".", ".."):
            # These make other paths, and no object has such a name, whatever a reference of a tenant's says.
            raise ApiNotFound(f"cluster {self.name}: {resource} {name!r}: this is no name", cluster=self.name)
        path = resource.path(namespace=namespace, name=name)
        return self._decode(await self.call("GET", path), into, path)

    async def pages(
        self, resource: Resource, *, namespace: str = "", into: type[T], limit: int = PAGE_SIZE
    ) -> AsyncGenerator[Page[T], None]:
        """All objects, as they were at one moment after the call (a consistent read), in pages.

        Raises ApiGone when the snapshot was given up in the middle; what came until then is no whole list. Pages
        that would be too large are asked for again with fewer objects.
        """
        path = resource.path(namespace=namespace)
        token, told = "", 0
        while True:
            query = {"limit": str(limit)} | ({"continue": token} if token else {})
            try:
                body = await self.call("GET", path, query=query, max_body=MAX_PAGE)
            except ApiTooLarge:
                if limit == 1:
                    raise
                limit = max(1, limit // 8)
                continue
            page: Page[T] = self._decode(body, Page[into], path)  # type: ignore[valid-type]
            # An empty page counts too: lists that never end are of two kinds.
            told += max(1, len(page.items or ()))
            if told > self.max_objects:
                raise ApiTooLarge(
                    f"cluster {self.name}: {path}: more than {self.max_objects} objects", cluster=self.name
                )
            yield page
            token = page.metadata.continue_
            if not token:
                return

    async def watch(
        self, resource: Resource, *, namespace: str = "", resource_version: str, seconds: int
    ) -> AsyncGenerator[WatchEvent, None]:
        """What changed after `resource_version`, in order, until the API server ends it after about `seconds`.

        Raises ApiGone when that version is too old.
        """
        path = resource.path(namespace=namespace)
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._seconds)
        with self._failures("watch", path):
            async with asyncio.timeout(seconds + 30):
                async with asyncio.timeout(self._seconds):
                    response = await self._send("GET", path, query=query, timeout=timeout)
                async with response:
                    if response.status != 200:
                        self._fail(response.status, await self._read(response, MAX_OBJECT, path), "watch", path)
                    async for line in self._lines(response, path):
                        event = self._decode(line, WatchEvent, path)
                        if event.type == "ERROR":
                            self._fail(self._decode(event.object, Status, path).code, event.object, "watch", path)
                        yield event

    # ----------------------------------------------------------------------------------------------------- writing

    async def create(self, resource: Resource, body: Mapping[str, Any], *, namespace: str = "") -> dict[str, Any]:
        """Raises ApiConflict when it exists."""
        path = resource.path(namespace=namespace)
        return self._decode(await self.call("POST", path, body=body), dict[str, Any], path)

    async def apply(
        self,
        resource: Resource,
        body: Mapping[str, Any],
        *,
        manager: str,
        subresource: str = "",
    ) -> dict[str, Any]:
        """Server-side apply: the fields in `body` become ours, whoever had them. `body` names the object."""
        metadata = body["metadata"]
        path = resource.path(namespace=metadata.get("namespace", ""), name=metadata["name"], subresource=subresource)
        query = {"fieldManager": manager, "force": "true"}
        return self._decode(
            await self.call("PATCH", path, query=query, body=body, content=_APPLY), dict[str, Any], path
        )

    async def merge(
        self,
        resource: Resource,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str = "",
        subresource: str = "",
    ) -> dict[str, Any]:
        """A merge patch. With metadata.resourceVersion in `body` it raises ApiConflict if the object has changed."""
        path = resource.path(namespace=namespace, name=name, subresource=subresource)
        return self._decode(await self.call("PATCH", path, body=body, content=_MERGE), dict[str, Any], path)

    # ------------------------------------------------------------------------------------------------------- calls

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = _JSON,
        max_body: int = MAX_OBJECT,
    ) -> bytes:
        """The body of a successful answer. Waiting for a turn counts in the time that a call may take."""
        data = None if body is None else msgspec.json.encode(body)
        with self._failures(method, path):
            async with asyncio.timeout(self._seconds), self._turns:
                for again in (True, False):
                    response = await self._send(method, path, query=query, data=data, content=content)
                    async with response:
                        answer = await self._read(response, max_body, path)
                    if response.status == 401 and again and self._connection.token is not None:
                        # The token may have been renewed since it was read.
                        self._connection.token.forget()
                        continue
                    break
        if response.status not in (200, 201):
            self._fail(response.status, answer, method, path)
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None,
        timeout: aiohttp.ClientTimeout | None = None,
        data: bytes | None = None,
        content: str = _JSON,
    ) -> aiohttp.ClientResponse:
        connection = self._connection
        url = yarl.URL(connection.server + path, encoded=True)
        headers = {"Accept": _JSON, "Accept-Encoding": "identity", "User-Agent": f"acme-ra/{__version__}"}
        if connection.token is not None:
            headers["Authorization"] = f"Bearer {connection.token.value()}"
        if data is not None:
            headers["Content-Type"] = content
        self.calls += 1
        return await self._opened().request(
            method,
            url.with_query(query) if query else url,
            headers=headers,
            data=data,
            # A redirect could carry the token elsewhere; an API server has no reason for one.
            allow_redirects=False,
            ssl=connection.tls.context(),
            server_hostname=connection.server_name,
            timeout=timeout or aiohttp.ClientTimeout(total=None),
        )

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30, socket_factory=_socket)
            # No compression was asked for: what is compressed all the same could be a bomb, and stays unread.
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False
            )
        return self._session

    async def _read(self, response: aiohttp.ClientResponse, limit: int, path: str) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > limit:
                response.close()
                raise ApiTooLarge(f"cluster {self.name}: {path}: more than {limit} bytes", cluster=self.name)
        return bytes(body)

    async def _lines(self, response: aiohttp.ClientResponse, path: str) -> AsyncGenerator[bytes, None]:
        # Only what is new is looked through, and nothing is copied twice: a line may come in very small pieces.
        held = bytearray()
        async for chunk in response.content.iter_any():
            *ends, rest = chunk.split(b"\n")
            for end in ends:
                held += end
                if held:
                    yield bytes(held)
                held.clear()
            held += rest
            if len(held) > MAX_OBJECT:
                raise ApiTooLarge(
                    f"cluster {self.name}: {path}: an event of over {MAX_OBJECT} bytes", cluster=self.name
                )

    def _decode(self, body: bytes | msgspec.Raw, into: type[T], path: str) -> T:
        try:
            decoded: T = _decoder(cast(Hashable, into)).decode(body)
            return decoded
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ApiUnavailable(
                f"cluster {self.name}: {path}: an answer that is none: {error}", cluster=self.name
            ) from error

    def _fail(self, code: int, body: bytes | msgspec.Raw, method: str, path: str) -> NoReturn:
        message = ""
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            message = _decoder(Status).decode(body).message
        text = f"cluster {self.name}: {method} {path}: {code} {message[:300]!a}"
        raise _KINDS.get(code, ApiUnavailable)(text, cluster=self.name)

    @contextlib.contextmanager
    def _failures(self, method: str, path: str) -> Iterator[None]:
        """Whatever goes wrong on the way becomes ApiUnavailable, or ApiRefused where the credentials are at fault."""
        try:
            yield
        except TimeoutError as error:
            raise ApiUnavailable(
                f"cluster {self.name}: {method} {path}: no answer in time", cluster=self.name
            ) from error
        except ClusterMisconfigured as error:
            raise ApiRefused(f"cluster {self.name}: {error}", cluster=self.name) from error
        except (aiohttp.ClientError, OSError, ssl.SSLError, ValueError) as error:
            text = f"cluster {self.name}: {method} {path}: {type(error).__name__}: {error}"
            raise ApiUnavailable(text, cluster=self.name) from error


@lru_cache(maxsize=128)
def _decoder(into: Any) -> Any:
    return msgspec.json.Decoder(into)


def _socket(address: Any) -> socket.socket:
    """A connection that was cut in silence is found out within a minute: a watch says nothing for long."""
    family, kind, protocol = address[:3]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return made
