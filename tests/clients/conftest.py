"""One server, one name server and one set of ports per test module; the oracle looks at the server when it is done."""

import os
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.bind import Bind, named
from tests.support.oracle import check
from tests.support.reporting import add_logs
from tests.support.server import Ports, Server, served


@dataclass(frozen=True)
class World:
    """What a client meets: the server, and a bind9 that serves the zone `test`."""

    server: Server
    bind: Bind
    root: Path

    @property
    def ports(self) -> Ports:
        return self.server.ports

    def environment(self, **more: str) -> Mapping[str, str]:
        """A client's whole environment: nothing leaks in from the person who runs the tests."""
        home = self.root / "home"
        home.mkdir(exist_ok=True)
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
            **self.bind.environment(),
            **more,
        }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("world")
    ports = Ports()
    with named(root, ports.dns) as bind, served(root, ports=ports) as server:
        yield World(server, bind, root)
        check(server)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    add_logs(item, report)
    return report
