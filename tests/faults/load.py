"""The load client of bench/ as a background process of a test: real http-01, one account per worker."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509

from tests.peers.build import peer
from tests.support.oracle import rows
from tests.support.processes import Process, wait_for
from tests.support.server import Server


class Load:
    """A running load. `finish` ends it; `held` are the certificates that its clients have received so far."""

    def __init__(self, server: Server, root: Path, *, workers: int) -> None:
        credential = server.prepared.credential
        self.keep = root / "held.pem"
        argv: list[str | Path] = [peer("acmeload"), "-directory", server.directory, "-keep", self.keep]
        argv += ["-eab-kid", credential.kid, "-eab-key", credential.hmac_key]
        argv += ["-http01", f"127.0.0.1:{server.ports.http01}", "-dns", f"127.0.0.1:{server.ports.dns}"]
        argv += ["-workers", str(workers), "-seconds", "600"]
        self.process = Process(argv, name="load", logs=root)

    def finish(self) -> dict[str, Any]:
        """What the load client reports. Requests under way are given up."""
        assert self.process.stop() == 0, self.process.log()
        report: dict[str, Any] = json.loads(self.process.out.read_text())
        return report

    def held(self) -> list[x509.Certificate]:
        pem = self.keep.read_bytes()
        return x509.load_pem_x509_certificates(pem) if pem else []


@contextmanager
def load(server: Server, root: Path, *, workers: int = 6) -> Iterator[Load]:
    running = Load(server, root, workers=workers)
    try:
        yield running
    finally:
        running.process.kill()


def wait_for_certificates(server: Server, *, more: int) -> None:
    """Wait until this many more certificates are stored than now."""
    start = certificates(server)
    wait_for(lambda: certificates(server) >= start + more, what=f"{more} more certificates", log=server.log)


def certificates(server: Server) -> int:
    count: int = rows(server, "SELECT count(*) AS n FROM certificates")[0]["n"]
    return count
