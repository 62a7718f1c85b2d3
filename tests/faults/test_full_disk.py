"""A full disk: the server answers 503, issues nothing that is not on disk, and goes on when there is room again."""

import asyncio
import resource
from collections import Counter

from tests.support.acme_client import AcmeClient, csr_for
from tests.support.oracle import check, database, settle
from tests.support.server import Server

NAME = "full.demo.svc.cluster.local"
_UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def limit_files(server: Server, limit: tuple[int, int]) -> None:
    """Forbid every process of the server to write beyond this size of a file, as a full disk would."""
    assert server.process is not None
    for pid in server.process.pids():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)


async def test_full_disk_is_answered_with_503_and_heals(server: Server) -> None:
    """While nothing can be written every request that changes something gets 503; afterwards the same orders go on."""
    async with AcmeClient(server.directory, server.tls()) as client:
        credential = server.prepared.credential
        await client.register(credential.kid, credential.hmac_key)
        names = [f"n{number}.{NAME}" for number in range(10)]
        orders = [await client.ready_order([name]) for name in names]
        requests = {name: csr_for([name]) for name in names}

        # The write-ahead log may grow no more; what was committed stays readable.
        log = database(server).with_name(database(server).name + "-wal")
        limit_files(server, (min(log.stat().st_size, 4096), resource.RLIM_INFINITY))
        refused = await asyncio.gather(
            *(client.finalize(order, requests[name]) for name, order in zip(names, orders, strict=True))
        )
        found = check(server)
        limit_files(server, _UNLIMITED)

        held = []
        for name, order in zip(names, orders, strict=True):
            (await client.finalize(order, requests[name])).ok(200)
            await client.wait_for(order.location, "valid")
            held.append(name)

    assert Counter(answer.status for answer in refused) == {503: len(names)}, [a.body for a in refused][:2]
    assert found == 0
    settle(server)
    assert check(server) == len(held) == len(names)
