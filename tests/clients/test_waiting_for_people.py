"""Clients whose orders wait for a person: uacme waits with them, lego gives up and says whom it would wait for."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.clients.certificates import issued
from tests.clients.conftest import World
from tests.clients.test_lego import Lego
from tests.clients.test_uacme import Uacme
from tests.support.bind import named
from tests.support.oracle import check
from tests.support.processes import wait_for
from tests.support.server import Ports, served
from tests.support.software import Ran

POLICY = """\
kind: ClusterIssuancePolicy
metadata: {name: by-people}
spec:
  effect: grant
  selector: {namespaces: {matchNames: [demo]}}
  allowed: {dnsNames: ["*.waiting.internal"]}
  require: {challenges: none, approval: security}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server with a policy that asks people."""
    root = tmp_path_factory.mktemp("waiting")
    ports = Ports()

    def change(document: dict[str, Any]) -> None:
        (root / "data" / "policies" / "by-people.yaml").write_text(POLICY)
        document["approvers"] = {"security": ["anna"]}

    with named(root, ports.dns) as bind, served(root, ports=ports, change=change) as server:
        yield World(server, bind, root)
        check(server)


@pytest.fixture(scope="module")
def uacme(world: World) -> Uacme:
    client = Uacme(world, world.server.credential("uacme"))
    client.run("none", "-y", "new", "ops@example.test").ok()
    return client


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def decide(world: World, client: "Future[Ran]", name: str, verb: str, reason: str) -> None:
    """What anna does once the client's order waits."""

    def look() -> int | None:
        assert not client.done(), client.result().said
        found = world.server.cli_json("order", "list", "--waiting")
        return next((int(one["id"]) for one in found if one["names"] == [name]), None)

    row = wait_for(look, what=f"{name} to wait", log=world.server.log)
    world.server.cli_json("order", verb, str(row), "--reason", reason, "--as", "anna")


def test_a_client_that_polls_gets_its_certificate_after_the_approval(
    world: World, uacme: Uacme, aside: ThreadPoolExecutor
) -> None:
    """uacme asks for the pending order until it is ready (RFC 8555 §7.1.6)."""
    client = aside.submit(uacme.issue, "none", "good.waiting.internal")

    decide(world, client, "good.waiting.internal", "approve", "CHG-1")

    client.result().ok()
    issued(world.server, uacme.chain("good.waiting.internal"), ["good.waiting.internal"])


def test_a_client_that_polls_is_told_the_rejection(world: World, uacme: Uacme, aside: ThreadPoolExecutor) -> None:
    """In its own words, with the reason that anna gave."""
    client = aside.submit(uacme.issue, "none", "bad.waiting.internal")

    decide(world, client, "bad.waiting.internal", "reject", "use the shared certificate")

    said = client.result().failed().said
    assert "anna of group security rejected it (policy by-people): use the shared certificate" in said


def test_a_client_that_finalizes_at_once_says_whom_it_would_wait_for(world: World) -> None:
    """lego takes orderNotReady for an error, and shows it."""
    credential = world.server.credential("lego")

    refused = Lego(world, credential).run("http-01", ["hasty.waiting.internal"], "run").failed()

    assert "it waits for the approval of group security (policy by-people)" in refused.said
    waiting = world.server.cli_json("order", "list", "--waiting")
    assert ["hasty.waiting.internal"] in [one["names"] for one in waiting]
