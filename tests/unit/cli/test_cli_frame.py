"""The command line: help without imports, exit codes, one line for a failure, nothing that a terminal obeys."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from acme_ra.cli.frame import EXIT_CODES, Exit, safe
from acme_ra.cli.main import _COMMANDS, cli, run

ROOT = Path(__file__).resolve().parents[3]


def test_help_tells_every_command_and_every_exit_code() -> None:
    """The whole overview, from one call."""
    said = CliRunner().invoke(cli, ["--help"]).output

    assert [name for name in _COMMANDS if f"  {name} " not in said] == []
    assert [code for code in Exit if f"\n    {code.value}  " not in said] == []


def test_every_command_and_subcommand_has_help() -> None:
    """Each can be imported, says what it does, and takes --config."""
    runner = CliRunner()
    for name in _COMMANDS:
        shown = runner.invoke(cli, [name, "--help"])
        assert shown.exit_code == 0, shown.output
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        for inner in getattr(command, "_lazy", {}):
            detail = runner.invoke(cli, [name, inner, "--help"])
            assert detail.exit_code == 0, detail.output
            assert "--config" in detail.output


def test_the_readme_tells_every_command_and_exit_code() -> None:
    """README's tables are the same as --help."""
    readme = (ROOT / "README.md").read_text("utf-8")

    assert [name for name in _COMMANDS if f"`{name}" not in readme] == []
    for line in EXIT_CODES.splitlines()[2:]:
        code, _, meaning = line.strip().partition("  ")
        assert f"| {code} | {meaning.split('(')[0].split(':')[0].strip()[:20]}" in readme


def test_help_imports_none_of_the_server() -> None:
    """`--help` and completion stay quick."""
    script = "import sys; from acme_ra.cli.main import run; run(['--help']); print([m for m in sys.modules if m in %r])"
    heavy = {"aiohttp", "sqlalchemy", "cryptography", "pydantic", "structlog", "uvloop"}

    done = subprocess.run([sys.executable, "-c", script % (heavy,)], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["audti"], Exit.USAGE, "Did you mean 'audit'?"),
        (["audit", "lst"], Exit.USAGE, "Did you mean 'list'?"),
        (["audit", "list", "--since", "yesterday"], Exit.USAGE, "neither a duration"),
        (["serve", "--config", "/nowhere/x.yaml"], Exit.CONFIGURATION, "there is no such file"),
        (["quickstart", "--listen", "here"], Exit.USAGE, "is not HOST:PORT"),
        (["quickstart", "--listen", "0.0.0.0:1"], Exit.USAGE, "needs --hostname"),
        (["policy", "check", "/nowhere"], Exit.CONFIGURATION, "/nowhere"),
    ],
)
def test_a_failure_is_told_in_a_line_and_by_its_exit_code(
    arguments: list[str], code: Exit, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, without a traceback."""
    assert run(arguments) == code
    captured = capsys.readouterr()
    assert told in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_check_config_lists_mistakes_as_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For editors and pipelines: file, line, key, what, fix."""
    path = tmp_path / "a.yaml"
    path.write_text("server: {listn: x}\n")

    assert run(["check-config", str(path), "--output", "json"]) == Exit.CONFIGURATION
    told = json.loads(capsys.readouterr().out)

    assert told["valid"] is False
    assert {
        "source": str(path),
        "line": 1,
        "key": "server.listn",
        "what": "unknown key",
        "fix": "did you mean 'listen'?",
    } in (told["mistakes"])


def test_what_clients_wrote_cannot_steer_a_terminal() -> None:
    """Escape sequences in a contact or a name are shown, not obeyed."""
    assert safe("a\x1b[2J\r\nb\u202e") == "a\\x1b[2J\\x0d\\x0ab\\x202e"
