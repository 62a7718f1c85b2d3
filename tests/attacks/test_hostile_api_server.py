"""An API server that lies harms its own cluster: the memory and the time of the server are everybody's."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import aiohttp
import pytest

from acme_ra.attribution.sources.kubernetes.finder import OrderFinder
from acme_ra.attribution.sources.kubernetes.objects import CERTIFICATES, ORDERS, SeenObject
from acme_ra.kubernetes.errors import ApiNotFound, ApiTooLarge, ApiUnavailable
from acme_ra.kubernetes.resources import NAMESPACES, Meta
from tests.support.fake_kubernetes import FakeKubernetes


def order(number: int) -> dict[str, Any]:
    return {"metadata": {"name": f"o{number}", "namespace": "shop", "uid": f"u{number}"}, "spec": {}}


async def test_what_is_compressed_is_not_unpacked() -> None:
    """It was not asked for, and a few bytes can be gigabytes."""
    body = gzip.compress(json.dumps({"metadata": {"name": "shop"}}).encode())
    async with FakeKubernetes.running() as fake:
        fake.script("GET", "/namespaces/shop", body=body, headers={"Content-Encoding": "gzip"})
        client = fake.client()

        with pytest.raises(ApiUnavailable):
            await client.get(NAMESPACES, "shop", into=Meta)
        await client.close()


@pytest.mark.parametrize("items", [[], [order(1)]], ids=["empty", "full"])
async def test_a_list_that_never_ends_is_given_up(items: list[dict[str, Any]]) -> None:
    page = json.dumps({"metadata": {"resourceVersion": "1", "continue": "more"}, "items": items}).encode()
    async with FakeKubernetes.running() as fake:
        fake.script("GET", "/orders", body=page, times=40)
        client = fake.client()
        client.max_objects = 10

        with pytest.raises(ApiTooLarge):
            async for _ in client.pages(ORDERS, into=SeenObject):
                pass
        assert fake.count("GET", "/orders") == 11
        await client.close()


async def test_a_watch_that_tells_of_ever_more_objects_is_given_up() -> None:
    """And what was known is not taken for all that there is."""
    async with FakeKubernetes.running() as fake:
        client = fake.client()
        client.max_objects = 10
        finder = OrderFinder(client)
        finder.start()
        assert await finder.wait_synced(120)

        for number in range(11):
            fake.put("orders", order(number))

        async with asyncio.timeout(120):
            while finder.synced:
                await asyncio.sleep(0.01)
        for number in range(5):
            fake.delete("orders", "shop", f"o{number}")
        assert await finder.wait_synced(120)
        await finder.close()
        await client.close()


class _Dripping:
    """The content of an answer that comes in small pieces."""

    def __init__(self, pieces: int) -> None:
        self.content = self
        self._pieces = pieces

    async def iter_any(self) -> AsyncIterator[bytes]:
        for _ in range(self._pieces):
            yield b"x" * 512
        yield b"\n{}\n\n{"
        yield b"}\n"


async def test_an_event_in_many_small_pieces_costs_no_more_than_its_size() -> None:
    """4 MB in pieces of 512 bytes; copied anew with each piece that would be 17 GB, and nobody else served."""
    async with FakeKubernetes.running() as fake:
        client = fake.client()
        began = time.process_time()

        answer = cast(aiohttp.ClientResponse, _Dripping(8192))
        lines = [line async for line in client._lines(answer, "/orders")]

        assert time.process_time() - began < 1.5
        assert [len(line) for line in lines] == [8192 * 512, 2, 2]
        await client.close()


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_a_reference_that_is_no_name_leads_nowhere(name: str) -> None:
    """Owners are what a tenant wrote: a refusal like that of one that was deleted, and no fault of the server."""
    async with FakeKubernetes.running() as fake:
        client = fake.client()

        with pytest.raises(ApiNotFound):
            await client.get(CERTIFICATES, name, namespace="shop", into=Meta)
        assert fake.calls == []
        await client.close()
