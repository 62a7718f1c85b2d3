"""kill -9 and SIGTERM in the middle of a load: nothing is lost or issued twice, and clients go on by themselves."""

import os
import random
import signal
import time
from pathlib import Path

from tests.faults.load import load, wait_for_certificates
from tests.support.oracle import check, settle
from tests.support.processes import children, wait_for
from tests.support.server import Server


def test_kill_of_everything_under_load_loses_nothing(server: Server, tmp_path: Path) -> None:
    """Master and workers die three times at moments that nobody chose; the oracle holds each time, dead and alive."""
    with load(server, tmp_path) as clients:
        for _ in range(3):
            wait_for_certificates(server, more=25)
            time.sleep(random.random() / 5)
            server.kill()
            check(server, held=clients.held())
            server.start()
        wait_for_certificates(server, more=25)
        report = clients.finish()

    settle(server)
    assert check(server, held=clients.held()) >= report["issued"] > 0


def test_kill_of_one_worker_is_made_good(server: Server, tmp_path: Path) -> None:
    """One process below the master dies: another takes its place, and its orders come to an end."""
    assert server.process is not None
    master = server.process
    workers = children(master.pid)
    assert len(workers) == 2

    with load(server, tmp_path) as clients:
        wait_for_certificates(server, more=25)
        os.kill(workers[0], signal.SIGKILL)
        wait_for(
            lambda: len(set(children(master.pid)) - {workers[0]}) == len(workers),
            what="a worker in place of the killed one",
        )
        wait_for_certificates(server, more=25)
        report = clients.finish()

    settle(server)
    assert check(server, held=clients.held()) >= report["issued"] > 0


def test_sigterm_under_load_loses_nothing(server: Server, tmp_path: Path) -> None:
    """SIGTERM ends the server cleanly while requests are under way; after a restart the clients go on."""
    with load(server, tmp_path) as clients:
        for _ in range(2):
            wait_for_certificates(server, more=25)
            server.stop()
            check(server, held=clients.held())
            server.start()
        wait_for_certificates(server, more=25)
        report = clients.finish()

    settle(server)
    assert check(server, held=clients.held()) >= report["issued"] > 0
