"""The API client keeps its contract with an API server: what is an answer, what is not, and that all of it ends."""

import asyncio
import base64
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from acme_ra.core.problems import ServiceUnavailable
from acme_ra.kubernetes import client as client_module
from acme_ra.kubernetes.client import ApiClient
from acme_ra.kubernetes.connection import open_connection
from acme_ra.kubernetes.errors import (
    ApiConflict,
    ApiGone,
    ApiInvalid,
    ApiNotFound,
    ApiRefused,
    ApiTooLarge,
    ApiUnavailable,
    KubernetesError,
)
from acme_ra.kubernetes.resources import EVENTS, NAMESPACES, Meta, Resource
from acme_ra.kubernetes.settings import ClusterSettings
from tests.support.both_loops import on_both_loops
from tests.support.fake_kubernetes import TOKEN, FakeKubernetes

THINGS = Resource("example.test", "v1", "things")


def thing(name: str, namespace: str = "shop", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, **more}


@on_both_loops
async def test_an_object_is_read_as_it_is_now() -> None:
    """With the token, over TLS that is verified against the bundle."""
    async with FakeKubernetes.running() as fake:
        fake.put("namespaces", {"metadata": {"name": "shop", "labels": {"team": "shop"}}})
        client = fake.client()

        found = await client.get(NAMESPACES, "shop", into=Meta)

        assert found.metadata.labels == {"team": "shop"}
        assert found.metadata.uid
        await client.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ApiInvalid),
        (401, ApiRefused),
        (403, ApiRefused),
        (404, ApiNotFound),
        (409, ApiConflict),
        (410, ApiGone),
        (422, ApiInvalid),
        (429, ApiUnavailable),
        (302, ApiUnavailable),
        (500, ApiUnavailable),
        (503, ApiUnavailable),
    ],
)
async def test_each_failure_has_a_type(status: int, error: type[KubernetesError]) -> None:
    """And none of them tells a client more than that the cluster cannot be asked."""
    async with FakeKubernetes.running() as fake:
        fake.script("GET", "/namespaces/shop", status=status)
        client = fake.client()

        with pytest.raises(error) as raised:
            await client.get(NAMESPACES, "shop", into=Meta)

        told = raised.value.unavailable()
        assert isinstance(told, ServiceUnavailable)
        assert "scripted" not in told.detail
        await client.close()


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"null", b"[]", b'{"metadata": null}', b'{"metadata": {"name": 7}}', b"{" * 10_000, b"\xff\xfe"],
)
async def test_garbage_is_no_answer(body: bytes) -> None:
    """Whatever a broken proxy sends with status 200."""
    async with FakeKubernetes.running() as fake:
        fake.script("GET", "/namespaces/shop", body=body or b" ")
        client = fake.client()

        with pytest.raises(ApiUnavailable):
            await client.get(NAMESPACES, "shop", into=Meta)
        await client.close()


async def test_a_silent_api_server_is_given_up() -> None:
    """The call ends in its time, also while it waits for its turn behind another that hangs."""
    async with FakeKubernetes.running() as fake:
        fake.script("GET", "/namespaces/", hang=True)
        client = fake.client(timeout=200, max_concurrent=1)

        asked = [client.get(NAMESPACES, "shop", into=Meta) for _ in range(3)]
        ended = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 120)

        assert [type(one) for one in ended] == [ApiUnavailable] * 3
        await client.close()


async def test_an_api_server_that_is_gone_is_unavailable() -> None:
    """Nobody listens there any more."""
    async with FakeKubernetes.running() as fake:
        client = fake.client()
    with pytest.raises(ApiUnavailable):
        await client.get(NAMESPACES, "shop", into=Meta)
    await client.close()


async def test_another_ca_is_not_believed() -> None:
    """Somebody else answers at the API server's address: no token is sent."""
    async with FakeKubernetes.running() as fake, FakeKubernetes.running() as other:
        settings = other.settings(server=fake.url)
        client = ApiClient("prod", open_connection(settings, {}), settings)

        with pytest.raises(ApiUnavailable, match=r"(?i)certificate"):
            await client.get(NAMESPACES, "shop", into=Meta)

        assert fake.calls == []
        await client.close()


async def test_an_answer_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gigabyte of labels does not reach the memory."""
    monkeypatch.setattr(client_module, "MAX_OBJECT", 2000)
    async with FakeKubernetes.running() as fake:
        fake.put("namespaces", {"metadata": {"name": "shop", "annotations": {"a": "x" * 3000}}})
        client = fake.client()

        with pytest.raises(ApiTooLarge):
            await client.call("GET", NAMESPACES.path(name="shop"), max_body=2000)
        await client.close()


async def test_a_list_comes_in_pages_of_one_snapshot() -> None:
    """What is written while it is read does not appear in it."""
    async with FakeKubernetes.running() as fake:
        for number in range(7):
            fake.put("things", thing(f"t{number}"))
        client = fake.client()

        pages = []
        async for page in client.pages(THINGS, into=Meta, limit=3):
            pages.append(page)
            fake.put("things", thing(f"a-later-{len(pages)}"))

        assert [len(page.items or ()) for page in pages] == [3, 3, 1]
        assert len({page.metadata.resource_version for page in pages}) == 1
        await client.close()


async def test_a_page_that_is_too_large_is_asked_for_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """One namespace with huge objects must not make the whole list impossible."""
    monkeypatch.setattr(client_module, "MAX_PAGE", 6000)
    async with FakeKubernetes.running() as fake:
        for number in range(9):
            fake.put("things", thing(f"t{number}", data="x" * 2000))
        client = fake.client()

        names = [item.metadata.name async for page in client.pages(THINGS, into=Meta) for item in page.items or ()]

        assert names == [f"t{number}" for number in range(9)]
        await client.close()


async def test_a_snapshot_that_was_given_up_is_no_list() -> None:
    """410 in the middle of a list."""
    async with FakeKubernetes.running() as fake:
        for number in range(4):
            fake.put("things", thing(f"t{number}"))
        client = fake.client()

        pages = client.pages(THINGS, into=Meta, limit=2)
        assert len((await anext(pages)).items or ()) == 2
        fake.compact()
        with pytest.raises(ApiGone):
            await anext(pages)
        await client.close()


@on_both_loops
async def test_a_watch_tells_changes_in_order() -> None:
    """From the version on that it was asked for."""
    async with FakeKubernetes.running() as fake:
        client = fake.client()
        fake.put("things", thing("before"))
        version = str(fake.version)
        fake.put("things", thing("one"))
        fake.put("things", thing("one", more=1))
        fake.delete("things", "shop", "one")

        told = []
        events = client.watch(THINGS, resource_version=version, seconds=60)
        async for event in events:
            told.append(event.type)
            if event.type == "DELETED":
                break
        await events.aclose()

        assert told == ["ADDED", "MODIFIED", "DELETED"]
        await client.close()


async def test_a_watch_from_too_long_ago_is_gone() -> None:
    """As HTTP status, and as an ERROR event."""
    async with FakeKubernetes.running() as fake:
        client = fake.client()
        fake.compact()
        with pytest.raises(ApiGone):
            await anext(client.watch(THINGS, resource_version="1", seconds=60))

        gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}
        fake.script("WATCH", "/things", body=json.dumps(gone).encode() + b"\n")
        with pytest.raises(ApiGone):
            await anext(client.watch(THINGS, resource_version="2000", seconds=60))
        await client.close()


async def test_what_is_written_says_what_exists() -> None:
    """Create, then create again; a merge with an old version."""
    async with FakeKubernetes.running() as fake:
        client = fake.client()
        made = await client.create(EVENTS, {"metadata": {"name": "e1"}, "reason": "Test"}, namespace="shop")

        assert made["metadata"]["namespace"] == "shop"
        with pytest.raises(ApiConflict):
            await client.create(EVENTS, {"metadata": {"name": "e1"}}, namespace="shop")
        old = made["metadata"]["resourceVersion"]
        await client.merge(EVENTS, "e1", {"metadata": {"resourceVersion": old}, "count": 2}, namespace="shop")
        with pytest.raises(ApiConflict):
            await client.merge(EVENTS, "e1", {"metadata": {"resourceVersion": old}, "count": 3}, namespace="shop")
        applied = {"metadata": {"name": "e1", "namespace": "shop"}, "status": {"ok": True}}
        assert (await client.apply(EVENTS, applied, manager="acme-ra", subresource="status"))["status"] == {"ok": True}
        await client.close()


async def test_a_renewed_token_is_used() -> None:
    """The kubelet has replaced the file; the old token is not accepted any more."""
    async with FakeKubernetes.running() as fake:
        fake.put("namespaces", {"metadata": {"name": "shop"}})
        client = fake.client()
        await client.get(NAMESPACES, "shop", into=Meta)

        (fake.folder / "token").write_text("another-token")

        assert (await client.get(NAMESPACES, "shop", into=Meta)).metadata.name == "shop"
        await client.close()


async def test_a_token_file_that_vanished_is_no_answer(tmp_path: Path) -> None:
    """An operator must look; the client is told to come again."""
    async with FakeKubernetes.running() as fake:
        token = tmp_path / "token"
        token.write_text("old")
        client = fake.client(token_file=token)
        token.unlink()

        with pytest.raises(ApiRefused, match="cannot be read"):
            await client.get(NAMESPACES, "shop", into=Meta)
        await client.close()


async def test_a_kubeconfig_leads_to_the_cluster(tmp_path: Path) -> None:
    """With data in base64 and a token; its paths start at its folder."""
    async with FakeKubernetes.running() as fake:
        fake.put("namespaces", {"metadata": {"name": "shop"}})
        ca = base64.b64encode((fake.folder / "ca.pem").read_bytes()).decode()
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "current-context": "here",
                    "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
                    "clusters": [{"name": "c", "cluster": {"server": fake.url, "certificate-authority-data": ca}}],
                    "users": [{"name": "u", "user": {"token": TOKEN}}],
                }
            )
        )
        settings = ClusterSettings(kubeconfig=kubeconfig)
        client = ApiClient("prod", open_connection(settings, os.environ), settings)

        assert (await client.get(NAMESPACES, "shop", into=Meta)).metadata.name == "shop"
        await client.close()


def test_a_name_is_no_path() -> None:
    """Whoever could choose a name could otherwise choose the resource."""
    assert NAMESPACES.path(name="../secrets/a") == "/api/v1/namespaces/..%2Fsecrets%2Fa"
    assert THINGS.path(namespace="a?b", name="c#d") == "/apis/example.test/v1/namespaces/a%3Fb/things/c%23d"
    with pytest.raises(ValueError, match="no name"):
        THINGS.path(namespace="..", name="x")


def test_what_is_not_needed_is_dropped() -> None:
    """The parser keeps the named fields only."""
    big = {"metadata": {"name": "a", "managedFields": [{"x": 1}] * 1000}, "spec": {"y": "z" * 1000}}

    assert len(msgspec.json.encode(msgspec.json.decode(json.dumps(big), type=Meta))) < 300
