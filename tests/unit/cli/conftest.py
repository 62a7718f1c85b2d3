"""A data directory that quickstart's set-up made, once for a module, and a shell on it."""

from pathlib import Path

import pytest

from acme_ra.cli.setup import Asked, prepare
from acme_ra.core.endpoint import Endpoint
from tests.support.shell import Shell


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "data"
    asked = Asked(data=folder, listen=Endpoint("127.0.0.1", 0), hostname=None, workers=None)
    prepare(asked, lambda _: None).reserved.close()
    return folder


@pytest.fixture
def shell(data: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(data, capsys)
