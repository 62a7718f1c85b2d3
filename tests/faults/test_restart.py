"""What a client began before a restart it can finish afterwards, whatever kind of restart it was."""

import asyncio
import random
from collections.abc import Callable

import aiohttp
import pytest
from cryptography import x509

from tests.support.acme_client import AcmeClient, Answer, Refused, csr_for, new_key
from tests.support.oracle import check, settle
from tests.support.server import Server

NAME = "restart.demo.svc.cluster.local"


async def registered(server: Server) -> AcmeClient:
    """A client with an account; to be used as a context manager by the caller."""
    client = AcmeClient(server.directory, server.tls())
    credential = server.prepared.credential
    async with client:
        await client.register(credential.kid, credential.hmac_key)
    return client


@pytest.mark.parametrize("end", [Server.stop, Server.kill], ids=["sigterm", "kill"])
async def test_order_survives_a_restart(server: Server, end: Callable[[Server], None]) -> None:
    """newOrder before the restart, finalize after it: account, order and authorizations are still there."""
    client = await registered(server)
    async with client:
        order = await client.ready_order([NAME])
    end(server)
    server.start()

    async with client:
        (await client.finalize(order, csr_for([NAME]))).ok(200)
        done = await client.wait_for(order.location, "valid")
        leaf = x509.load_pem_x509_certificate((await client.get(done.json["certificate"])).ok(200).body)

    check(server, held=[leaf])


@pytest.mark.parametrize("end", [Server.stop, Server.kill], ids=["sigterm", "kill"])
async def test_spent_nonce_stays_spent_after_a_restart(server: Server, end: Callable[[Server], None]) -> None:
    """A nonce that was used before a restart is refused after it (RFC 8555 §6.5)."""
    client = await registered(server)
    async with client:
        client.forget_nonces()
        nonce = await client.nonce()
        (await client.send(client.urls["newOrder"], _order(), nonce=nonce)).ok(201)
    end(server)
    server.start()

    async with client:
        replayed = await client.send(client.urls["newOrder"], _order(), nonce=nonce)

    assert replayed.status == 400
    assert replayed.json["type"] == "urn:ietf:params:acme:error:badNonce"
    assert "Replay-Nonce" in replayed.headers


async def test_finalizes_under_way_come_to_an_end_after_a_kill(server: Server) -> None:
    """kill -9 while forty finalizes are under way: each order ends with its one certificate, by polling alone."""
    client = await registered(server)
    names = [f"n{number}.{NAME}" for number in range(40)]
    async with client:
        orders = await asyncio.gather(*(client.ready_order([name]) for name in names))
        requests = {name: csr_for([name], new_key()) for name in names}
        under_way = [
            asyncio.create_task(_attempt(client, order, requests[name]))
            for name, order in zip(names, orders, strict=True)
        ]
        await asyncio.sleep(0.02 + random.random() / 20)
        server.kill()
        await asyncio.gather(*under_way)
    check(server)
    server.start()

    client.forget_nonces()
    async with client:
        held = await asyncio.gather(
            *(_converge(client, order, requests[name]) for name, order in zip(names, orders, strict=True))
        )

    settle(server)
    assert check(server, held=held) == len(names)


async def _attempt(client: AcmeClient, order: Answer, csr: bytes) -> None:
    try:
        await client.finalize(order, csr)
    except (aiohttp.ClientError, OSError, Refused, TimeoutError):
        return  # the server died: that is what the test is about


async def _converge(client: AcmeClient, order: Answer, csr: bytes) -> x509.Certificate:
    """What a client does after a lost answer: look at the order, and finalize again if it is still ready."""
    seen = await client.wait_for(order.location, "ready", "valid")
    if seen.json["status"] == "ready":
        (await client.finalize(order, csr)).ok(200)
        seen = await client.wait_for(order.location, "valid")
    return x509.load_pem_x509_certificate((await client.get(seen.json["certificate"])).ok(200).body)


def _order() -> dict[str, object]:
    return {"identifiers": [{"type": "dns", "value": NAME}]}
