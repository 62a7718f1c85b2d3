"""Every attribution source keeps the contract: known workloads, or a refusal, and never more than it was told."""

import contextlib
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from acme_ra.attribution.contract import AttributionSource
from acme_ra.attribution.registry import SOURCES, all_sources
from acme_ra.attribution.service import Attribution
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.objects import Binding
from acme_ra.core.problems import ServiceUnavailable, Unauthorized
from acme_ra.core.request import Workload
from acme_ra.kubernetes.clusters import Clusters
from tests.support.cert_manager import NOW, FakeCertManager, query, watched
from tests.support.fake_kubernetes import FakeKubernetes


@contextlib.asynccontextmanager
async def by_credential() -> AsyncIterator[AttributionSource]:
    yield all_sources(Clusters())["credential"]


@contextlib.asynccontextmanager
async def by_cluster() -> AsyncIterator[AttributionSource]:
    """A cluster in which cert-manager works on the order for namespace shop."""
    async with FakeKubernetes.running() as fake:
        manager = FakeCertManager(fake)
        manager.namespace("shop", team="shop")
        manager.issuer()
        manager.order()
        manager.ingress("shop", "web", "web.shop.svc")
        async with watched(fake) as source:
            yield source


WORLDS: dict[str, Callable[[], AbstractAsyncContextManager[AttributionSource]]] = {
    "credential": by_credential,
    "kubernetes": by_cluster,
}


@pytest.fixture(params=sorted(SOURCES))
async def source(request: pytest.FixtureRequest) -> AsyncIterator[AttributionSource]:
    """Each registered source, in a world in which it can answer. A new one needs a line in WORLDS."""
    async with WORLDS[request.param]() as made:
        yield made


def test_a_source_is_registered_under_its_name() -> None:
    """Whoever reads Workload.source finds the source by it: routes are looked up so."""
    for name, source in all_sources(Clusters()).items():
        assert source.name == name
        assert inspect.iscoroutinefunction(source.attribute)
        assert inspect.iscoroutinefunction(source.routes)


@pytest.mark.parametrize("namespaces", [(), ("shop",), ("shop", "pay"), ("sh*",), ("*",)])
async def test_the_answer_is_workloads_or_none(source: AttributionSource, namespaces: tuple[str, ...]) -> None:
    """At least one, each with the source's name, a literal namespace or none, and evidence."""
    asked = query(binding=Binding(cluster="prod", namespaces=namespaces))

    assert source.concerns(asked)
    workloads = await source.attribute(asked)

    assert workloads is not None
    assert len(workloads) >= 1
    for workload in workloads:
        assert isinstance(workload, Workload)
        assert workload.source == source.name
        assert workload.cluster == "prod"
        assert "*" not in workload.namespace + workload.cluster
        assert workload.namespace in ("", "shop", *namespaces)
        assert workload.evidence["credential"] == "kid-1"
        assert workload.evidence["credential_name"] == "prod-issuer"


async def test_a_refusal_is_a_problem_for_the_client(source: AttributionSource) -> None:
    """Final or transient, never another exception; a disabled credential is never answered with a namespace."""
    asked = query(binding=Binding(cluster="prod", namespaces=("shop",)), disabled_at=NOW)

    with pytest.raises((Unauthorized, ServiceUnavailable), match="disabled"):
        await source.attribute(asked)


async def test_the_same_question_has_the_same_answer(source: AttributionSource) -> None:
    """Attribution is asked again at finalize and must not drift."""
    asked = query(binding=Binding(cluster="prod", namespaces=("shop", "pay")))

    assert await source.attribute(asked) == await source.attribute(asked)


async def test_routes_are_of_the_names_that_were_asked_for(source: AttributionSource) -> None:
    """And of the workload's namespace; what nothing carries is left out."""
    names = tuple(Identifier(IdentifierType.DNS, name) for name in ("web.shop.svc", "other.shop.svc"))
    workloads = await source.attribute(query(binding=Binding(cluster="prod", namespaces=("shop",))))

    for workload in workloads or ():
        carried = await source.routes(workload, names)
        assert set(carried) <= {"web.shop.svc"}
        assert all(carried.values())
    assert await source.routes(Workload(source=source.name), names) == {}
    assert await source.routes(Workload(source=source.name, cluster="none", namespace="shop"), names) == {}


async def test_the_cluster_goes_before_the_binding() -> None:
    """A credential of a configured cluster is attributed by it; one of no cluster by its binding, as ever."""
    async with by_cluster() as cluster:
        attribution = Attribution({"kubernetes": cluster, "credential": all_sources(Clusters())["credential"]})
        for binding, source in (
            (Binding(cluster="prod"), "kubernetes"),
            (Binding(namespaces=("shop",)), "credential"),
        ):
            workloads = await attribution.attribute(query(binding=binding))
            assert [one.source for one in workloads or ()] == [source]
        # A cluster that is not configured is a mistake, and no reason to believe the binding.
        with pytest.raises(Unauthorized, match="knows no cluster prdo"):
            await attribution.attribute(query(binding=Binding(cluster="prdo", namespaces=("shop",))))
        # Without any cluster, a binding means what it always meant.
        alone = Attribution(all_sources(Clusters()))
        workloads = await alone.attribute(query(binding=Binding(cluster="prod", namespaces=("shop",))))
        assert [(one.source, one.namespace) for one in workloads or ()] == [("credential", "shop")]


async def test_a_query_is_asked_of_one_source() -> None:
    """An account without a credential in a directory of clusters is the cluster's business, else nobody's."""
    async with by_cluster() as cluster:
        attribution = Attribution({"kubernetes": cluster, "credential": all_sources(Clusters())["credential"]})

        for asked, source in (
            (query(binding=None, clusters=("prod",)), "kubernetes"),
            (query(binding=Binding(namespaces=("pay",)), clusters=("prod",)), None),
            (query(binding=None), "none"),
        ):
            if source is None:
                with pytest.raises(Unauthorized, match="does not speak for namespace shop"):
                    await attribution.attribute(asked)
            else:
                assert [one.source for one in await attribution.attribute(asked) or ()] == [source]
