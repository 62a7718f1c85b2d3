"""Every attribution source keeps the contract: known workloads, or a refusal, and never more than it was told."""

import inspect

import pytest

from acme_ra.attribution.contract import AttributionQuery
from acme_ra.attribution.registry import SOURCES, all_sources
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.objects import Account, Binding, Credential
from acme_ra.core.problems import ServiceUnavailable, Unauthorized
from acme_ra.core.request import Workload
from acme_ra.core.status import AccountStatus

NOW = 1_795_000_000_000


def query(binding: Binding, *, disabled_at: int | None = None) -> AttributionQuery:
    account = Account(1, "s" * 16, "internal", "t", b"{}", AccountStatus.VALID, (), 1, None, 0)
    credential = Credential(1, "kid-1", "ci", binding, b"", 0, None, disabled_at, None, 1)
    return AttributionQuery(
        directory="internal", account=account, credential=credential, order=None, order_url="", csr=None
    )


@pytest.fixture(params=sorted(SOURCES))
def source(request: pytest.FixtureRequest) -> object:
    return all_sources()[request.param]


def test_a_source_is_registered_under_its_name(source: object) -> None:
    assert SOURCES[source.name] is type(source)  # type: ignore[attr-defined]
    assert inspect.iscoroutinefunction(source.attribute)  # type: ignore[attr-defined]


@pytest.mark.parametrize("namespaces", [(), ("shop",), ("shop", "pay"), ("team-*",), ("*",)])
async def test_the_answer_is_workloads_or_none(source: object, namespaces: tuple[str, ...]) -> None:
    """At least one, each with the source's name, a literal namespace or none, and evidence."""
    workloads = await source.attribute(query(Binding(namespaces=namespaces)))  # type: ignore[attr-defined]

    assert workloads is None or len(workloads) >= 1
    for workload in workloads or ():
        assert isinstance(workload, Workload)
        assert workload.source == source.name  # type: ignore[attr-defined]
        assert "*" not in workload.namespace + workload.cluster
        assert workload.namespace in ("", *namespaces)
        assert workload.evidence


async def test_a_refusal_is_a_problem_for_the_client(source: object) -> None:
    """Final or transient, never another exception; a disabled credential is never answered with a namespace."""
    asked = query(Binding(namespaces=("shop",)), disabled_at=NOW)

    with pytest.raises((Unauthorized, ServiceUnavailable), match="disabled"):
        await source.attribute(asked)  # type: ignore[attr-defined]


async def test_the_same_question_has_the_same_answer(source: object) -> None:
    """Attribution is asked again at finalize and must not drift."""
    asked = query(Binding(cluster="prod", namespaces=("shop", "pay")))

    assert await source.attribute(asked) == await source.attribute(asked)  # type: ignore[attr-defined]


async def test_routes_are_told_for_the_names_that_were_asked_and_no_other(source: object) -> None:
    """Each with what carries it; a workload without a namespace has none."""
    wanted = (Identifier(IdentifierType.DNS, "web.example.test"),)
    nowhere = Workload(source=source.name)  # type: ignore[attr-defined]

    assert await source.routes(nowhere, wanted) == {}  # type: ignore[attr-defined]
    assert inspect.iscoroutinefunction(source.routes)  # type: ignore[attr-defined]
