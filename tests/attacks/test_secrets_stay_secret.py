"""Secrets in sinks (OpenBao CVE-2025-62513): a server is used and abused, then every secret is looked for everywhere.

One process-level run fills the sinks: log at level debug, problem documents, audit export, what commands print, the
database, its write-ahead log and its backup, metrics. The secrets are the real ones and canaries in what clients send.
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.support.acme_client import JOSE, AcmeClient, Answer, Signer, csr_for
from tests.support.ports import free_port
from tests.support.processes import PATIENCE
from tests.support.responders import webroot
from tests.support.server import Ports, Server, served

CANARY = "canary7f3e"
NAME = "secrets.demo.svc.cluster.local"
_BETWEEN = "<next command>"
_RUN_COMMANDS = f"""
import json, sys
from acme_ra.cli.main import run
for arguments in json.loads(sys.argv[1]):
    if (code := run(arguments)) != 0:
        sys.exit(f"{{arguments}}: {{code}}")
    print("{_BETWEEN}", flush=True)
"""


class Run(NamedTuple):
    """What was secret, by what it is called, and what every sink held in the end."""

    secrets: dict[str, bytes]
    key_authorizations: list[str]
    sinks: dict[str, bytes]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("secrets")
    metrics = free_port()
    more = {"ACME_RA_LOGGING__LEVEL": "debug", "ACME_RA_METRICS__LISTEN": f"127.0.0.1:{metrics}"}
    with served(root, ports=Ports(), environment=more) as server, webroot(root / "www", server.ports.http01) as files:
        rotated = server.credential("rotated")
        again = server.cli_json("credential", "rotate", rotated.kid)["hmac_key"]
        tried = asyncio.run(_use(server, files, f"http://127.0.0.1:{metrics}/metrics"))
        sinks = {**tried.sinks, **_commands(server, rotated.kid, root / "backup.sqlite")}
        for path in server.data.glob("acme-ra.sqlite*"):
            sinks[f"file {path.name}"] = path.read_bytes()
    for path in server.logs.iterdir():
        sinks[f"log {path.name}"] = path.read_bytes()
    secrets = {
        **_files(server.data),
        "EAB key": _decoded(server.prepared.credential.hmac_key),
        "EAB key before rotation": _decoded(rotated.hmac_key),
        "EAB key after rotation": _decoded(again),
        **tried.secrets,
    }
    return Run(secrets, tried.key_authorizations, sinks)


def test_no_sink_holds_a_secret(run: Run) -> None:
    """Raw, in hex and in both base64 alphabets."""
    leaks = [
        f"{what} in {sink}"
        for what, secret in run.secrets.items()
        for sink, content in run.sinks.items()
        if any(form in content for form in _forms(secret))
    ]

    assert len(run.secrets) >= 12
    assert {"problem documents", "file acme-ra.sqlite", "audit export", "log serve.err"} <= set(run.sinks)
    assert all(content for sink, content in run.sinks.items() if not sink.endswith(("-lock", ".out", "-wal")))
    assert leaks == []


def test_the_search_would_find_a_leak(run: Run) -> None:
    """The sinks hold what is no secret, so that an empty one cannot be taken for a clean one."""
    assert NAME.encode() in run.sinks["audit export"]
    assert NAME.encode() in run.sinks["file backup.sqlite"]
    assert b"request refused" in run.sinks["log serve.err"]
    assert b"validation.attempt_failed" in run.sinks["log serve.err"]


def test_key_authorizations_are_not_logged(run: Run) -> None:
    """The client is told what it should have served; the log does not need it while the challenge is open."""
    assert run.key_authorizations
    logged = run.sinks["log serve.err"].decode()
    assert [one for one in run.key_authorizations if one in logged] == []


def test_headers_of_a_request_that_cannot_be_parsed_are_not_logged(run: Run) -> None:
    """A token in an overlong header line must not reach the log by way of the HTTP library's error."""
    assert f"{CANARY}-unparsable".encode() not in run.sinks["log serve.err"]


async def _use(server: Server, files: Path, metrics: str) -> Run:
    """Issue, fail, and send what is broken; every answer that was no success is kept as a problem document."""
    problems: list[bytes] = []
    async with _client(server, problems) as client:
        credential = server.prepared.credential
        await client.register(credential.kid, credential.hmac_key)
        order = await client.ready_order([NAME])
        done = (await client.finalize(order, csr_for([NAME]))).ok()
        chain = (await client.get(done.json["certificate"])).ok().body
        expected = [await _fail_challenge(client, files), await _fail_challenge(client, files)]
        await client.new_order([f"{CANARY}-name-is-no-secret.example.com"])  # refused by policy
        await _abuse(client, server)
        secrets = {
            "account key": _scalar(client.signer),
            "payload": f"{CANARY}-payload".encode(),
            "broken body": f"{CANARY}-body".encode(),
            "authorization header": f"{CANARY}-authorization".encode(),
            "cookie": f"{CANARY}-cookie".encode(),
            "query": f"{CANARY}-query".encode(),
            "EAB signature": f"{CANARY}-eab".encode(),
        }
    async with aiohttp.ClientSession() as session, session.get(metrics) as answer:
        counted = await answer.read()
    sinks = {"problem documents": b"\n".join(problems), "certificate": chain, "metrics": counted}
    return Run(secrets, expected, sinks)


@asynccontextmanager
async def _client(server: Server, problems: list[bytes]) -> AsyncIterator[AcmeClient]:
    """A client that keeps the body of every refusal."""

    class Keeping(AcmeClient):
        async def request(self, method: str, url: str, **arguments: Any) -> Answer:
            answer = await super().request(method, url, **arguments)
            if answer.status >= 400:
                problems.append(answer.body)
            return answer

    async with Keeping(server.directory, server.tls()) as client:
        yield client


async def _fail_challenge(client: AcmeClient, files: Path) -> str:
    """Serve something else than the key authorization, which is returned, and wait until an attempt was made."""
    identifiers = [{"type": "ip", "value": "127.0.0.1"}]
    order = (await client.post(client.urls["newOrder"], {"identifiers": identifiers})).ok(201)
    authorization = (await client.get(order.json["authorizations"][0])).ok()
    challenge = next(one for one in authorization.json["challenges"] if one["type"] == "http-01")
    (files / challenge["token"]).write_text("something else")
    (await client.post(challenge["url"], {})).ok()
    async with asyncio.timeout(PATIENCE):
        while "error" not in (await client.get(challenge["url"])).ok().json:
            await asyncio.sleep(0.02)
    return client.key_authorization(challenge["token"])


async def _abuse(client: AcmeClient, server: Server) -> None:
    """Requests that fail at each step, with a canary in every place where a client might put a secret."""
    assert client.kid is not None
    url = client.kid
    headers = {**JOSE, "Authorization": f"Bearer {CANARY}-authorization", "Cookie": f"session={CANARY}-cookie"}
    payload = json.dumps({"x": f"{CANARY}-payload"}).encode()
    signed = client.signer.sign({"kid": url, "nonce": "no", "url": url}, payload)
    for data in (f"{CANARY}-body", json.dumps({"protected": f"{CANARY}-body"}), json.dumps(signed)):
        await client.request("POST", url, data=data, headers=headers)
    await client.request("GET", f"{server.directory}x?token={CANARY}-query", headers=headers)
    await client.post(url, {"contact": 5, "secret": f"{CANARY}-payload"})
    await client.post(client.urls["newOrder"], {"identifiers": f"{CANARY}-payload"})
    kid = server.prepared.credential.kid
    stranger = Signer()
    mac = base64.urlsafe_b64encode(f"{CANARY}-eab".encode()).decode().rstrip("=")
    binding = {**client.external_binding(kid, "A" * 43), "signature": mac}
    await client.post(client.urls["newAccount"], {"externalAccountBinding": binding}, jwk=True, signer=stranger)
    await _send_unparsable(server, f"{CANARY}-unparsable")


async def _send_unparsable(server: Server, canary: str) -> None:
    """A header line that is longer than any parser takes."""
    target = urlsplit(server.directory)
    reader, writer = await asyncio.open_connection(target.hostname, target.port, ssl=server.tls())
    writer.write(f"GET / HTTP/1.1\r\nHost: x\r\nX-Token: {canary}{'x' * 20_000}\r\n\r\n".encode())
    await reader.read(100)
    writer.close()


def _commands(server: Server, kid: str, backup: Path) -> dict[str, bytes]:
    """What commands print. They share one process, because most of a command's time goes into starting it."""
    asked = {
        "audit export": ("audit", "export"),
        "audit export csv": ("audit", "export", "--format", "csv"),
        "credential list": ("credential", "list"),
        "credential show": ("credential", "show", kid, "--output", "json"),
        "account show": ("account", "show", "1"),
        "order show": ("order", "show", "1", "--output", "json"),
        "certificate list": ("certificate", "list"),
        "ca show": ("ca", "show", "--output", "json"),
        "check-config": ("check-config",),
        "db backup": ("db", "backup", str(backup)),
    }
    config = ("--config", str(server.prepared.config))
    done = subprocess.run(
        [sys.executable, "-c", _RUN_COMMANDS, json.dumps([[*one, *config] for one in asked.values()])],
        capture_output=True,
        timeout=PATIENCE,
        env={**os.environ, **server.environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    printed = done.stdout.split(_BETWEEN.encode())[:-1]
    return {**dict(zip(asked, printed, strict=True)), "file backup.sqlite": backup.read_bytes()}


def _files(data: Path) -> dict[str, bytes]:
    """The secrets on disk: the master key, the passphrase, and the middle of each private key's PEM."""
    found = {
        "master key": base64.b64decode((data / "secrets" / "master.key").read_bytes()),
        "passphrase": (data / "secrets" / "intermediate.passphrase").read_bytes().strip(),
    }
    for path in (data / "ca" / "intermediate.key", data / "ca" / "root.key", data / "tls" / "server.key"):
        found[path.name] = path.read_bytes().splitlines()[1]
    return found


def _forms(secret: bytes) -> set[bytes]:
    standard, url = base64.b64encode(secret).rstrip(b"="), base64.urlsafe_b64encode(secret).rstrip(b"=")
    return {secret, secret.hex().encode(), standard, url}


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _scalar(signer: Signer) -> bytes:
    return signer.private.private_numbers().private_value.to_bytes(32, "big")
