"""A server of its own for each test: what was killed must not disturb the next one."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.reporting import add_logs
from tests.support.server import Ports, Server, served


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    # Two workers also where there is one core: races between processes are what most of these tests are about.
    with served(tmp_path, ports=Ports(), environment={"ACME_RA_SERVER__WORKERS": "2"}) as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    add_logs(item, report)
    return report
