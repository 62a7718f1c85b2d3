"""A Certificate that waits for a person: an unpatched cert-manager keeps asking, and shows why it was refused."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from tests.cluster.harness import Object
from tests.cluster.harness.describe import conditions
from tests.cluster.harness.describe import events as events_about
from tests.cluster.harness.world import World
from tests.support.oracle import database, events
from tests.support.processes import wait_for

NAMESPACE = "approvals"
REF = {"name": "approvals", "kind": "Issuer"}


@pytest.fixture(scope="module", autouse=True)
def issuer(world: World) -> None:
    world.cluster.namespace(NAMESPACE)
    world.issuer("--issuer-kind", "Issuer", "--namespace", NAMESPACE, "--name", "approvals")


def waiting(world: World, name: str, dns: str) -> int:
    """Ask for a Certificate; the row of its order, once it waits for a person."""
    world.ask(NAMESPACE, name, dns, issuerRef=REF)

    def look() -> int | None:
        found = world.server.cli_json("order", "list", "--waiting")
        return next((int(one["id"]) for one in found if one["names"] == [dns]), None)

    return wait_for(look, what=f"{dns} to wait", every=0.2, log=lambda: world.described(NAMESPACE, name))


def decide(world: World, verb: str, row: int, reason: str) -> Any:
    return world.server.cli_json("order", verb, str(row), "--reason", reason, "--as", "anna")


def order_of(world: World, dns: str) -> Object:
    (found,) = [one for one in world.cluster.objects("Order", NAMESPACE) if one["spec"]["dnsNames"] == [dns]]
    return found


def shown(world: World, name: str, reason: str) -> str:
    """The message of acme-ra's Event on the Certificate."""

    def look() -> str | None:
        about = events_about(world.cluster, "Certificate", name, NAMESPACE)
        return next((str(event["message"]) for event in about if event["reason"] == reason), None)

    return wait_for(look, what=f"the Event {reason}", every=0.2, log=lambda: world.described(NAMESPACE, name))


@pytest.mark.parametrize(
    ("name", "dns"),
    [("granted", "granted.approvals.people.test"), ("after-proof", "after-proof.approvals.proved.test")],
)
def test_the_certificate_arrives_after_the_approval(world: World, name: str, dns: str) -> None:
    """Without a challenge, and after one; the Order is pending meanwhile, and finalized within seconds."""
    row = waiting(world, name, dns)
    assert order_of(world, dns)["status"]["state"] == "pending"
    told = conditions(world.cluster.get("Certificate", name, NAMESPACE))
    assert told["Issuing"]["status"] == "True"
    assert f"{dns}: it waits for the approval of group security" in shown(world, name, "ApprovalNeeded")

    assert decide(world, "approve", row, "CHG-1")["status"] == "ready"

    world.ready(NAMESPACE, name)
    (granted,) = [one for one in events(world.server) if one["kind"] == "approval.granted" and one["order_id"] == row]
    assert granted["body"]["by"] == "anna"


@pytest.mark.parametrize(
    ("name", "dns"),
    [("rejected", "rejected.approvals.people.test"), ("proved-rejected", "rejected.approvals.proved.test")],
)
def test_a_rejection_is_read_in_the_certificates_condition(world: World, name: str, dns: str) -> None:
    """Who, which policy, and the reason as it was given."""
    row = waiting(world, name, dns)

    decide(world, "reject", row, "use the certificate of the shared gateway")

    told = world.refused(NAMESPACE, name)
    wanted = f"{dns}: anna of group security rejected it (policy "
    assert wanted in told, told
    assert "use the certificate of the shared gateway" in told, told
    assert wanted in shown(world, name, "PolicyRefused")
    assert order_of(world, dns)["status"]["state"] == "errored"


def test_a_timeout_is_read_in_the_certificates_condition(world: World) -> None:
    """The time of the wait is made to be over; the client's next look, or the worker, ends it."""
    dns = "late.approvals.people.test"
    row = waiting(world, "late", dns)
    with closing(sqlite3.connect(database(world.server), timeout=60)) as connection, connection:
        connection.execute("UPDATE approvals SET expires_at = asked_at WHERE order_id = ?", (row,))

    told = world.refused(NAMESPACE, "late")

    assert f"{dns}: nobody gave the approval of group security (policy by-people) in time" in told, told
    kinds = [one["kind"] for one in events(world.server) if one["order_id"] == row]
    assert kinds.count("approval.expired") == 1
