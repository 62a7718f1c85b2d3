"""The server as processes, with a cluster behind it that comes and goes."""

import asyncio
import urllib.request
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.acme_client import AcmeClient
from tests.support.cert_manager import FakeCertManager
from tests.support.fake_kubernetes import FakeKubernetes
from tests.support.ra import make_csr
from tests.support.server import Ports, Server, served

NAME = "web.demo.svc"


async def test_a_cluster_tells_each_worker_whose_order_it_is(tmp_path: Path) -> None:
    """Two workers, each with a watch of its own; a cluster that goes away is 503 for its orders only."""
    async with FakeKubernetes.running() as fake:
        manager = FakeCertManager(fake)
        manager.namespace("demo")

        def configure(document: dict[str, Any]) -> None:
            reached = {"server": fake.url, "ca_bundle": f"{fake.folder}/ca.pem", "token_file": f"{fake.folder}/token"}
            document["clusters"] = {"prod": {**reached, "events": True, "timeout": "2s"}}
            document["server"]["workers"] = 2

        with await asyncio.to_thread(_enter, tmp_path, configure) as server:
            bound = await asyncio.to_thread(
                server.cli_json, "credential", "create", "--name", "prod", "--cluster", "prod"
            )
            async with AcmeClient(server.directory, server.tls()) as client:
                account = await client.register(bound["kid"], bound["hmac_key"])
                manager.issuer(account.location)
                csr = make_csr(ec.generate_private_key(ec.SECP256R1()), NAME)

                order = (await client.new_order([NAME])).ok(201)
                manager.order("demo", "web", url=order.location, csr=csr)
                for url in order.json["authorizations"]:
                    assert (await client.get(url)).ok().json["status"] == "valid"
                assert (await client.finalize(order, csr)).ok(200).json["status"] == "valid"
                assert {path for method, path in fake.calls if method == "WATCH"} == {
                    "/apis/acme.cert-manager.io/v1/orders"
                }
                assert fake.count("WATCH", "/orders") == 2

                stranger = (await client.new_order(["web.other.svc"])).ok(201)
                manager.order("demo", "stranger", url=stranger.location)
                refused = await client.get(stranger.json["authorizations"][0])
                assert refused.status == 403
                await _until(lambda: bool(fake.objects.get("events")))

                fake.script("*", "/", status=503)
                fake.break_watches()
                later = (await client.new_order([NAME])).ok(201)
                assert (await client.get(later.json["authorizations"][0])).status == 503
                for path in ("/readyz", "/healthz"):
                    assert await asyncio.to_thread(_get, server, path) == 200


async def test_a_cluster_that_never_answered_holds_up_no_start(tmp_path: Path) -> None:
    """Ready, and serving those whom it does not concern."""
    async with FakeKubernetes.running() as fake:
        fake.script("*", "/", status=503)

        def configure(document: dict[str, Any]) -> None:
            reached = {"server": fake.url, "ca_bundle": f"{fake.folder}/ca.pem", "token_file": f"{fake.folder}/token"}
            document["clusters"] = {"prod": reached}

        with await asyncio.to_thread(_enter, tmp_path, configure) as server:
            assert await asyncio.to_thread(_get, server, "/readyz") == 200
            made = await asyncio.to_thread(server.credential, "demo")
            async with AcmeClient(server.directory, server.tls()) as client:
                await client.register(made.kid, made.hmac_key)
                assert (await client.issue([NAME])).serial_number


class _Started:
    """`served`, entered in a thread: the API server of the test needs this one's loop."""

    def __init__(self, root: Path, configure: Any) -> None:
        self._context = served(root, ports=Ports(), change=configure)
        self.server = self._context.__enter__()

    def __enter__(self) -> Server:
        return self.server

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)


def _enter(root: Path, configure: Any) -> _Started:
    return _Started(root, configure)


def _get(server: Server, path: str) -> int:
    url = server.directory.partition("/acme/")[0] + path
    with urllib.request.urlopen(url, context=server.tls(), timeout=60) as response:
        return int(response.status)


async def _until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)
