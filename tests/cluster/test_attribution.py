"""One ClusterIssuer is one account for the whole cluster: whose order it is comes from the cluster itself."""

import pytest

from tests.clients.certificates import serial
from tests.cluster.harness import Object, condition
from tests.cluster.harness.describe import events as events_about
from tests.cluster.harness.world import ISSUER, World
from tests.support.oracle import Event, events
from tests.support.processes import wait_for


@pytest.fixture(scope="module", autouse=True)
def teams(world: World) -> None:
    for team in ("team-a", "team-b"):
        world.cluster.namespace(team, labels={"tier": "gold" if team == "team-a" else "tin"})


def issued_event(world: World, number: str) -> Event:
    (found,) = [one for one in events(world.server) if one["kind"] == "certificate.issued" and one["serial"] == number]
    return found


def workload_of(world: World, number: str) -> Object:
    """The workload in the decision that led to a certificate."""
    order = issued_event(world, number)["order_id"]
    (decided,) = [one for one in events(world.server) if one["kind"] == "decision.allowed" and one["order_id"] == order]
    workload: Object = decided["body"]["decision"]["request"]["workload"]
    return workload


def test_the_cluster_issuer_gets_ready(world: World) -> None:
    """With the credential of `acme-ra issuer manifest`, whose use is in the audit log."""
    issuer = world.cluster.get("ClusterIssuer", ISSUER)

    assert condition("Ready")(issuer), issuer["status"]
    account = issuer["status"]["acme"]["uri"]
    assert account.startswith(world.server.directory.removesuffix("/directory"))
    assert any(event["kind"] == "account.created" for event in events(world.server))


def test_a_namespace_gets_its_own_name(world: World) -> None:
    """The decision names cluster, namespace, labels, Certificate and the objects that were looked at."""
    world.ask("team-a", "own", "www.team-a.test")

    leaf = world.ready("team-a", "own")

    workload = workload_of(world, serial(leaf))
    assert (workload["source"], workload["cluster"], workload["namespace"]) == ("kubernetes", "east", "team-a")
    assert workload["name"] == "own"
    assert workload["labels"]["tier"] == "gold"
    uid = world.cluster.get("Certificate", "own", "team-a")["metadata"]["uid"]
    assert workload["evidence"]["certificate_uid"] == uid
    assert {"order", "order_uid", "order_version", "certificate_request", "issuer"} <= workload["evidence"].keys()


def test_another_namespaces_name_is_refused(world: World) -> None:
    """The same account, another namespace: its Certificate says which name, and what would be allowed here."""
    world.ask("team-b", "theirs", "www.team-a.test")

    told = world.refused("team-b", "theirs")

    assert "www.team-a.test" in told
    assert "team-b" in told
    assert "own-names" in told
    assert not world.cluster.exists("Secret", "theirs-tls", "team-b")


def test_a_refusal_is_an_event_on_the_certificate(world: World) -> None:
    """`kubectl describe certificate` shows it with its reason, beside what cert-manager says."""
    world.ask("team-b", "told", "told.team-a.test")
    world.refused("team-b", "told")

    def told() -> list[Object]:
        about = events_about(world.cluster, "Certificate", "told", "team-b")
        return [event for event in about if "told.team-a.test" in event["message"] and not _of_cert_manager(event)]

    event = wait_for(told, what="the Event", log=lambda: world.described("team-b", "told"))[0]
    assert event["type"] == "Warning"
    assert "own-names" in event["message"]


def _of_cert_manager(event: Object) -> bool:
    component = event.get("source", {}).get("component") or event.get("reportingComponent") or ""
    return str(component).startswith("cert-manager")


def test_internal_names_need_no_proof(world: World) -> None:
    """Names inside the cluster: the namespace that the order comes from is the proof, in about a second."""
    world.ask("team-a", "internal", "db.team-a.svc", "db.team-a.svc.cluster.local")

    world.ready("team-a", "internal")

    assert world.cluster.objects("Challenge", "team-a") == []


def test_internal_names_of_others_are_refused(world: World) -> None:
    """Without any proof to fail at, the namespace alone decides."""
    world.ask("team-b", "internal", "db.team-a.svc")

    assert "db.team-a.svc" in world.refused("team-b", "internal")


def test_the_proof_of_one_namespace_serves_no_other(world: World) -> None:
    """One account proved a name for team-a; team-b's order for that very name is refused nevertheless."""
    world.ask("team-a", "proved", "proved.team-a.test")
    world.ready("team-a", "proved")

    world.ask("team-b", "borrowed", "proved.team-a.test")

    assert "proved.team-a.test" in world.refused("team-b", "borrowed")
