"""From our order's URL to the Orders that carry it: the watch first, then one list that all who wait share."""

import asyncio
import contextlib

import structlog

from acme_ra.attribution.sources.kubernetes.objects import ORDERS, SeenObject, SeenOrder
from acme_ra.core.problems import ServiceUnavailable
from acme_ra.kubernetes.cache import Cache
from acme_ra.kubernetes.client import ApiClient
from acme_ra.kubernetes.errors import KubernetesError
from acme_ra.kubernetes.reflector import Reflector

log = structlog.get_logger(__name__)

#: cert-manager hears of its own status update by a watch before it asks for the authorization. Ours is as quick.
CATCH_UP = 1.0
#: Between the starts of two lists, however many ask: all of a cluster's Orders are much to read.
SEARCH_INTERVAL = 5.0


class OrderFinder:
    """The Orders of one cluster by `status.url`."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._cache: Cache[SeenOrder] = Cache(index=lambda seen: (seen.url,))
        self._reflector = Reflector(
            client=client, resource=ORDERS, into=SeenObject, project=SeenOrder.of, cache=self._cache
        )
        self._search = _Search(client)
        self._task: asyncio.Task[None] | None = None

    @property
    def synced(self) -> bool:
        return self._cache.synced

    async def wait_synced(self, seconds: float) -> bool:
        return await self._cache.wait_synced(seconds)

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._reflector.run())

    async def close(self) -> None:
        await self._search.close()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def known(self, url: str) -> tuple[SeenOrder, ...]:
        """What the watch has told, perhaps a moment ago."""
        return self._cache.find(url)

    async def find(self, url: str, *, seconds: float) -> tuple[SeenOrder, ...]:
        """All Orders that carry the URL. An empty answer is a proof that there was none when it was asked for.

        Raises ServiceUnavailable when that cannot be told in this time, and KubernetesError.
        """
        try:
            async with asyncio.timeout(seconds):
                if not await self._cache.wait_synced(seconds):
                    raise TimeoutError
                found = await self._cache.wait_for(url, CATCH_UP)
                return found or await self._search_or_watch(url, seconds)
        except TimeoutError as error:
            raise ServiceUnavailable(
                f"the Orders of cluster {self._client.name} cannot be told just now; try again"
            ) from error

    async def _search_or_watch(self, url: str, seconds: float) -> tuple[SeenOrder, ...]:
        """The list's answer, or the watch's if it catches up before."""
        watched = asyncio.ensure_future(self._cache.wait_for(url, seconds))
        searched = asyncio.ensure_future(self._search.find(url))
        try:
            await asyncio.wait({watched, searched}, return_when=asyncio.FIRST_COMPLETED)
            if watched.done() and (found := watched.result()):
                return found
            found = await searched
        finally:
            for task in (watched, searched):
                task.cancel()
            await asyncio.gather(watched, searched, return_exceptions=True)
        if found and not self._cache.find(url):
            log.warning("the watch of Orders is behind", cluster=self._client.name)
            self._reflector.restart()
        return found


class _Batch:
    """The URLs that one list answers."""

    def __init__(self) -> None:
        self.wanted: dict[str, list[SeenOrder]] = {}
        self.waiting = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class _Search:
    """Live lists of all Orders: never two at one time, nor sooner than SEARCH_INTERVAL after the last began.

    Whoever asks is answered by a list that began afterwards, so that what was committed before is in it.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._next: _Batch | None = None
        self._task: asyncio.Task[None] | None = None
        self._began = float("-inf")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def find(self, url: str) -> tuple[SeenOrder, ...]:
        if self._next is None:
            self._next = _Batch()
        batch = self._next
        found = batch.wanted.setdefault(url, [])
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())
        batch.waiting += 1
        try:
            # Whoever gives up must not end the list for the others.
            await asyncio.shield(batch.done)
        finally:
            batch.waiting -= 1
        return tuple(found)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._next is not None:
            await asyncio.sleep(max(0.0, self._began + SEARCH_INTERVAL - loop.time()))
            batch, self._next = self._next, None
            if not batch.waiting:
                continue
            self._began = loop.time()
            try:
                await self._read(batch)
            except KubernetesError as error:
                batch.done.set_exception(error)
                batch.done.exception()  # Whoever waited may be gone: then nobody needs to hear of it.
            except BaseException:
                batch.done.cancel()
                raise
            else:
                batch.done.set_result(None)

    async def _read(self, batch: _Batch) -> None:
        async for page in self._client.pages(ORDERS, into=SeenObject):
            for item in page.items or ():
                seen = SeenOrder.of(item)
                if seen.url in batch.wanted:
                    batch.wanted[seen.url].append(seen)
