"""Races on one order, one credential and one nonce, over many connections to all workers of a running server."""

import asyncio
from collections import Counter

from tests.support.acme_client import AcmeClient, csr_for, new_key
from tests.support.oracle import check, rows
from tests.support.server import Server

NAME = "race.demo.svc.cluster.local"


async def test_fifty_finalizes_with_one_request_give_one_certificate(server: Server) -> None:
    """All fifty answers are 200 with the order, and there is exactly one certificate."""
    async with AcmeClient(server.directory, server.tls()) as client:
        credential = server.prepared.credential
        await client.register(credential.kid, credential.hmac_key)
        order = await client.ready_order([NAME])
        csr = csr_for([NAME])

        answers = await asyncio.gather(*(client.finalize(order, csr) for _ in range(50)))
        done = await client.wait_for(order.location, "valid")

    assert Counter(answer.status for answer in answers) == {200: 50}, [a.body for a in answers if a.status != 200][:3]
    assert {answer.json["status"] for answer in answers} <= {"processing", "valid"}
    assert {answer.json["certificate"] for answer in answers if answer.json["status"] == "valid"} <= {
        done.json["certificate"]
    }
    assert check(server) == 1


async def test_fifty_finalizes_with_fifty_keys_give_one_certificate(server: Server) -> None:
    """One request wins; the others are told that the order is not ready, and nobody is told an internal error."""
    async with AcmeClient(server.directory, server.tls()) as client:
        credential = server.prepared.credential
        await client.register(credential.kid, credential.hmac_key)
        order = await client.ready_order([NAME])
        requests = [csr_for([NAME], new_key()) for _ in range(50)]

        answers = await asyncio.gather(*(client.finalize(order, csr) for csr in requests))
        await client.wait_for(order.location, "valid")

    won = [answer for answer in answers if answer.status == 200]
    lost = [answer for answer in answers if answer.status != 200]
    assert len(won) == 1
    assert {(answer.status, answer.json["type"].rpartition(":")[2]) for answer in lost} == {(403, "orderNotReady")}
    assert check(server) == 1


async def test_one_nonce_is_good_for_one_of_fifty(server: Server) -> None:
    """The same nonce in fifty requests at once, on connections to all workers: one order is made."""
    async with AcmeClient(server.directory, server.tls()) as client:
        credential = server.prepared.credential
        await client.register(credential.kid, credential.hmac_key)
        nonce = await client.nonce()
        wanted = {"identifiers": [{"type": "dns", "value": NAME}]}

        answers = await asyncio.gather(*(client.send(client.urls["newOrder"], wanted, nonce=nonce) for _ in range(50)))

    assert Counter(answer.status for answer in answers) == {201: 1, 400: 49}
    assert len(rows(server, "SELECT id FROM orders")) == 1


async def test_single_use_credential_makes_one_account(server: Server) -> None:
    """Twenty clients with keys of their own use a credential of one use at once: one of them gets an account."""
    credential = server.credential("single", uses=1)
    clients = [AcmeClient(server.directory, server.tls()) for _ in range(20)]

    async def register(client: AcmeClient) -> int:
        async with client:
            binding = client.external_binding(credential.kid, credential.hmac_key)
            wanted = {"termsOfServiceAgreed": True, "externalAccountBinding": binding}
            return (await client.post(client.urls["newAccount"], wanted, jwk=True)).status

    statuses = Counter(await asyncio.gather(*(register(client) for client in clients)))

    assert statuses[201] == 1, statuses
    assert all(400 <= status < 500 for status in statuses if status != 201), statuses
    assert len(rows(server, "SELECT id FROM accounts")) == 1
