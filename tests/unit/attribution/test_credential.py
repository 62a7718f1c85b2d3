"""Attribution by the credential's binding."""

from typing import Any

import pytest

from acme_ra.attribution.contract import AttributionQuery
from acme_ra.attribution.service import Attribution
from acme_ra.attribution.sources.credential import CredentialSource
from acme_ra.core.objects import Account, Binding, Credential
from acme_ra.core.problems import ServerInternal, Unauthorized
from acme_ra.core.request import Workload
from acme_ra.core.status import AccountStatus

NOW = 1_795_000_000_000


def credential(binding: Binding, **fields: Any) -> Credential:
    known: dict[str, Any] = {
        "id": 1,
        "kid": "kid-1",
        "name": "ci",
        "binding": binding,
        "sealed_secret": b"",
        "created_at": 0,
        "expires_at": None,
        "disabled_at": None,
        "max_uses": None,
        "uses": 1,
        "generation": 3,
    }
    return Credential(**(known | fields))


def query(credential: Credential | None, directory: str = "internal") -> AttributionQuery:
    account = Account(1, "s" * 16, directory, "t", b"{}", AccountStatus.VALID, (), 1, None, 0)
    return AttributionQuery(
        directory=directory, account=account, credential=credential, order=None, order_url="", csr=None
    )


def service() -> Attribution:
    return Attribution({"credential": CredentialSource()})


async def namespaces(*bound: str) -> list[str]:
    workloads = await service().attribute(query(credential(Binding(namespaces=bound))))
    assert workloads is not None
    return [one.namespace for one in workloads]


async def test_each_named_namespace_is_a_candidate() -> None:
    """With cluster, labels and evidence of the credential that said so."""
    binding = Binding(cluster="prod", namespaces=("shop", "pay"), labels={"team": "web"})

    workloads = await service().attribute(query(credential(binding)))

    evidence = {"credential": "kid-1", "credential_name": "ci", "generation": "3"}
    assert workloads == tuple(
        Workload("credential", cluster="prod", namespace=one, labels={"team": "web"}, evidence=evidence)
        for one in ("shop", "pay")
    )


@pytest.mark.parametrize(
    ("bound", "found"),
    [
        (("shop",), ["shop"]),
        (("shop", "shop"), ["shop"]),
        (("shop", "team-*"), ["shop"]),
        (("team-*",), [""]),
        (("*",), [""]),
        ((), [""]),
        (("",), [""]),
        (("Shop", "a.b", "a_b", "-a", "shop\n"), [""]),
    ],
)
async def test_a_glob_names_no_namespace(bound: tuple[str, ...], found: list[str]) -> None:
    """It is a limit; what it limits stays unknown, and unknown matches nothing."""
    assert await namespaces(*bound) == found


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"disabled_at": NOW - 1}, "is disabled"),
        ({"disabled_at": NOW + 1}, "is disabled"),
    ],
)
async def test_a_credential_that_ended_speaks_for_nobody(fields: dict[str, int], text: str) -> None:
    """Not even for the accounts that it made before."""
    with pytest.raises(Unauthorized, match=text):
        await service().attribute(query(credential(Binding(namespaces=("shop",)), **fields)))


async def test_a_credential_in_time_speaks() -> None:
    """Used up and expired are for new accounts; the accounts that it made in time live on."""
    live = credential(Binding(namespaces=("shop",)), expires_at=NOW - 1, max_uses=1, uses=1)

    assert await service().attribute(query(live))


async def test_a_credential_is_good_in_its_own_directories_only() -> None:
    bound = credential(Binding(namespaces=("shop",), directories=("internal",)))

    assert await service().attribute(query(bound, "internal"))
    with pytest.raises(Unauthorized, match="not for the directory public"):
        await service().attribute(query(bound, "public"))


async def test_without_a_credential_nothing_is_known() -> None:
    """A directory that takes accounts without one: no cluster, no namespace, no labels."""
    assert await service().attribute(query(None)) == (Workload(source="none"),)


async def test_a_source_that_names_nobody_is_at_fault() -> None:
    """Empty means no: neither "any" nor a refusal that was not meant."""

    class Empty(CredentialSource):
        name = "empty"

        async def attribute(self, query: AttributionQuery) -> tuple[Workload, ...] | None:
            return ()

    with pytest.raises(ServerInternal):
        await Attribution({"credential": Empty()}).attribute(query(credential(Binding())))
    with pytest.raises(ServerInternal):
        await Attribution({}).attribute(query(credential(Binding())))


async def test_what_is_not_known_yet_stays_so() -> None:
    """A source of the cluster goes before the credential, and may have to be asked again later."""

    class Later(CredentialSource):
        name = "kubernetes"

        async def attribute(self, query: AttributionQuery) -> tuple[Workload, ...] | None:
            return None

    attribution = Attribution({"kubernetes": Later(), "credential": CredentialSource()})

    assert await attribution.attribute(query(credential(Binding(namespaces=("shop",))))) is None
