"""A server's data directory of its own for each test, to break something in."""

import asyncio
import shutil
from pathlib import Path

import pytest

from acme_ra.cli.setup import Asked, prepare
from acme_ra.core.endpoint import Endpoint
from acme_ra.doctor.findings import Finding, Level
from acme_ra.doctor.registry import SERVER_CHECKS
from acme_ra.doctor.server.examine import examine_server

NETWORK = ("directories", "resolvers", "clusters")
"""What needs a server that runs, a name server or a cluster; their tests have those."""


class Home:
    """A data directory, and what doctor says of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "acme-ra.yaml"

    def replace(self, old: str, new: str) -> None:
        """In the configuration file."""
        text = self.config.read_text("utf-8")
        assert old in text
        self.config.write_text(text.replace(old, new), "utf-8")

    def policies(self, text: str) -> None:
        (self.folder / "policies" / "quickstart.yaml").write_text(text, "utf-8")

    def findings(self, check: str = "", *, bundle: bytes | None = None) -> list[Finding]:
        """Of one check, or all that need no network."""

        async def run() -> list[Finding]:
            checks = [one for one in SERVER_CHECKS if one.name not in NETWORK and check in ("", one.name)]
            return [one async for one in examine_server(self.config, {}, bundle=bundle, checks=checks)]

        return asyncio.run(run())

    def problem(self, check: str, level: Level = Level.ERROR) -> Finding:
        """The only finding of a check, which must be of this level and tell a fix."""
        (finding,) = self.findings(check)
        assert finding.level == level, finding
        assert finding.fix
        return finding


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doctor") / "data"
    asked = Asked(data=folder, listen=Endpoint("127.0.0.1", 0), hostname=None, workers=None)
    prepare(asked, lambda _: None).reserved.close()
    return folder


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Home:
    shutil.copytree(template, tmp_path / "data")
    return Home(tmp_path / "data")
