"""acme-ra's commands in this process, on one configuration file."""

import json
from pathlib import Path
from typing import Any

import pytest

from acme_ra.cli.frame import Exit
from acme_ra.cli.main import run


class Shell:
    """Runs acme-ra in this process on one configuration file."""

    def __init__(self, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.data = data
        self._capsys = capsys

    def __call__(self, *arguments: str, code: Exit = Exit.OK) -> tuple[str, str]:
        self._capsys.readouterr()
        ended = run([*arguments, "--config", str(self.data / "acme-ra.yaml")])
        said = self._capsys.readouterr()
        assert ended == code, said.err
        return said.out, said.err

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--output", "json")[0])

    def events(self, *arguments: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self("audit", "list", *arguments, "--output", "json")[0].splitlines()]
