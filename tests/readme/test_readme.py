"""README.md's own commands, run in order in a copy of the checkout, with `make run` in the background."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.processes import Process, wait_for

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```sh *(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """(kind, commands): kind is "" for commands that succeed, else `server` or `refused`."""
    return [(found[1], found[2]) for found in _BLOCK.finditer((ROOT / "README.md").read_text("utf-8"))]


@dataclass
class Clone:
    """A fresh clone that `make run` has served once, in `server`."""

    folder: Path
    port: int
    environment: dict[str, str]
    server: Process

    @property
    def printed(self) -> str:
        """What `make run` said on standard output."""
        return self.server.out.read_text("utf-8")

    def shell(self, commands: str, *, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands.replace("127.0.0.1:14000", f"127.0.0.1:{self.port}")],
            cwd=folder or self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """README's first command, in a copy of what a clone has, on a free port."""
    (command,) = [commands.strip() for kind, commands in blocks() if kind == "server"]
    assert command == "make run"
    folder, port = _copy(tmp_path_factory.mktemp("readme")), free_port()
    with _make_run(folder, f"127.0.0.1:{port}", name="make") as server:
        wait_for(lambda: _is_ready(server), what="the server's last words", seconds=900, log=server.log)
        yield Clone(folder, port, _environment(), server)
        server.stop()


def test_the_readme_takes_a_new_user_to_a_certificate_a_refusal_and_the_audit_log(clone: Clone) -> None:
    """Every sh block of README.md does what the text around it says."""
    said = []
    for kind, commands in blocks():
        if kind == "server":
            continue
        done = clone.shell(commands)
        assert (done.returncode != 0) == (kind == "refused"), f"{commands}\n{done.stdout}\n{done.stderr}"
        said.append(done.stdout)

    assert (clone.folder / "data/certbot/config/live/hello.demo.svc.cluster.local/fullchain.pem").exists()
    everything = "\n".join(said)
    assert "policy refuses hello.shop.svc.cluster.local" in everything
    assert re.search(r"certificate\.issued +allowed +demo", everything)
    assert re.search(r"order\.refused +refused +demo .*allowed\.dnsNames", everything)
    assert "kind: Secret" in everything


def test_the_lines_that_make_run_prints_work_as_printed(clone: Clone) -> None:
    """Pasted into another shell, in another folder, without any change."""
    shutil.rmtree(clone.folder / "data" / "certbot", ignore_errors=True)
    (certbot,) = [line for line in clone.printed.splitlines() if "certbot certonly" in line]
    (listing,) = [line for line in clone.printed.splitlines() if "audit list" in line]

    issued = clone.shell(certbot, folder=clone.folder.parent)
    listed = clone.shell(listing)

    assert issued.returncode == 0, issued.stdout + issued.stderr
    assert "certificate.issued" in listed.stdout, listed.stdout + listed.stderr
    assert "caBundle: LS0t" in clone.printed


def test_a_second_make_run_installs_nothing_and_finds_everything_again(clone: Clone) -> None:
    """The same directory URL and the same credential, within seconds, after Ctrl-C stopped the first one cleanly."""
    assert clone.server.running()
    os.killpg(clone.server.pid, signal.SIGINT)
    clone.server.wait()
    assert "Stopping" in clone.server.err.read_text("utf-8")

    with _make_run(clone.folder, "127.0.0.1:0", name="again") as again:
        wait_for(lambda: _is_ready(again), what="the second start", log=again.log)
        again.stop()

    said = again.out.read_text("utf-8")
    for heading in ("EAB kid", "EAB HMAC key", "Directory ", "CA bundle"):
        assert _value(clone.printed, heading) == _value(said, heading)
    assert "Installing" not in again.err.read_text("utf-8")
    assert "made " not in again.err.read_text("utf-8")
    assert "Traceback" not in clone.server.err.read_text("utf-8")


def _copy(parent: Path) -> Path:
    """What git would clone, with what is not committed yet; no data and no virtual environment."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    copy = parent / "acme-ra"
    for name in listed.stdout.decode().split("\0"):
        source = ROOT / name
        if name and source.is_file() and not name.startswith(("tests/", "bench/")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy / name)
    return copy


def _environment() -> dict[str, str]:
    """As a new user has it: nothing of ours, no colours."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ACME_RA_", "MAKE", "VIRTUAL_ENV"))}
    return {**kept, "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}


def _make_run(folder: Path, listen: str, *, name: str) -> Process:
    return Process(
        ["make", "-C", folder, "run", f"LISTEN={listen}"], name=name, logs=folder.parent / "logs", env=_environment()
    )


def _is_ready(server: Process) -> bool:
    assert server.running(), server.log()
    return "Ctrl-C stops" in server.out.read_text("utf-8")


def _value(printed: str, heading: str) -> str:
    return next(line for line in printed.splitlines() if line.strip().startswith(heading)).split()[-1]
