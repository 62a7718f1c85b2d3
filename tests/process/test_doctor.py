"""`acme-ra doctor` as a command, on servers that run, and on what clients find instead of one."""

import asyncio
import http.server
import json
import os
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dns_server import FakeDNS, fake_dns
from tests.support.ports import free_port
from tests.support.server import COMMAND, Ports, Server, served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("doctor"), ports=Ports()) as running:
        yield running


@pytest.fixture
async def dns() -> AsyncIterator[FakeDNS]:
    async with fake_dns() as running:
        yield running


def examine(server: Server, *arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
    """The exit code and what the command told."""
    done = subprocess.run(
        [*COMMAND, "doctor", "--config", server.prepared.config, "--output", "json", *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, **server.environment, **environment},
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def of(told: dict[str, Any], check: str) -> dict[str, Any]:
    (found,) = [one for one in told["findings"] if one["check"] == check]
    return dict(found)


async def test_a_server_that_serves_is_well(server: Server, dns: FakeDNS) -> None:
    """Directory reached with the bundle that clients have, resolver asked; the exit code is 0."""
    code, told = await asyncio.to_thread(examine, server, "--strict", ACME_RA_VALIDATION__RESOLVERS=dns.address)

    assert told["findings"] == [one for one in told["findings"] if one["level"] == "ok"]
    assert (code, told["good"]) == (0, True)
    assert of(told, "directories")["seen"] == f"{server.directory} answers"
    assert dns.asked("acme-ra-doctor.invalid", "A") == 1


async def test_a_resolver_that_invents_answers_is_a_warning(server: Server, dns: FakeDNS) -> None:
    """It fails only when warnings are asked to."""
    dns.records["acme-ra-doctor.invalid", "A"] = ["192.0.2.1"]
    environment = {"ACME_RA_VALIDATION__RESOLVERS": dns.address}

    code, told = await asyncio.to_thread(examine, server, **environment)
    strictly, _ = await asyncio.to_thread(examine, server, "--strict", **environment)

    assert (of(told, "resolvers")["level"], code, strictly) == ("warning", 0, 1)


def test_a_resolver_that_is_silent_is_an_error(server: Server) -> None:
    code, told = examine(
        server,
        ACME_RA_VALIDATION__RESOLVERS=f"127.0.0.1:{free_port(udp=True)}",
        ACME_RA_VALIDATION__DNS_TIMEOUT="200",
    )

    assert (of(told, "resolvers")["level"], code) == ("error", 1)


async def test_a_server_that_sends_clients_elsewhere(server: Server, dns: FakeDNS) -> None:
    """It was started with another origin than the configuration has now."""
    code, told = await asyncio.to_thread(
        examine,
        server,
        ACME_RA_SERVER__EXTERNAL_URL=f"https://localhost:{server.port}",
        ACME_RA_VALIDATION__RESOLVERS=dns.address,
    )

    assert code == 1
    assert "sends clients to https://127.0.0.1" in of(told, "directories")["seen"]


def test_what_listens_there_is_no_server_of_ours(server: Server) -> None:
    """Nothing at all, or plain HTTP."""
    nothing = free_port()
    _, told = examine(server, ACME_RA_SERVER__LISTEN=f"127.0.0.1:{nothing}")
    assert "connection refused" in of(told, "directories")["seen"]

    other = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=other.serve_forever)
    thread.start()
    try:
        _, told = examine(server, ACME_RA_SERVER__LISTEN=f"127.0.0.1:{other.server_port}")
    finally:
        other.shutdown()
        thread.join()
        other.server_close()
    assert "no TLS" in of(told, "directories")["seen"]


def test_a_bundle_of_another_ca(server: Server, tmp_path: Path) -> None:
    """As a client with that bundle sees it, both in the file and over the network."""
    root = server.data / "ca" / "root.pem"

    _, told = examine(server, "--ca-bundle", str(root))

    assert "does not verify the server's certificate" in of(told, "directories")["seen"]
    assert of(told, "server certificate")["level"] == "error"


def test_people_read_the_fix_below_what_was_seen(server: Server) -> None:
    """As text, without colours for a pipe."""
    done = subprocess.run(
        [*COMMAND, "doctor", "--config", server.prepared.config],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, **server.environment, "ACME_RA_SERVER__LISTEN": f"127.0.0.1:{free_port()}"},
        check=False,
    )

    lines = done.stdout.splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("error") and "directories" in line)
    assert done.returncode == 1
    assert lines[at + 1].strip().startswith("fix: start the server there")
    assert "\x1b" not in done.stdout
    assert "errors" in lines[-1]
