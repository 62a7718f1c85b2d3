"""Replayed nonces: refused by the worker that saw them, by every other worker, and after every restart."""

import asyncio
from pathlib import Path

import pytest

from acme_ra.acme.nonce_peers import socket_path
from acme_ra.acme.nonces import SealedNonces, open_nonces
from acme_ra.core.problems import BadNonce
from tests.acme.client import Signer, running_edge

KEY = b"0123456789abcdef0123456789abcdef"


@pytest.fixture
def sockets(tmp_path_factory):
    """A directory whose path is short enough for a Unix socket."""
    return tmp_path_factory.mktemp("n")


async def worker(sockets: Path, node: int, epoch: int = 1) -> SealedNonces:
    nonces = await open_nonces(key=KEY, node=node, epoch=epoch, socket_dir=sockets)
    assert isinstance(nonces, SealedNonces)
    return nonces


async def test_the_same_request_twice_is_answered_once():
    """Byte for byte the same, it is badNonce, with a nonce to go on."""
    async with running_edge() as client:
        member = await client.register()
        url = client.urls.new_order("internal")
        header = client.header(member.signer, url, kid=member.kid)
        jws = member.signer.sign(header, b'{"identifiers":[{"type":"dns","value":"a.test"}]}')

        answers = await asyncio.gather(*(client.send(url, jws) for _ in range(20)))

        assert sorted(answer.status for answer in answers) == [201] + [400] * 19
        assert {answer.token for answer in answers if answer.status == 400} == {"badNonce"}
        assert client.ra.calls.count("create") == 1
        assert len({answer.headers["Replay-Nonce"] for answer in answers}) == 20


async def test_a_nonce_is_good_for_one_account_only():
    """Whose nonce it is does not matter, that it was used does."""
    async with running_edge() as client:
        first, second = await client.register(Signer()), await client.register(Signer())
        nonce = client.nonces.issue()

        used = await first.post(first.kid, nonce=nonce)
        replayed = await second.post(second.kid, nonce=nonce)

        assert used.status == 200
        assert replayed.token == "badNonce"


async def test_a_nonce_is_good_once_across_workers(sockets):
    """Whichever of three workers gets it, and however many at once, one redeems it."""
    workers = [await worker(sockets, node) for node in range(3)]
    issued = [each.issue() for each in workers for _ in range(20)]

    async def attempt(by: SealedNonces, nonce: str) -> bool:
        try:
            await by.redeem(nonce)
        except BadNonce:
            return False
        return True

    outcomes = await asyncio.gather(*(attempt(by, nonce) for nonce in issued for by in workers))

    assert [sum(outcomes[start : start + 3]) for start in range(0, len(outcomes), 3)] == [1] * 60
    for each in workers:
        await each.close()


async def test_a_dead_owner_is_a_bad_nonce_and_a_restarted_one_refuses_its_old_ones(sockets):
    """No answer means no; the new worker's nonces are redeemed over a new connection."""
    first, second = await worker(sockets, 1), await worker(sockets, 2)
    old = [first.issue() for _ in range(3)]
    await second.redeem(old[0])
    await first.close()

    with pytest.raises(BadNonce):
        await second.redeem(old[1])

    restarted = await worker(sockets, 1, epoch=2)
    with pytest.raises(BadNonce):
        await second.redeem(old[2])
    await second.redeem(restarted.issue())
    await restarted.close()
    await second.close()


async def test_a_killed_worker_leaves_a_socket_that_its_successor_replaces(sockets):
    """A file without a listener stops neither the asking nor the starting side."""
    gone = SealedNonces(key=KEY, node=1, epoch=1)
    socket_path(sockets, 1).touch()
    asking = await worker(sockets, 2)

    with pytest.raises(BadNonce):
        await asking.redeem(gone.issue())

    restarted = await worker(sockets, 1, epoch=2)
    await asking.redeem(restarted.issue())
    await restarted.close()
    await asking.close()


async def test_a_hanging_owner_is_given_up_and_blocks_nobody_for_ever(sockets, monkeypatch):
    """The question times out as badNonce; the next one gets a new connection."""
    monkeypatch.setattr("acme_ra.acme.nonce_peers._TIMEOUT", 0.1)
    hanging = []
    server = await asyncio.start_unix_server(lambda _, writer: hanging.append(writer), socket_path(sockets, 1))
    asking = await worker(sockets, 2)
    owner = SealedNonces(key=KEY, node=1, epoch=1)

    outcomes = await asyncio.gather(*(asking.redeem(owner.issue()) for _ in range(5)), return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {BadNonce}
    for writer in hanging:
        writer.close()
    server.close()
    await asking.close()


async def test_only_this_user_reaches_the_socket(sockets):
    """And what is written to it can only ever redeem authentic nonces of that worker."""
    owner = await worker(sockets, 1)
    assert socket_path(sockets, 1).stat().st_mode & 0o077 == 0
    reader, writer = await asyncio.open_unix_connection(socket_path(sockets, 1))

    writer.write(b"\xff" * 28 * 3)

    assert await reader.readexactly(3) == b"\0\0\0"
    await owner.redeem(owner.issue())
    writer.close()
    await owner.close()


async def test_a_forged_node_opens_no_socket(sockets):
    """The node number is believed only after the tag was checked."""
    asking = await worker(sockets, 2)
    stranger = SealedNonces(key=b"another key of another server...", node=1, epoch=1)

    with pytest.raises(BadNonce):
        await asking.redeem(stranger.issue())

    assert asking._peers is not None
    assert asking._peers._peers == {}
    assert asking._peers._connecting == {}
    await asking.close()
