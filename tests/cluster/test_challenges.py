"""cert-manager proves names by dns-01 and http-01, from a namespace's own Issuer with a credential of its own."""

import pytest

from tests.cluster.harness.world import BY_HTTP, World

NAMESPACE = "own-issuer"
REF = {"name": "own", "kind": "Issuer"}


@pytest.fixture(scope="module", autouse=True)
def issuer(world: World) -> None:
    """An Issuer: its credential is bound to its namespace, so nothing has to be looked up."""
    world.cluster.namespace(NAMESPACE)
    world.issuer("--issuer-kind", "Issuer", "--namespace", NAMESPACE, "--name", "own")


@pytest.mark.parametrize(
    ("name", "labels", "names"),
    [
        ("dns", {}, ["www.own-issuer.test", "own-issuer.test"]),
        ("wildcard", {}, ["*.own-issuer.test", "own-issuer.test"]),
        ("http", BY_HTTP, ["http.own-issuer.test"]),
        ("address", BY_HTTP, ["127.0.0.1", "with-address.own-issuer.test"]),
        ("internal", {}, ["db.own-issuer.svc", "db.own-issuer.svc.cluster.local"]),
    ],
)
def test_names_are_proved(world: World, name: str, labels: dict[str, str], names: list[str]) -> None:
    """dns-01 by dynamic update of bind9, a wildcard, http-01, an IP address, and a name that needs no proof."""
    world.ask(NAMESPACE, name, *names, labels=labels, issuerRef=REF)

    world.ready(NAMESPACE, name)


def test_another_namespaces_name_is_refused(world: World) -> None:
    """The Certificate's condition says which name, which policy came nearest, and what would be allowed."""
    world.ask(NAMESPACE, "stranger", "www.team-a.test", issuerRef=REF)

    told = world.refused(NAMESPACE, "stranger")

    assert "www.team-a.test" in told
    assert "own-names" in told, told
