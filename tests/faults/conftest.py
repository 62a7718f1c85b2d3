"""A server of its own for each test: what was killed must not disturb the next one."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.reporting import add_logs
from tests.support.server import Ports, Server, served


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with served(tmp_path, ports=Ports()) as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    add_logs(item, report)
    return report
