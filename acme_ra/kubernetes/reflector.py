"""LIST, then WATCH, for ever: keeps a cache equal to what the API server has, as closely as a watch can."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec
import structlog

from acme_ra.kubernetes.cache import Cache, Named
from acme_ra.kubernetes.client import ApiClient
from acme_ra.kubernetes.errors import ApiGone, ApiTooLarge, ApiUnavailable, KubernetesError
from acme_ra.kubernetes.resources import Resource

log = structlog.get_logger(__name__)
O = TypeVar("O")  # noqa: E741  an object as it is read
V = TypeVar("V", bound=Named)

WATCH_SECONDS = 300
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 30.0
#: What parsing and projecting can raise: text that is no UTF-8 is a ValueError, text in text in text a RecursionError.
_UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)
SHORTEST_WATCH = 1.0  # an API server that ends watches sooner is not asked in a loop


class Reflector(Generic[O, V]):
    """One watch. `run` is awaited by whoever owns it, and ends when it is cancelled.

    `into` is what is parsed of an object, `project` makes the value that is kept. Events of one resource come in the
    order in which they were committed, and a list is one snapshot: the cache never shows a later state of one object
    beside an earlier state of another.
    """

    def __init__(
        self,
        *,
        client: ApiClient,
        resource: Resource,
        into: type[O],
        project: Callable[[O], V],
        cache: Cache[V],
        chance: random.Random | None = None,
    ) -> None:
        self.cache = cache
        self._client = client
        self._resource = resource
        self._into = into
        self._decoder = msgspec.json.Decoder(into)
        self._project = project
        self._chance = chance or random.SystemRandom()
        self._version = ""
        self._failures = 0
        self._watching: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch_until_restarted()
            except ApiGone:
                # Normal after a long silence. Once more at once; if that fails too, with a pause.
                self._version = ""
                await self._pause() if self._failures else self._count()
            except KubernetesError as error:
                if isinstance(error, ApiTooLarge) and not self._version:  # of an event that is too large, it is kept
                    self.cache.lose()
                log.warning(
                    "watch interrupted", cluster=self._client.name, resource=str(self._resource), cause=str(error)
                )
                await self._pause()

    def restart(self) -> None:
        """Begin a new watch where this one stands: somebody saw what it should have told already."""
        if self._watching is not None:
            self._watching.cancel()

    async def _watch_until_restarted(self) -> None:
        self._watching = asyncio.ensure_future(self._watch())
        try:
            await asyncio.wait({self._watching})
        finally:
            watching, self._watching = self._watching, None
            if not watching.done():
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError, KubernetesError):
                    await watching
        if not watching.cancelled():
            watching.result()

    async def _list(self) -> None:
        values: list[V] = []
        version = ""
        async for page in self._client.pages(self._resource, into=self._into):
            try:
                values.extend(self._project(item) for item in page.items or ())
            except _UNREADABLE as error:
                text = f"cluster {self._client.name}: a list of {self._resource} that is none: {error}"
                raise ApiUnavailable(text, cluster=self._client.name) from error
            version = page.metadata.resource_version
        if not version:
            text = f"cluster {self._client.name}: a list of {self._resource} without resourceVersion"
            raise ApiUnavailable(text, cluster=self._client.name)
        self.cache.replace(values)
        self._version = version
        log.debug("listed", cluster=self._client.name, resource=str(self._resource), objects=len(values))

    async def _watch(self) -> None:
        seconds = WATCH_SECONDS + self._chance.randrange(WATCH_SECONDS)
        started = asyncio.get_running_loop().time()
        events = self._client.watch(self._resource, resource_version=self._version, seconds=seconds)
        async with contextlib.aclosing(events):
            async for event in events:
                self._take(event.type, event.object)
                self._failures = 0
        if asyncio.get_running_loop().time() - started < SHORTEST_WATCH:
            await self._pause()

    def _take(self, kind: str, raw: msgspec.Raw) -> None:
        try:
            version = _META.decode(raw).metadata.resource_version
            if kind != "BOOKMARK":
                value = self._project(self._decoder.decode(raw))
        except _UNREADABLE as error:
            # An event that cannot be read must not be passed over: what it changed would stay unknown.
            self._version = ""
            text = f"cluster {self._client.name}: an event of {self._resource} that is none: {error}"
            raise ApiUnavailable(text, cluster=self._client.name) from error
        if kind in ("ADDED", "MODIFIED"):
            self.cache.put(value)
            if len(self.cache) > self._client.max_objects:
                # One cluster must not fill the memory that all share. A new list tells whether there are so many.
                self._version = ""
                text = f"cluster {self._client.name}: more than {self._client.max_objects} {self._resource}"
                raise ApiTooLarge(text, cluster=self._client.name)
        elif kind == "DELETED":
            self.cache.remove(value.key)
        elif kind != "BOOKMARK":
            self._version = ""
            raise ApiUnavailable(f"cluster {self._client.name}: unknown event {kind!a}", cluster=self._client.name)
        self._version = version or self._version

    def _count(self) -> None:
        self._failures += 1

    async def _pause(self) -> None:
        """Longer after each failure, and never the same for all workers: they must not come back all at once."""
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        await asyncio.sleep(longest * (0.5 + self._chance.random() / 2))


class _BookmarkMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _Bookmark(msgspec.Struct):
    metadata: _BookmarkMetadata


_META = msgspec.json.Decoder(_Bookmark)
