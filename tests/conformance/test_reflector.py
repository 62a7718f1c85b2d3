"""A reflector keeps its cache equal to the API server's state, through every kind of interruption."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from acme_ra.kubernetes import client as client_module
from acme_ra.kubernetes import reflector as reflector_module
from acme_ra.kubernetes.cache import Cache
from acme_ra.kubernetes.reflector import Reflector
from acme_ra.kubernetes.resources import Metadata, Resource
from tests.support.both_loops import on_both_loops
from tests.support.fake_kubernetes import FakeKubernetes

THINGS = Resource("example.test", "v1", "things")


class Thing(msgspec.Struct, frozen=True):
    metadata: Metadata
    url: str = ""


class Kept(msgspec.Struct, frozen=True):
    key: tuple[str, str]
    url: str


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that a test can wait for."""
    monkeypatch.setattr(reflector_module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(reflector_module, "LONGEST_PAUSE", 0.05)


def thing(name: str, url: str = "", namespace: str = "shop") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "url": url}


@contextlib.asynccontextmanager
async def reflecting(fake: FakeKubernetes) -> AsyncIterator[tuple[Cache[Kept], Reflector[Thing, Kept]]]:
    client = fake.client()
    cache: Cache[Kept] = Cache(index=lambda kept: (kept.url,))
    reflector = Reflector(
        client=client,
        resource=THINGS,
        into=Thing,
        project=lambda one: Kept((one.metadata.namespace, one.metadata.name), one.url),
        cache=cache,
        chance=random.Random(1),
    )
    task = asyncio.ensure_future(reflector.run())
    try:
        yield cache, reflector
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await client.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what must happen; a loaded machine may take its time."""
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.005)


@on_both_loops
async def test_it_lists_then_follows() -> None:
    """Objects from before, new ones, changed ones, deleted ones; nothing is left behind at the end."""
    async with FakeKubernetes.running() as fake:
        for number in range(5):
            fake.put("things", thing(f"t{number}", f"u{number}"))
        fake.page_limit = 2
        async with reflecting(fake) as (cache, _):
            assert await cache.wait_synced(120)
            assert len(cache) == 5

            fake.put("things", thing("new", "fresh"))
            assert [one.key for one in await cache.wait_for("fresh", 120)] == [("shop", "new")]
            fake.put("things", thing("new", "changed"))
            assert await cache.wait_for("changed", 120)
            assert cache.find("fresh") == ()
            fake.delete("things", "shop", "new")
            await until(lambda: cache.find("changed") == ())
            assert cache.get(("shop", "new")) is None


async def test_after_a_broken_connection_nothing_is_missed() -> None:
    """It watches on from the version that it has; there is no second list."""
    async with FakeKubernetes.running() as fake, reflecting(fake) as (cache, _):
        assert await cache.wait_synced(120)
        await until(lambda: fake.count("WATCH", "/things") == 1)
        fake.held = True
        fake.put("things", thing("a", "missed"))
        fake.break_watches()
        await until(lambda: fake.count("WATCH", "/things") >= 2)
        await fake.release()

        assert await cache.wait_for("missed", 120)
        assert fake.count("GET", "/things") == 1


async def test_history_that_is_gone_is_listed_again() -> None:
    """410: what was deleted meanwhile disappears, what was made appears."""
    async with FakeKubernetes.running() as fake:
        fake.put("things", thing("old", "old"))
        async with reflecting(fake) as (cache, _):
            assert await cache.wait_synced(120)
            await until(lambda: fake.count("WATCH", "/things") == 1)
            fake.held = True
            fake.delete("things", "shop", "old")
            fake.put("things", thing("new", "new"))
            fake.compact()
            fake.break_watches()
            await fake.release()

            assert await cache.wait_for("new", 120)
            assert cache.find("old") == ()
            assert cache.synced


async def test_two_objects_with_one_key_are_both_found() -> None:
    """The index hides nothing: several is an answer of its own."""
    async with FakeKubernetes.running() as fake:
        fake.put("things", thing("a", "same"))
        async with reflecting(fake) as (cache, _):
            assert await cache.wait_for("same", 120)
            fake.put("things", thing("a", "same", namespace="other"))
            await until(lambda: len(cache.find("same")) == 2)
            fake.delete("things", "shop", "a")
            await until(lambda: [one.key for one in cache.find("same")] == [("other", "a")])


@pytest.mark.parametrize("status", [403, 429, 500])
async def test_an_api_server_that_refuses_is_asked_again_with_pauses(status: int) -> None:
    """And when it answers at last, all is there."""
    async with FakeKubernetes.running() as fake:
        fake.put("things", thing("a", "here"))
        fake.script("*", "/things", status=status, times=3)
        async with reflecting(fake) as (cache, _):
            assert await cache.wait_for("here", 120)
            assert fake.count("GET", "/things") == 4


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense\n",
        b'{"type":"ADDED","object":{}}\n',
        b'{"type":"NEW","object":{"metadata":{"name":"x"}}}\n',
        b'{"type":"ADDED","object":{"metadata":{"name":"\xff"}}}\n',
        b'{"type":"ADDED","object":{"metadata":{"name":"x","y":' + b"[" * 50_000 + b"]" * 50_000 + b"}}}\n",
    ],
    ids=["nonsense", "empty", "unknown", "no UTF-8", "deep"],
)
async def test_an_event_that_cannot_be_read_leads_to_a_new_list(line: bytes) -> None:
    """It may have been the one that matters."""
    async with FakeKubernetes.running() as fake:
        fake.script("WATCH", "/things", body=line, times=1)
        async with reflecting(fake) as (cache, _):
            assert await cache.wait_synced(120)
            fake.put("things", thing("a", "here"))
            assert await cache.wait_for("here", 120)


async def test_an_event_of_any_size_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is given up; the list that follows reads the object in its own way."""
    monkeypatch.setattr(client_module, "MAX_OBJECT", 10_000)
    async with FakeKubernetes.running() as fake, reflecting(fake) as (cache, _):
        assert await cache.wait_synced(120)
        await until(lambda: fake.count("WATCH", "/things") == 1)
        fake.script("WATCH", "/things", body=b"x" * 300_000, times=1)
        fake.break_watches()
        await until(lambda: fake.count("WATCH", "/things") >= 3)
        fake.put("things", thing("a", "here"))
        assert await cache.wait_for("here", 120)


async def test_a_watch_that_ends_at_once_is_not_asked_for_in_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that cuts long requests off must not be flooded."""
    monkeypatch.setattr(reflector_module, "FIRST_PAUSE", 0.4)
    monkeypatch.setattr(reflector_module, "LONGEST_PAUSE", 0.4)
    async with FakeKubernetes.running() as fake:
        fake.script("WATCH", "/things", body=b"\n")
        async with reflecting(fake) as (cache, _):
            assert await cache.wait_synced(120)
            await until(lambda: fake.count("WATCH", "/things") >= 1)
            began, before = time.monotonic(), fake.count("WATCH", "/things")
            await asyncio.sleep(1)
            # Each pause is at least half of FIRST_PAUSE; an endless loop would ask hundreds of times.
            possible = (time.monotonic() - began) / 0.2 + 1
            assert fake.count("WATCH", "/things") - before <= possible


async def test_a_restart_begins_where_it_stands() -> None:
    """Whoever finds the watch behind asks for a new one."""
    async with FakeKubernetes.running() as fake, reflecting(fake) as (cache, reflector):
        assert await cache.wait_synced(120)
        await until(lambda: fake.count("WATCH", "/things") == 1)
        reflector.restart()
        await until(lambda: fake.count("WATCH", "/things") == 2)
        fake.put("things", thing("a", "here"))
        assert await cache.wait_for("here", 120)
        assert fake.count("GET", "/things") == 1


async def test_a_wait_that_ends_leaves_nothing() -> None:
    """Nobody can fill the memory by asking for what never comes."""
    cache: Cache[Kept] = Cache(index=lambda kept: (kept.url,))

    assert await cache.wait_for("never", 0.01) == ()
    assert not await cache.wait_synced(0.01)
    assert cache._waiting == {}
