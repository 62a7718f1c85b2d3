"""docs/approvals.md: its policy, its settings and its commands, on a server with a client that waits."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.acme_client import AcmeClient, csr_for
from tests.support.oracle import check
from tests.support.server import COMMAND, ROOT, Ports, Server, served

_BLOCK = re.compile(r"^```(sh|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = "*.demo.example.com"


def blocks(kind: str) -> list[str]:
    text = (ROOT / "docs" / "approvals.md").read_text("utf-8")
    return [found[2] for found in _BLOCK.finditer(text) if found[1] == kind]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With the page's policy and settings."""
    root = tmp_path_factory.mktemp("approvals")
    policy, settings = blocks("yaml")

    def change(document: dict[str, Any]) -> None:
        (root / "data" / "policies" / "approvals.yaml").write_text(policy)
        told = yaml.safe_load(settings)
        document["approvers"] = told["approvers"]
        document["orders"] = {**(document.get("orders") or {}), **told["orders"]}

    with served(root, ports=Ports(), change=change) as running:
        yield running


def shell(server: Server, commands: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """As the page's reader types them: `acme-ra` is this one, and ACME_RA_CONFIG is set."""
    here = {"ACME_RA_CONFIG": str(server.prepared.config), "SUDO_USER": "anna", **environment}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands.replace("acme-ra ", f"{' '.join(COMMAND)} ")],
        env={**os.environ, **server.environment, **here},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def row_of(url: str) -> str:
    return url.rpartition("/")[2].partition(".")[0]


async def test_the_pages_commands_run(server: Server) -> None:
    """An order is approved and its certificate arrives; another is rejected, and its client reads why."""
    approving, rejecting, listing = blocks("sh")
    credential = server.prepared.credential
    async with AcmeClient(server.directory, server.tls()) as client:
        await client.register(credential.kid, credential.hmac_key)
        first, second = (await client.new_order([NAME])).ok(201), (await client.new_order([NAME])).ok(201)
        for order in (first, second):
            assert order.json["status"] == "pending"
            (authorization,) = order.json["authorizations"]
            assert (await client.get(authorization)).ok().json["status"] == "valid"
            waiting = (await client.get(order.location)).ok()
            assert (waiting.json["status"], waiting.headers.get("Retry-After")) == ("pending", "1")
        early = await client.finalize(first, csr_for([NAME]))
        assert early.status == 403
        assert early.json["type"].endswith(":orderNotReady")
        assert "it waits for the approval of group security (policy wildcards)" in early.json["detail"]

        done = shell(server, approving.replace("12", row_of(first.location)))

        assert done.returncode == 0, done.stderr
        assert f"order {row_of(first.location)} is approved for group security (policy wildcards)" in done.stdout
        await client.wait_for(first.location, "ready")
        (await client.finalize(first, csr_for([NAME]))).ok(200)
        await client.wait_for(first.location, "valid")

        done = shell(server, rejecting.replace("13", row_of(second.location)))

        assert done.returncode == 0, done.stderr
        refused = await client.get(second.location)
        assert (refused.status, refused.json["status"]) == (403, 403)
        assert refused.json["type"].endswith(":rejectedIdentifier")
        assert refused.json["detail"].endswith("anna of group security rejected it (policy wildcards): "
                                               "use the certificate of the shared gateway")  # fmt: skip
    done = shell(server, listing)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("approval.requested") == 2
    assert done.stdout.count("approval.granted") == 1
    assert done.stdout.count("approval.rejected") == 1
    assert check(server) == 1


async def test_a_certificate_is_not_had_by_hurrying(server: Server) -> None:
    """Any number of finalize requests before the approval: no signature, and the order still waits."""
    credential = server.credential("hurry")
    async with AcmeClient(server.directory, server.tls()) as client:
        await client.register(credential.kid, credential.hmac_key)
        order = (await client.new_order([NAME])).ok(201)
        for _ in range(5):
            assert (await client.finalize(order, csr_for([NAME]))).status == 403
        assert (await client.get(order.location)).ok().json["status"] == "pending"
        done = shell(server, f"acme-ra order approve {row_of(order.location)} --reason late --as mallory")
        assert (done.returncode, done.stdout) == (5, "")
        assert "mallory is not in group security" in done.stderr


def test_the_page_names_files_that_exist() -> None:
    """Links of the page."""
    page = ROOT / "docs" / "approvals.md"
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        assert (page.parent / Path(target)).is_file(), target
