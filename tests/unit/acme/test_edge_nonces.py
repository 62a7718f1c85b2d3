"""Nonces of one worker: good once, never stored, bounded."""

import base64
from pathlib import Path

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from acme_ra.acme.nonces import SealedNonces, open_nonces
from acme_ra.core.problems import BadNonce
from tests.support.cost import cheapest

KEY = b"0123456789abcdef0123456789abcdef"


def nonces(*, node: int = 1, epoch: int = 1, window: int = 64, key: bytes = KEY) -> SealedNonces:
    return SealedNonces(key=key, node=node, epoch=epoch, window=window)


async def test_a_nonce_is_good_once():
    """The second use is refused."""
    service = nonces()
    nonce = service.issue()

    await service.redeem(nonce)

    with pytest.raises(BadNonce):
        await service.redeem(nonce)


async def test_nonces_are_redeemed_in_any_order():
    """Within the window, nothing depends on the order."""
    service = nonces()
    issued = [service.issue() for _ in range(64)]

    for nonce in reversed(issued):
        await service.redeem(nonce)

    for nonce in issued:
        with pytest.raises(BadNonce):
            await service.redeem(nonce)


async def test_a_nonce_of_before_a_restart_is_refused_used_or_not():
    """A higher epoch ends all nonces of the lower one, and the other way round."""
    before, after = nonces(epoch=1), nonces(epoch=2)
    old, new = before.issue(), after.issue()

    with pytest.raises(BadNonce):
        await after.redeem(old)
    with pytest.raises(BadNonce):
        await before.redeem(new)


async def test_a_nonce_older_than_the_window_is_refused_and_its_place_is_not_confused():
    """The place in the ring belongs to the newer nonce."""
    service = nonces(window=8)
    oldest = service.issue()
    newer = [service.issue() for _ in range(8)]

    with pytest.raises(BadNonce):
        await service.redeem(oldest)

    for nonce in newer:
        await service.redeem(nonce)


async def test_a_used_place_becomes_usable_for_the_next_round():
    """A used bit is set again when its place is given to a new nonce."""
    service = nonces(window=8)
    for _ in range(50):
        await service.redeem(service.issue())


@pytest.mark.parametrize(
    "forged", ["", "x", "=" * 38, "A" * 37, "A" * 38, "A" * 39, "A" * 100_000, "ä" * 38, "A" * 37 + "\n", "\0" * 38]
)
async def test_what_is_no_nonce_is_refused(forged):
    """Whatever its shape, as badNonce."""
    with pytest.raises(BadNonce):
        await nonces().redeem(forged)


async def test_a_nonce_has_one_spelling():
    """The unused bits of the last character cannot make a second nonce out of one."""
    service = nonces()
    nonce = service.issue()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = nonce[:-1] + alphabet[alphabet.index(nonce[-1]) ^ 1]
    assert base64.urlsafe_b64decode(other + "==") == base64.urlsafe_b64decode(nonce + "==")

    with pytest.raises(BadNonce):
        await service.redeem(other)


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, 37), character=st.sampled_from("ABCabc019-_"))
async def test_any_changed_character_is_refused(position, character):
    """Nothing about a nonce can be chosen by a client."""
    service = nonces()
    nonce = service.issue()
    changed = nonce[:position] + character + nonce[position + 1 :]
    if changed == nonce:
        return

    with pytest.raises(BadNonce):
        await service.redeem(changed)


async def test_another_key_makes_other_nonces():
    """A nonce of another installation is refused."""
    with pytest.raises(BadNonce):
        await nonces(key=b"another key, also of 32 bytes...").redeem(nonces().issue())


async def test_a_nonce_of_another_node_is_refused_where_there_is_nobody_to_ask():
    """An unreachable owner is a badNonce."""
    with pytest.raises(BadNonce):
        await nonces(node=1).redeem(nonces(node=2).issue())


async def test_a_restored_nonce_is_good_exactly_once_more():
    """Which a throttle behind the nonce needs."""
    service = nonces()
    nonce = service.issue()
    await service.redeem(nonce)

    service.restore(nonce)

    await service.redeem(nonce)
    with pytest.raises(BadNonce):
        await service.redeem(nonce)


async def test_a_nonce_that_the_window_left_behind_is_not_restored():
    """Its place belongs to another one, which was used and stays so."""
    service = nonces(window=8)
    oldest = service.issue()
    await service.redeem(oldest)
    newer = [service.issue() for _ in range(8)]
    for nonce in newer:
        await service.redeem(nonce)

    service.restore(oldest)

    for nonce in (oldest, *newer):
        with pytest.raises(BadNonce):
            await service.redeem(nonce)


@pytest.mark.parametrize("other", [{"node": 2}, {"epoch": 2}])
async def test_a_nonce_of_another_worker_or_start_is_not_restored(other):
    """Nothing of one's own is set in its place."""
    service, elsewhere = nonces(), nonces(**other)
    own, foreign = service.issue(), elsewhere.issue()
    await service.redeem(own)
    await elsewhere.redeem(foreign)

    service.restore(foreign)

    with pytest.raises(BadNonce):
        await service.redeem(own)
    with pytest.raises(BadNonce):
        await elsewhere.redeem(foreign)


async def test_issuing_is_cheap_and_needs_no_memory():
    """Ten microseconds is the budget; a generous factor keeps a busy machine from failing this."""
    service = nonces(window=1 << 12)
    size = len(service._unused)

    def issue() -> None:
        for _ in range(10_000):
            service.issue()

    assert cheapest(issue) / 10_000 < 100e-6
    assert len(service._unused) == size


@pytest.mark.parametrize(
    "wrong", [{"key": b"short"}, {"node": -1}, {"node": 1 << 16}, {"epoch": 1 << 32}, {"window": 7}, {"window": 0}]
)
def test_values_out_of_range_stop_the_start(wrong):
    """Nothing is cut off silently."""
    with pytest.raises(ValueError, match=r"\w"):
        nonces(**wrong)


def test_workers_ask_each_other_on_the_servers_own_loop(tmp_path: Path) -> None:
    """uvloop's transports are not asyncio's: a nonce of one worker is good once at another, there too."""

    async def exchange() -> None:
        first = await open_nonces(key=KEY, node=0, epoch=1, socket_dir=tmp_path)
        second = await open_nonces(key=KEY, node=1, epoch=2, socket_dir=tmp_path)
        try:
            nonce = first.issue()
            await second.redeem(nonce)
            with pytest.raises(BadNonce):
                await second.redeem(nonce)
            with pytest.raises(BadNonce):
                await first.redeem(nonce)
        finally:
            await first.close()
            await second.close()

    uvloop.run(exchange())
