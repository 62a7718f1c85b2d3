"""A refusal is written as an Event on the Certificate, once, and never at anybody's expense."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from acme_ra.attribution.sources.kubernetes import events as events_module
from acme_ra.attribution.sources.kubernetes.events import RefusalEvents
from acme_ra.core.clock import to_rfc3339
from acme_ra.core.refusals import RefusalNotice
from acme_ra.core.request import Workload
from acme_ra.kubernetes.clusters import Clusters
from tests.support.both_loops import on_both_loops
from tests.support.fake_kubernetes import FakeKubernetes
from tests.support.ra import FakeClock

NOW = 1_795_000_000_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "PACE_SECONDS", 0.0)


@contextlib.asynccontextmanager
async def writing(fake: FakeKubernetes, **settings: Any) -> AsyncIterator[RefusalEvents]:
    clusters = Clusters({"prod": fake.client(**{"events": True, **settings})})
    events = RefusalEvents(clusters, FakeClock(NOW))
    await events.start()
    try:
        yield events
    finally:
        await events.close()
        await clusters.close()


def notice(detail: str = "web.pay.svc: no policy allows it", *, certificate: str = "web", **more: Any) -> RefusalNotice:
    evidence = {"certificate": certificate, "certificate_uid": f"uid-of-{certificate}"} if certificate else {}
    given = {"source": "kubernetes", "cluster": "prod", "namespace": "shop", "evidence": evidence, **more}
    return RefusalNotice(Workload(**given), ("web.pay.svc",), detail)


def written(fake: FakeKubernetes) -> list[dict[str, Any]]:
    return list(fake.objects.get("events", {}).values())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.005)


@on_both_loops
async def test_it_stands_on_the_certificate() -> None:
    """Where `kubectl describe certificate` shows it."""
    async with FakeKubernetes.running() as fake, writing(fake) as events:
        events.refused(notice())
        await until(lambda: len(written(fake)) == 1)

        (event,) = written(fake)
        assert event["involvedObject"] == {
            "apiVersion": "cert-manager.io/v1",
            "kind": "Certificate",
            "namespace": "shop",
            "name": "web",
            "uid": "uid-of-web",
        }
        assert (event["type"], event["reason"]) == ("Warning", "PolicyRefused")
        assert event["message"] == "web.pay.svc: no policy allows it"
        assert event["metadata"]["namespace"] == "shop"
        assert event["lastTimestamp"] == to_rfc3339(NOW)


async def test_a_wait_for_people_is_no_warning() -> None:
    """The Certificate says whom it waits for; cert-manager says only that the order is pending."""
    async with FakeKubernetes.running() as fake, writing(fake) as events:
        events.refused(msgspec.structs.replace(notice("it waits for group security"), awaited=True))
        await until(lambda: len(written(fake)) == 1)

        (event,) = written(fake)
        assert (event["type"], event["reason"]) == ("Normal", "ApprovalNeeded")


async def test_the_same_refusal_is_written_once() -> None:
    """cert-manager asks again and again; another reason or another Certificate is news."""
    async with FakeKubernetes.running() as fake, writing(fake) as events:
        for _ in range(50):
            events.refused(notice())
        events.refused(notice("another reason"))
        events.refused(notice(certificate="api"))
        await until(lambda: len(written(fake)) == 3)
        await until(lambda: fake.count("POST", "/events") == 3)


async def test_a_long_reason_is_cut_to_what_is_accepted() -> None:
    """And lines become one line."""
    async with FakeKubernetes.running() as fake, writing(fake) as events:
        events.refused(notice("word\n" * 1000, certificate="c" * 253))
        await until(lambda: len(written(fake)) == 1)

        (event,) = written(fake)
        assert len(event["message"]) == 1024
        assert "\n" not in event["message"]
        assert len(event["metadata"]["name"]) <= 253


async def test_what_no_cluster_named_is_written_nowhere() -> None:
    """Another source, another cluster, no Certificate, or a cluster that wants no Events."""
    async with FakeKubernetes.running() as fake:
        async with writing(fake) as events:
            events.refused(notice(source="credential"))
            events.refused(notice(cluster="west"))
            events.refused(notice(certificate=""))
            events.refused(notice(namespace=""))
        async with writing(fake, events=False) as events:
            events.refused(notice())
            await asyncio.sleep(0)
        assert fake.calls == []


async def test_an_api_server_that_refuses_loses_an_event_and_nothing_else() -> None:
    """The next one is written."""
    async with FakeKubernetes.running() as fake, writing(fake) as events:
        fake.script("POST", "/events", status=403, times=1)
        events.refused(notice("first"))
        events.refused(notice("second"))
        await until(lambda: len(written(fake)) == 1)
        assert written(fake)[0]["message"] == "second"


async def test_an_api_server_that_hangs_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The queue has an end; what does not fit is counted."""
    monkeypatch.setattr(events_module, "QUEUE", 5)
    async with FakeKubernetes.running() as fake:
        fake.script("POST", "/events", hang=True)
        async with writing(fake, timeout=60_000) as events:
            events.refused(notice("taken"))
            await until(lambda: fake.count("POST", "/events") == 1)
            for number in range(20):
                events.refused(notice(f"reason {number}"))  # returns at once: nothing here awaits
    told = capsys.readouterr().out
    assert "dropped" in told
    assert "count=20" in told.replace("'", "")
