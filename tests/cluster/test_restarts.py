"""Something goes away while certificates are on their way: everything comes by itself when it is back."""

from collections.abc import Callable

import pytest

from tests.cluster.harness.world import BY_HTTP, World
from tests.support.processes import wait_for

NAMESPACE = "restarts"
COUNT = 12


@pytest.fixture(scope="module", autouse=True)
def namespace(world: World) -> None:
    world.cluster.namespace(NAMESPACE)


@pytest.fixture
def under_way(world: World, request: pytest.FixtureRequest) -> Callable[[], None]:
    """Certificates that have got to all sorts of places, and a check that all of them arrive."""
    prefix = request.node.name.replace("_", "-").removeprefix("test-")[:30]
    names = [f"{prefix}-{number}" for number in range(COUNT)]
    asked = len(world.responder.asked)
    for name in names:
        world.ask(NAMESPACE, name, f"{name}.restarts.test", labels=BY_HTTP)
    wait_for(lambda: len(world.responder.asked) > asked, what="the first validation")

    def all_arrive() -> None:
        for name in names:
            world.ready(NAMESPACE, name)

    return all_arrive


def test_the_api_server_restarts(world: World, under_way: Callable[[], None]) -> None:
    """Killed in the middle and back after a while: acme-ra answers 503 meanwhile, which is no refusal."""
    world.cluster.stop()
    world.cluster.start()

    under_way()


def test_acme_ra_restarts(world: World, under_way: Callable[[], None]) -> None:
    """Killed in the middle: what it answered was durable, the rest is asked again."""
    world.server.kill()
    world.server.start()

    under_way()


def test_cert_manager_restarts(world: World, under_way: Callable[[], None]) -> None:
    """Killed in the middle: it may place an order twice, and gets its certificates."""
    world.manager.kill()
    world.manager.start()

    under_way()
