"""What a reflector has seen: one small value per object, found by its name or by an index key."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

V = TypeVar("V", bound="Named")
Key = tuple[str, str]  # namespace, name


class Named(Protocol):
    """What a cached value tells of the object that it was made from."""

    @property
    def key(self) -> Key: ...


class Cache(Generic[V]):
    """Written by one reflector. `index` gives the keys under which a value is found; empty ones are left out."""

    def __init__(self, *, index: Callable[[V], tuple[str, ...]] = lambda _: ()) -> None:
        self._index = index
        self._values: dict[Key, V] = {}
        self._indexed: dict[str, dict[Key, V]] = {}
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._synced = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[V]:
        """Over a copy: the cache may change meanwhile."""
        return iter(tuple(self._values.values()))

    @property
    def synced(self) -> bool:
        """Whether all objects were listed once. It stays so while the API server is away, until they are too many."""
        return self._synced.is_set()

    async def wait_synced(self, seconds: float) -> bool:
        """Whether it is synced within this time."""
        try:
            async with asyncio.timeout(seconds):
                await self._synced.wait()
        except TimeoutError:
            return False
        return True

    def get(self, key: Key) -> V | None:
        return self._values.get(key)

    def find(self, index_key: str) -> tuple[V, ...]:
        """The values under an index key."""
        return tuple(self._indexed.get(index_key, {}).values())

    async def wait_for(self, index_key: str, seconds: float) -> tuple[V, ...]:
        """The values under an index key, as soon as there is one, or none after this time."""
        found = self.find(index_key)
        if found or seconds <= 0:
            return found
        arrived = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(index_key, []).append(arrived)
        try:
            async with asyncio.timeout(seconds):
                await arrived
        except TimeoutError:
            return ()
        finally:
            waiting = self._waiting.get(index_key)
            if waiting is not None and arrived in waiting:
                waiting.remove(arrived)
                if not waiting:
                    del self._waiting[index_key]
        return self.find(index_key)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change. It must be quick and may not fail."""
        self._listeners.append(listener)

    # ---------------------------------------------------------------------------------------- the reflector's side

    def replace(self, values: list[V]) -> None:
        """The whole content, from a list."""
        self._values = {value.key: value for value in values}
        self._indexed = {}
        for value in values:
            self._enter(value)
        self._synced.set()
        for index_key in tuple(self._waiting):
            if index_key in self._indexed:
                self._wake(index_key)
        self._told()

    def lose(self) -> None:
        """Nothing is known any more: there is more than can be kept, and a part of it is not what there is."""
        self._values, self._indexed = {}, {}
        self._synced.clear()
        self._told()

    def put(self, value: V) -> None:
        self._leave(value.key)
        self._values[value.key] = value
        for index_key in self._enter(value):
            self._wake(index_key)
        self._told()

    def remove(self, key: Key) -> None:
        self._leave(key)
        if self._values.pop(key, None) is not None:
            self._told()

    def _enter(self, value: V) -> tuple[str, ...]:
        keys = tuple(key for key in self._index(value) if key)
        for index_key in keys:
            self._indexed.setdefault(index_key, {})[value.key] = value
        return keys

    def _leave(self, key: Key) -> None:
        old = self._values.get(key)
        if old is None:
            return
        for index_key in self._index(old):
            holders = self._indexed.get(index_key)
            if holders is not None:
                holders.pop(key, None)
                if not holders:
                    del self._indexed[index_key]

    def _wake(self, index_key: str) -> None:
        for arrived in self._waiting.pop(index_key, ()):
            if not arrived.done():
                arrived.set_result(None)

    def _told(self) -> None:
        for listener in self._listeners:
            listener()
