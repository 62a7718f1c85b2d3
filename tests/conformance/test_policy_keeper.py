"""Policies of clusters and of files as one set, while API servers come and go."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from acme_ra.audit.events import details
from acme_ra.core.clock import SystemClock
from acme_ra.core.decision import Decision, Outcome
from acme_ra.core.problems import ServiceUnavailable
from acme_ra.core.request import Workload
from acme_ra.kubernetes import reflector as reflector_module
from acme_ra.policy.engine import PolicyEngine
from acme_ra.policy_resources import keeper as keeper_module
from acme_ra.policy_resources import status as status_module
from acme_ra.policy_resources.keeper import Applied, PolicyKeeper
from acme_ra.policy_resources.record import AuditRecorder, PolicyGauges
from acme_ra.policy_resources.status import StatusWriter
from acme_ra.policy_resources.watch import ClusterWatch
from acme_ra.storage.contract import EventFilter
from acme_ra.telemetry import Metrics
from tests.support.fake_kubernetes import FakeKubernetes
from tests.support.policies import APPROVAL_KEY, facts, grant, guard, local, policy_set, request
from tests.support.policy_resources import KNOWN
from tests.support.stores import open_test_store

CLUSTER_WIDE, LOCAL = "clusterissuancepolicies", "issuancepolicies"
FILES = (grant("own", allowed={"dnsNames": ["*.{namespace}.svc"]}),)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that a test can wait for."""
    monkeypatch.setattr(reflector_module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(reflector_module, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(keeper_module, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(keeper_module, "APART_SECONDS", 0.01)
    monkeypatch.setattr(keeper_module, "START_SECONDS", 0.2)
    monkeypatch.setattr(status_module, "PACE_SECONDS", 0.0)
    monkeypatch.setattr(status_module, "RETRY_SECONDS", 0.05)


class Kept:
    """A worker's engine, kept by the code under test."""

    def __init__(self, engine: PolicyEngine, keeper: PolicyKeeper, applied: list[Applied]) -> None:
        self.engine = engine
        self.keeper = keeper
        self.applied = applied

    def names(self) -> list[str]:
        return sorted(one.name for one in self.engine.policies.policies)

    def decide(self, name: str, cluster: str, namespace: str) -> Decision:
        return self.engine.decide(request(name, workload=Workload("kubernetes", cluster, namespace)), facts())

    def allowed(self, name: str, cluster: str = "east", namespace: str = "shop") -> bool:
        return self.decide(name, cluster, namespace).outcome == Outcome.ALLOWED


@contextlib.asynccontextmanager
async def keeping(
    clusters: dict[str, FakeKubernetes], *, statuses: bool = False, **settings: Any
) -> AsyncIterator[Kept]:
    async with AsyncExitStack() as stack:
        settings.setdefault("policies", "all")
        clients = {name: fake.client(name, **settings) for name, fake in clusters.items()}
        for client in clients.values():
            stack.push_async_callback(client.close)
        engine = PolicyEngine(policy_set(*FILES), approval_key=APPROVAL_KEY)
        applied: list[Applied] = []

        async def note(one: Applied) -> None:
            applied.append(one)

        listeners = [note]
        if statuses:
            writer = StatusWriter(clients, SystemClock())
            writer.start()
            stack.push_async_callback(writer.close)
            listeners.append(writer.tell)
        keeper = PolicyKeeper(
            engine,
            files=policy_set(*FILES),
            watches={name: ClusterWatch(client) for name, client in clients.items()},
            known=KNOWN,
            listeners=listeners,
        )
        stack.push_async_callback(keeper.close)
        await keeper.start()
        yield Kept(engine, keeper, applied)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def test_resources_and_files_are_one_set() -> None:
    """Grants and guards of a cluster are for its own workloads, beside those of the files, and follow every change."""
    async with FakeKubernetes.running() as east, FakeKubernetes.running() as west:
        east.put(CLUSTER_WIDE, grant("shop", allowed={"dnsNames": ["**.shop.example"]}))
        east.put(LOCAL, local("shop", denied={"dnsNames": ["b.shop.svc"]}))
        async with keeping({"east": east, "west": west}) as kept:
            assert kept.names() == ["east:shop", "east:shop/own", "own"]
            assert kept.allowed("a.shop.example")
            assert not kept.allowed("a.shop.example", "west")
            assert not kept.allowed("b.shop.svc")
            assert kept.allowed("b.shop.svc", "west")

            east.put(LOCAL, local("shop", denied={"dnsNames": ["c.shop.svc"]}))
            west.put(CLUSTER_WIDE, guard("none", denied={"dnsNames": ["**.svc"]}))
            await until(lambda: "west:none" in kept.names() and kept.allowed("b.shop.svc"))

            assert not kept.allowed("c.shop.svc")
            assert not kept.allowed("b.shop.svc", "west")
            east.delete(LOCAL, "shop", "own")
            await until(lambda: kept.allowed("c.shop.svc"))


async def test_files_and_resources_keep_each_other() -> None:
    """A reload of files leaves the resources in force, and a change of resources the files."""
    async with FakeKubernetes.running() as east:
        east.put(LOCAL, local("shop", denied={"dnsNames": ["b.shop.svc"]}))
        async with keeping({"east": east}) as kept:
            await kept.keeper.replace_files(policy_set(*FILES, grant("more", allowed={"dnsNames": ["**.example"]})))
            assert kept.names() == ["east:shop/own", "more", "own"]

            east.put(LOCAL, local("shop", "two", profiles=["default"]))
            await until(lambda: len(kept.names()) == 4)

            assert kept.allowed("a.example")
            assert not kept.allowed("b.shop.svc")


async def test_a_cluster_whose_guards_are_unknown_is_held() -> None:
    """No grant of a file is used for it: 503, until the guards are known. Other clusters go on."""
    async with FakeKubernetes.running() as east, FakeKubernetes.running() as west:
        east.put(LOCAL, local("shop", denied={"dnsNames": ["b.shop.svc"]}))
        fault = east.script("GET", LOCAL, status=500)
        async with keeping({"east": east, "west": west}) as kept:
            with pytest.raises(ServiceUnavailable, match="policies of cluster east are not known yet"):
                kept.decide("a.shop.svc", "east", "shop")
            assert kept.allowed("a.shop.svc", "west")
            assert kept.allowed("a.shop.svc", "")

            fault.times = 0
            await until(lambda: not kept.engine.policies.unknown)

            assert kept.allowed("a.shop.svc")
            assert not kept.allowed("b.shop.svc")


async def test_half_a_cluster_is_unknown() -> None:
    """A definition that is not installed leaves one kind unread, and so the cluster is held."""
    async with FakeKubernetes.running() as east:
        east.missing.add(CLUSTER_WIDE)
        async with keeping({"east": east}) as kept:
            assert kept.engine.policies.unknown == {"east"}
        async with keeping({"east": east}, policies="namespaced") as kept:
            assert not kept.engine.policies.unknown
            assert east.count("GET", CLUSTER_WIDE) > 0


async def test_namespaced_reads_no_cluster_wide_policies() -> None:
    """A cluster that may only narrow is not asked for grants, and cannot give any."""
    async with FakeKubernetes.running() as east:
        east.put(CLUSTER_WIDE, grant("all", allowed={"dnsNames": ["**.example"]}))
        east.put(LOCAL, local("shop", profiles=["default"]))
        async with keeping({"east": east}, policies="namespaced") as kept:
            assert kept.names() == ["east:shop/own", "own"]
            assert east.count("GET", CLUSTER_WIDE) + east.count("WATCH", CLUSTER_WIDE) == 0


async def test_the_last_set_stays_while_the_api_server_is_away() -> None:
    """And what changed meanwhile is in force when it is back."""
    async with FakeKubernetes.running() as east:
        east.put(LOCAL, local("shop", denied={"dnsNames": ["b.shop.svc"]}))
        async with keeping({"east": east}) as kept:
            fault = east.script("*", LOCAL, status=503)
            east.break_watches()
            await until(lambda: east.count("WATCH", LOCAL) >= 3)
            assert kept.allowed("a.shop.svc")
            assert not kept.allowed("b.shop.svc")

            east.put(LOCAL, local("shop", denied={"dnsNames": ["a.shop.svc"]}))
            east.compact()
            fault.times = 0
            await until(lambda: kept.allowed("b.shop.svc"))

            assert not kept.allowed("a.shop.svc")


async def test_many_changes_make_few_sets() -> None:
    """A burst is applied together; what changes nothing that counts makes no new set."""
    async with FakeKubernetes.running() as east, keeping({"east": east}) as kept:
        for index in range(40):
            east.put(LOCAL, local(f"n{index}", profiles=["default"]))
        await until(lambda: len(kept.names()) == 41)
        assert len({one.policies.digest for one in kept.applied}) < 20

        looked, digest = len(kept.applied), kept.engine.digest
        east.put(LOCAL, {**local("n1", profiles=["default"]), "status": {"observedGeneration": 1}})
        await until(lambda: len(kept.applied) > looked)
        assert kept.engine.digest == digest


async def test_statuses_say_what_became_of_each() -> None:
    """Accepted, or why not and what happens until then; only what differs is written, and only once."""
    async with FakeKubernetes.running() as east:
        east.put(CLUSTER_WIDE, grant("good", allowed={"dnsNames": ["**.example"]}))
        east.put(CLUSTER_WIDE, grant("lost", allowed={"dnsNames": ["**.example"]}, authority="nobody"))
        east.put(LOCAL, local("shop", "typo", denyed={"dnsNames": ["a"]}, profiles=["default"]))
        async with keeping({"east": east}, statuses=True) as kept:

            def told(collection: str, namespace: str, name: str) -> dict[str, Any]:
                status = (east.get(collection, namespace, name) or {}).get("status", {})
                (condition,) = status.get("conditions") or [{}]
                return {**condition, "observed": status.get("observedGeneration"), "digest": status.get("digest")}

            await until(lambda: told(LOCAL, "shop", "typo").get("type") and told(CLUSTER_WIDE, "", "lost").get("type"))
            good, lost = told(CLUSTER_WIDE, "", "good"), told(CLUSTER_WIDE, "", "lost")
            typo = told(LOCAL, "shop", "typo")
            assert (good["status"], good["reason"], good["observed"]) == ("True", "Applied", 1)
            assert good["digest"] == next(
                one.digest for one in kept.engine.policies.policies if one.name == "east:good"
            )
            assert (lost["status"], lost["reason"], lost["digest"]) == ("False", "UnknownReference", None)
            assert "spec.authority: there is no authority called 'nobody'" in lost["message"]
            assert lost["message"].endswith("Until it is corrected it has no effect")
            assert (typo["status"], typo["reason"]) == ("False", "Invalid")
            assert "IssuancePolicy shop/typo: spec.denyed: is an unknown key; did you mean denied?" in typo["message"]
            assert "it refuses what it selects, or all of namespace shop of cluster east" in typo["message"]
            assert not kept.allowed("a.shop.svc")

            east.put(LOCAL, {**local("shop", "typo", denied={"dnsNames": ["b.shop.svc"]}), "status": typo_status(east)})
            await until(lambda: told(LOCAL, "shop", "typo").get("status") == "True")
            assert told(LOCAL, "shop", "typo")["observed"] == 2
            assert kept.allowed("a.shop.svc")
            looked = len(kept.applied)
            east.put(LOCAL, local("pay", "other", profiles=["default"]))
            await until(lambda: told(LOCAL, "pay", "other").get("status") == "True" and len(kept.applied) > looked)
            assert east.count("PATCH", "/status") == 5


def typo_status(fake: FakeKubernetes) -> Any:
    """What the API server keeps when the author changes the spec."""
    return (fake.get(LOCAL, "shop", "typo") or {})["status"]


async def test_a_status_that_cannot_be_written_holds_up_nothing() -> None:
    """RBAC without the status: policies are in force all the same, and it is tried again."""
    async with FakeKubernetes.running() as east:
        fault = east.script("PATCH", "/status", status=403)
        east.put(LOCAL, local("shop", denied={"dnsNames": ["b.shop.svc"]}))
        async with keeping({"east": east}, statuses=True) as kept:
            await until(lambda: east.count("PATCH", "/status") >= 2)
            assert not kept.allowed("b.shop.svc")

            fault.times = 0
            await until(lambda: (east.get(LOCAL, "shop", "own") or {}).get("status"))


async def test_metrics_tell_what_became_of_the_policies() -> None:
    """Accepted, not accepted, and not known, by cluster; from the set that is in force when they are asked for."""
    metrics = Metrics()
    async with FakeKubernetes.running() as east, FakeKubernetes.running() as west:
        west.missing.add(LOCAL)
        east.put(LOCAL, local("shop", profiles=["default"]))
        async with keeping({"east": east, "west": west}) as kept:
            await kept.keeper.add_listener(PolicyGauges(metrics, kept.keeper.clusters).show)
            told = metrics.expose().decode()
            assert 'acme_ra_policy_resources{accepted="true",cluster="east"} 1.0' in told
            assert 'acme_ra_policies_known{cluster="east"} 1.0' in told
            assert 'acme_ra_policies_known{cluster="west"} 0.0' in told

            east.put(LOCAL, local("shop", "broken", nothing=True))
            await until(lambda: len(kept.applied[-1].resources) == 2)

            assert 'acme_ra_policy_resources{accepted="false",cluster="east"} 1.0' in metrics.expose().decode()


async def test_a_change_of_policies_is_an_audit_event_once(tmp_path: Path) -> None:
    """Each set has one event with its digest; a look that changes nothing has none."""
    clock = SystemClock()
    async with FakeKubernetes.running() as east, AsyncExitStack() as stack:
        store = await open_test_store(tmp_path, clock)
        stack.push_async_callback(store.close)
        async with keeping({"east": east}) as kept:
            await kept.keeper.add_listener(AuditRecorder(store, clock).record)
            east.put(LOCAL, local("shop", profiles=["default"]))
            await until(lambda: len(kept.names()) == 2)
            await kept.keeper.replace_files(policy_set(*FILES))
            digest = kept.engine.digest

        recorded = [details(one.record.body) async for one in store.events(EventFilter(kind="policy.applied"))]

    assert [one["digest"] for one in recorded][-1] == digest
    assert len(recorded) == 2
    assert (recorded[-1]["grants"], recorded[-1]["guards"], recorded[-1]["resources"]) == (1, 1, 1)
