"""`acme-ra quickstart` and `serve` as processes: ports, workers, signals, reload, metrics."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from acme_ra.core.clock import SystemClock
from acme_ra.issuance.serving import create_server_certificate
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, Process, children, wait_for
from tests.support.server import PATIENT

COMMAND = (sys.executable, "-m", "acme_ra")


class Running:
    """A quickstart that serves, and the JSON that it printed first. Nothing is left of it after a `with` block."""

    def __init__(self, root: Path, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.data = root / "data"
        argv: list[str | Path] = [*COMMAND, "quickstart", "--data", self.data, "--output", "json", *arguments]
        self.process = Process(argv, name="server", logs=root / "logs", env={**PATIENT, **(env or {})})
        try:
            self.told: dict[str, Any] = wait_for(self._first_line, what="the first line", log=self.process.log)
        except BaseException:
            self.process.kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()

    def _first_line(self) -> dict[str, Any] | None:
        assert self.process.running(), self.process.log()
        line, newline, _ = self.process.out.read_text().partition("\n")
        return json.loads(line) if newline else None

    def get(self, url: str) -> bytes:
        """A new connection each time, so that the kernel chooses among the workers."""
        trust = ssl.create_default_context(cafile=self.told["ca_bundle"])
        with urllib.request.urlopen(url, context=trust, timeout=60) as response:
            return bytes(response.read())

    def events(self) -> list[dict[str, Any]]:
        """Log lines, wherever in a line they begin: a process that was orphaned writes to the same file."""
        found = []
        for line in self.process.err.read_text().splitlines():
            _, brace, rest = line.partition('{"')
            if brace and line.endswith("}"):
                found.append(json.loads(brace + rest))
        return found

    def workers(self) -> list[int]:
        """Processes below the master that run its own program.

        A linter that a lone server starts looks so too, for the moment between fork and exec: see `lone`.
        """
        return [pid for pid in children(self.process.pid) if b"quickstart" in _command_line(pid)]

    def lone(self) -> bool:
        return not self.workers()


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two workers, with metrics."""
    metrics = free_port()
    running = Running(
        tmp_path_factory.mktemp("several"),
        "--listen", "127.0.0.1:0", "--workers", "2",
        env={"ACME_RA_METRICS__LISTEN": f"127.0.0.1:{metrics}"},
    )  # fmt: skip
    running.told["metrics"] = f"http://127.0.0.1:{metrics}/metrics"
    with running:
        yield running
        running.process.stop()


def test_the_first_line_is_one_object_and_the_directory_answers_over_tls(several: Running) -> None:
    """Serving means that every worker listens when the line is printed."""
    directory = json.loads(several.get(several.told["directory"]))

    assert set(several.told) >= {"directory", "ca_bundle", "eab", "config", "policies"}
    assert set(several.told["eab"]) == {"kid", "hmac_key"}
    assert "newNonce" in directory
    assert len(several.workers()) == 2


def test_secrets_are_for_their_owner_only(several: Running) -> None:
    """Neither keys nor passphrases nor the credential can be read by others."""
    private = [
        path
        for path in several.data.rglob("*")
        if path.is_file() and (path.suffix in (".key", ".sqlite", ".passphrase") or path.parent.name == "secrets")
    ]

    assert len(private) >= 6
    assert [path for path in private if path.stat().st_mode & 0o077] == []


def test_metrics_are_summed_over_all_workers(several: Running) -> None:
    """Requests spread over two processes; whoever is asked tells the sum."""
    before = _requests(several)
    for _ in range(20):
        several.get(several.told["directory"])

    assert _requests(several) == before + 20


def test_a_worker_that_dies_is_replaced_and_clients_go_on(several: Running) -> None:
    """kill -9 of one worker: another takes its place, and the server answers all the time."""
    victim, *others = several.workers()

    os.kill(victim, signal.SIGKILL)

    wait_for(lambda: victim not in several.workers() and len(several.workers()) == 2, what="another worker")
    assert set(others) < set(several.workers())
    wait_for(lambda: any("starting another" in event.get("event", "") for event in several.events()), what="its log")
    for _ in range(10):
        wait_for(lambda: _answers(several), what="an answer")


def test_a_worker_that_starts_after_a_reload_has_the_new_policies(several: Running) -> None:
    """What the master read at SIGHUP is what later workers begin with, even when the file is broken meanwhile."""
    file = several.data / "policies" / "late.yaml"
    file.write_text(
        "kind: ClusterIssuancePolicy\nmetadata: {name: late}\nspec: {effect: guard, denied: {dnsNames: [no.test]}}\n"
    )
    before = len(several.events())
    os.kill(several.process.pid, signal.SIGHUP)
    wait_for(lambda: _told_by_all(several, "policies reloaded", since=before), what="reloads", log=several.process.log)
    file.write_text("broken: [")
    victim, _ = several.workers()

    os.kill(victim, signal.SIGKILL)

    wait_for(lambda: victim not in several.workers() and len(several.workers()) == 2, what="another worker")
    file.unlink()
    assert several.process.running()
    wait_for(lambda: _answers(several), what="an answer")


def test_reload_takes_good_policies_and_refuses_bad_ones(several: Running) -> None:
    """SIGHUP: master and workers refuse an invalid set and keep the old one; a valid one is used by all of them."""
    file = several.data / "policies" / "more.yaml"
    file.write_text("kind: ClusterIssuancePolicy\nmetadata: {name: x}\nspec: {effect: grand}\n")

    before = len(several.events())
    os.kill(several.process.pid, signal.SIGHUP)
    wait_for(
        lambda: _told_by_all(several, "policies refused", since=before), what="three refusals", log=several.process.log
    )
    file.unlink()
    before = len(several.events())
    os.kill(several.process.pid, signal.SIGHUP)

    wait_for(
        lambda: _told_by_all(several, "policies reloaded", since=before), what="three reloads", log=several.process.log
    )
    refused = next(event for event in several.events() if "policies refused" in event.get("event", ""))
    assert "more.yaml:3" in refused["mistakes"][0]
    assert _answers(several)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_replaced_certificate_is_used_without_a_signal(workers: str, tmp_path: Path) -> None:
    """As kubelet replaces a Secret: a link moves to another folder, certificate and key at once."""
    settings = {"ACME_RA_SERVER__WATCH_FILES": "1s"}
    with Running(tmp_path, "--listen", "127.0.0.1:0", "--workers", workers, env=settings) as running:
        host, port = _address(running)
        before = ssl.get_server_certificate((host, port))
        folder = running.data / "tls"
        folder.rename(running.data / "tls-1")
        folder.symlink_to("tls-1")
        shutil.copytree(running.data / "tls-1", running.data / "tls-2")
        create_server_certificate(
            running.data / "tls-2", root=(running.data / "ca" / "root.pem").read_bytes(), now=SystemClock().now()
        )
        link = running.data / "tls-next"
        link.symlink_to("tls-2")

        link.replace(folder)

        wait_for(
            lambda: all(ssl.get_server_certificate((host, port)) != before for _ in range(10)),
            what="another certificate",
            log=running.process.log,
        )
        assert running.process.stop() == 0


def test_tls_tickets_of_one_worker_are_good_at_another_and_old_tls_is_refused(several: Running) -> None:
    """Workers share ticket keys: a session resumes wherever the connection lands. TLS 1.1 gets no handshake."""
    host, port = _address(several)
    trust = ssl.create_default_context(cafile=several.told["ca_bundle"])
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    session = _handshake(trust, host, port, None)[0]

    resumed = [_handshake(trust, host, port, session)[1] for _ in range(10)]

    assert all(resumed)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _handshake(old, host, port, None)


def test_a_second_server_on_the_same_port_is_refused_by_name(several: Running, tmp_path: Path) -> None:
    """The port is taken although both would set SO_REUSEPORT."""
    host, port = _address(several)

    done = _run("quickstart", "--data", str(tmp_path / "other"), "--listen", f"{host}:{port}")

    assert done.returncode == 6
    assert f"{host}:{port} is in use" in done.stderr


def test_one_process_serves_stops_cleanly_and_is_found_again(tmp_path: Path) -> None:
    """--workers 1 forks nothing; SIGINT ends with 0; the second start prints the same object."""
    with Running(tmp_path, "--listen", "127.0.0.1:0", "--workers", "1") as first:
        wait_for(first.lone, what="a process without workers")
        assert json.loads(first.get(first.told["directory"]))["newOrder"]
        os.kill(first.process.pid, signal.SIGINT)
        assert first.process.wait() == 0
        assert "Traceback" not in first.process.err.read_text()
        first.process.out.unlink()

    with Running(tmp_path, "--listen", "127.0.0.1:0") as second:
        second.process.stop()

    assert second.told == first.told


def test_workers_do_not_outlive_a_killed_master(tmp_path: Path) -> None:
    """kill -9 of the master alone: its workers see it and end, so that the port is free for the next start."""
    with Running(tmp_path, "--listen", "127.0.0.1:0", "--workers", "2") as running:
        workers = running.workers()
        assert len(workers) == 2
        host, port = _address(running)

        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()

        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), what="the workers' end")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))


def test_serve_refuses_to_start_without_a_migrated_database_or_with_a_readable_key(tmp_path: Path) -> None:
    """Each refusal names the file and the command that mends it."""
    with Running(tmp_path, "--listen", "127.0.0.1:0", "--workers", "1") as running:
        running.process.stop()
    config = running.told["config"]
    database, key = running.data / "acme-ra.sqlite", running.data / "secrets" / "master.key"
    (running.data / "policies" / "bad.yaml").write_text("kind: ClusterIssuancePolicy\nmetadata: {name: x}\nspek: {}\n")
    bad_policy = _run("serve", "--config", config)
    (running.data / "policies" / "bad.yaml").unlink()
    database.rename(database.with_suffix(".away"))
    no_database = _run("serve", "--config", config)
    key.chmod(0o644)
    open_key = _run("serve", "--config", config)

    assert (bad_policy.returncode, no_database.returncode, open_key.returncode) == (3, 6, 3)
    assert "bad.yaml:3: " in bad_policy.stderr
    assert "acme-ra db upgrade" in no_database.stderr
    assert f"chmod 600 {key}" in open_key.stderr
    assert "Traceback" not in bad_policy.stderr + no_database.stderr + open_key.stderr


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""  # it ended meanwhile


def _address(running: Running) -> tuple[str, int]:
    host, _, port = running.told["directory"].removeprefix("https://").partition("/")[0].partition(":")
    return host, int(port)


def _answers(running: Running) -> bool:
    try:
        return b"newNonce" in running.get(running.told["directory"])
    except OSError:
        return False


def _told_by_all(running: Running, event: str, *, since: int) -> bool:
    """Whether the master and both workers logged the event after the first `since` events."""
    seen = {one.get("worker", "master") for one in running.events()[since:] if event in one.get("event", "")}
    return seen == {"master", 0, 1}


def _requests(running: Running) -> float:
    with urllib.request.urlopen(running.told["metrics"], timeout=60) as response:
        lines = response.read().decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("acme_ra_requests_total{") and "directory" in line
    )


def _handshake(
    context: ssl.SSLContext, host: str, port: int, session: ssl.SSLSession | None
) -> tuple[ssl.SSLSession | None, bool]:
    with (
        socket.create_connection((host, port), timeout=60) as raw,
        context.wrap_socket(raw, server_hostname=host, session=session) as connection,
    ):
        return connection.session, bool(connection.session_reused)
