"""Whoever can write objects into a cluster cannot make another namespace's order theirs (GHSA-8rvj-mm4h-c258)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from acme_ra.attribution.contract import AttributionQuery
from acme_ra.attribution.sources.kubernetes import finder, look
from acme_ra.attribution.sources.kubernetes.source import KubernetesSource
from acme_ra.core.objects import Binding
from acme_ra.core.problems import Unauthorized
from acme_ra.core.request import Workload
from tests.support.cert_manager import CSR, OTHER_CSR, URL, FakeCertManager, query, reference, watched
from tests.support.fake_kubernetes import FakeKubernetes

OTHER_URL = "https://ra.test/acme/default/order/2.BBBBBBBBBBBBBBBB"
OTHER_ACCOUNT = "https://ra.test/acme/default/account/2.tttttttttttttttt"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A miss is told sooner; what is waited for arrives long before in these tests."""
    monkeypatch.setattr(finder, "CATCH_UP", 0.05)
    monkeypatch.setattr(finder, "SEARCH_INTERVAL", 0.01)


@pytest.fixture
async def fake() -> AsyncIterator[FakeKubernetes]:
    async with FakeKubernetes.running() as running:
        yield running


@pytest.fixture
def manager(fake: FakeKubernetes) -> FakeCertManager:
    made = FakeCertManager(fake)
    made.namespace("shop", team="shop")
    made.namespace("evil", team="evil")
    made.issuer()
    return made


async def attributed(source: KubernetesSource, asked: AttributionQuery) -> Workload:
    workloads = await source.attribute(asked)
    assert workloads is not None
    (workload,) = workloads
    return workload


async def refused(source: KubernetesSource, asked: AttributionQuery, told: str) -> None:
    """Refused for good, with a text that says why."""
    with pytest.raises(Unauthorized, match=told):
        await source.attribute(asked)


async def test_the_order_is_of_the_namespace_that_it_was_placed_from(
    fake: FakeKubernetes, manager: FakeCertManager
) -> None:
    """What holds for everybody else: the whole chain, with UIDs and the version that was looked at."""
    ingress = manager.ingress("shop", "front", "web.shop.svc")
    order = manager.order(owner=reference("Ingress", "networking.k8s.io/v1", ingress))
    async with watched(fake) as source:
        workload = await attributed(source, query(csr=CSR))

    assert (workload.source, workload.cluster, workload.namespace) == ("kubernetes", "prod", "shop")
    assert workload.labels == {"team": "shop"}
    assert (workload.name, workload.owner) == ("web", "Ingress front")
    assert workload.evidence["order_uid"] == order["metadata"]["uid"]
    assert workload.evidence["order_version"] == order["metadata"]["resourceVersion"]
    assert workload.evidence["credential_name"] == "prod-issuer"
    assert workload.evidence["certificate_request"] == "web-1"
    assert workload.evidence["certificate"] == "web"
    assert workload.evidence["owner"] == "Ingress front"
    assert workload.evidence["issuer"] == "ClusterIssuer acme-ra"
    assert workload.evidence["requested_by"] == "system:serviceaccount:shop:dev"


async def test_a_second_order_with_the_same_url_makes_both_worthless(
    fake: FakeKubernetes, manager: FakeCertManager
) -> None:
    """A forged Order in another namespace carries the URL of the shop's; neither is told of the other."""
    manager.order("shop", "web")
    async with watched(fake) as source:
        before = await attributed(source, query())
        manager.bare_order("evil", "forged")
        await _seen(source, 2)

        with pytest.raises(Unauthorized, match="2 Orders in cluster prod claim") as told:
            await source.attribute(query())
        assert "shop" not in told.value.detail
        assert "evil" not in told.value.detail
        await refused(source, query(csr=CSR, before=before), "2 Orders")


async def test_a_forged_order_does_not_inherit_when_the_true_one_goes(
    fake: FakeKubernetes, manager: FakeCertManager
) -> None:
    """The shop's Order is deleted after it was proved; the forged one is the only one left."""
    true = manager.order("shop", "web")
    async with watched(fake) as source:
        before = await attributed(source, query())
        manager.bare_order("evil", "forged")
        fake.delete("orders", "shop", true["metadata"]["name"])
        await _seen(source, 1, namespace="evil")

        await refused(source, query(csr=CSR, before=before), "placed by another Order")


async def test_an_order_that_is_made_anew_is_another_one(fake: FakeKubernetes, manager: FakeCertManager) -> None:
    """Same namespace, same name, same URL, another UID."""
    true = manager.order("shop", "web")
    async with watched(fake) as source:
        before = await attributed(source, query())
        fake.delete("orders", "shop", true["metadata"]["name"])
        await _seen(source, 0)
        manager.bare_order("shop", true["metadata"]["name"])
        await _seen(source, 1)

        await refused(source, query(csr=CSR, before=before), "placed by another Order")


async def test_a_namespace_that_is_made_anew_is_another_one(fake: FakeKubernetes, manager: FakeCertManager) -> None:
    """Its name is free again, and whoever takes it gets none of what was proved in it."""
    manager.order("shop", "web")
    async with watched(fake) as source:
        before = await attributed(source, query())
        fake.delete("namespaces", "", "shop")
        manager.namespace("shop", team="evil")

        await refused(source, query(csr=CSR, before=before), "placed by another Order")


@pytest.mark.parametrize("part", ["orders", "namespaces"])
async def test_what_is_being_deleted_asks_for_nothing(
    fake: FakeKubernetes, manager: FakeCertManager, part: str
) -> None:
    """Finalizers may keep it there for long."""
    order = manager.order("shop", "web")
    key = ("shop", order["metadata"]["name"]) if part == "orders" else ("", "shop")
    async with watched(fake) as source:
        fake.objects[part][key]["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"
        await refused(source, query(), "is being deleted")


async def test_an_order_that_was_deleted_is_nobodys(fake: FakeKubernetes, manager: FakeCertManager) -> None:
    """Also while the watch does not know it yet."""
    order = manager.order("shop", "web")
    async with watched(fake) as source:
        fake.held = True
        fake.delete("orders", "shop", order["metadata"]["name"])
        await refused(source, query(), "was deleted")


async def test_a_watch_that_is_behind_is_not_believed(fake: FakeKubernetes, manager: FakeCertManager) -> None:
    """The cache says shop; the cluster says that this Order has another URL, or is another Order, by now."""
    order = manager.order("shop", "web")
    name = order["metadata"]["name"]
    async with watched(fake) as source:
        fake.held = True
        manager.bare_order("shop", name, url=OTHER_URL)
        await refused(source, query(), "does not carry this order's URL")
        fake.delete("orders", "shop", name)
        manager.bare_order("shop", name)
        await refused(source, query(), "made anew")


async def test_an_order_that_changes_while_it_is_looked_at_is_not_believed(
    fake: FakeKubernetes, manager: FakeCertManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its namespace was read, that was taken by somebody else, who knows the URL."""
    order = manager.order("shop", "web")
    async with watched(fake) as source:
        read, reads = look._order, []

        async def between(*arguments: Any) -> Any:
            reads.append(1)
            if len(reads) == 1:
                fake.delete("orders", "shop", order["metadata"]["name"])
                manager.bare_order("shop", order["metadata"]["name"])
            return await read(*arguments)

        monkeypatch.setattr(look, "_order", between)
        await refused(source, query(), "made anew")


async def test_where_an_order_leads_is_believed_of_the_live_one_only(
    fake: FakeKubernetes, manager: FakeCertManager
) -> None:
    """The watch is behind: it knows the Order with the right issuer and owner, the cluster has it with others."""
    manager.issuer(OTHER_ACCOUNT, name="mine", namespace="shop")
    manager.order("shop", "web")
    live = fake.objects["orders"][("shop", "web-1-7")]
    async with watched(fake) as source:
        live["spec"]["issuerRef"] = {"name": "mine", "kind": "Issuer"}
        live["metadata"]["ownerReferences"] = []
        await refused(source, query(), "has another account")

        live["spec"]["issuerRef"] = {"name": "acme-ra", "kind": "ClusterIssuer"}
        workload = await attributed(source, query())
        assert (workload.namespace, workload.name) == ("shop", "")


async def test_another_csr_is_refused(fake: FakeKubernetes, manager: FakeCertManager) -> None:
    """Same names, another key: the key is not the one that the namespace asked for."""
    manager.order("shop", "web")
    async with watched(fake) as source:
        await attributed(source, query(csr=CSR))
        await refused(source, query(csr=OTHER_CSR), "not the one in spec.request")


@pytest.mark.parametrize("request_text", ["", "%%%", "AAAA", "LS0tLS1CRUdJTg=="])
async def test_an_order_without_a_readable_csr_is_finalized_by_nobody(
    fake: FakeKubernetes, manager: FakeCertManager, request_text: str
) -> None:
    """Empty is not equal to anything."""
    manager.bare_order("shop", "web", request=request_text)
    async with watched(fake) as source:
        for csr in (CSR, b"", b"\x00\x00\x00"):
            if csr != b"\x00\x00\x00" or request_text != "AAAA":
                await refused(source, query(csr=csr), "not the one in spec.request")


async def test_an_order_of_another_account_is_refused(fake: FakeKubernetes, manager: FakeCertManager) -> None:
    """A tenant's own Issuer, or an account that was stolen elsewhere, carries the URL into this cluster."""
    manager.issuer(OTHER_ACCOUNT, name="mine", namespace="evil")
    manager.bare_order("evil", "forged", issuerRef={"name": "mine", "kind": "Issuer"})
    async with watched(fake) as source:
        await refused(source, query(), "has another account")


@pytest.mark.parametrize(
    ("ref", "told"),
    [
        ({"name": "gone", "kind": "ClusterIssuer"}, "was deleted"),
        ({"name": "acme-ra", "kind": "Issuer"}, "was deleted"),
        ({"name": "acme-ra"}, "was deleted"),
        ({"name": "acme-ra", "kind": "ClusterIssuer", "group": "awspca.example"}, "no issuer of cert-manager"),
        ({"name": "acme-ra", "kind": "Secret"}, "no issuer of cert-manager"),
        ({"name": "", "kind": "ClusterIssuer"}, "was deleted"),
        ({"name": "../../../../api/v1/namespaces/shop", "kind": "ClusterIssuer"}, "was deleted"),
    ],
)
async def test_an_order_must_be_of_an_issuer_that_is_there(
    fake: FakeKubernetes, manager: FakeCertManager, ref: dict[str, str], told: str
) -> None:
    """A reference leads nowhere else, whatever it is called."""
    manager.bare_order("evil", "forged", issuerRef=ref)
    async with watched(fake) as source:
        await refused(source, query(), told)


async def test_an_owner_in_another_namespace_lends_nothing(fake: FakeKubernetes, manager: FakeCertManager) -> None:
    """ownerReferences are what their writer says: the UID of the shop's CertificateRequest in an Order of evil."""
    manager.order("shop", "web", url=OTHER_URL)
    theirs = fake.get("certificaterequests", "shop", "web-1")
    assert theirs is not None
    owners = [reference("CertificateRequest", "cert-manager.io/v1", theirs)]
    manager.bare_order("evil", "forged", owners=owners)
    async with watched(fake) as source:
        await refused(source, query(), "was deleted")

        manager.order("evil", "web", url="")
        await refused(source, query(), "is not the one that the request comes from")


async def test_an_owner_of_another_uid_lends_nothing(fake: FakeKubernetes, manager: FakeCertManager) -> None:
    """Each link of the chain, with the right name and a wrong or no UID."""
    ingress = manager.ingress("shop", "front", "web.shop.svc")
    manager.order("shop", "web", owner=reference("Ingress", "networking.k8s.io/v1", ingress))
    async with watched(fake) as source:
        await attributed(source, query())
        for part, key in (
            ("orders", ("shop", "web-1-7")),
            ("certificaterequests", ("shop", "web-1")),
            ("certificates", ("shop", "web")),
        ):
            owner = fake.objects[part][key]["metadata"]["ownerReferences"][0]
            uid = owner["uid"]
            for wrong in ("00000000-0000-0000-0000-000000000000", ""):
                owner["uid"] = wrong
                await refused(source, query(), "is not the one that the request comes from")
            owner["uid"] = uid
        await attributed(source, query())


async def test_a_request_for_something_else_is_no_parent(fake: FakeKubernetes, manager: FakeCertManager) -> None:
    """An Order that borrows an existing CertificateRequest of its namespace must ask for the same."""
    manager.order("shop", "web", csr=OTHER_CSR, url="")
    theirs = fake.get("certificaterequests", "shop", "web-1")
    assert theirs is not None
    manager.bare_order("shop", "forged", owners=[reference("CertificateRequest", "cert-manager.io/v1", theirs)])
    async with watched(fake) as source:
        await refused(source, query(), "asks for something else")


async def test_labels_and_annotations_identify_nobody(fake: FakeKubernetes, manager: FakeCertManager) -> None:
    """An Order that calls itself the shop's, by every label that cert-manager ever wrote, is still evil's."""
    made = manager.bare_order("evil", "forged")
    made["metadata"]["labels"] = {"cert-manager.io/certificate-name": "web", "team": "shop"}
    made["metadata"]["annotations"] = {"cert-manager.io/certificate-name": "web"}
    async with watched(fake) as source:
        workload = await attributed(source, query())

    assert (workload.namespace, workload.name, workload.owner) == ("evil", "", "")
    assert workload.labels == {"team": "evil"}


async def test_an_owner_that_is_no_controller_or_of_another_kind_is_unknown(
    fake: FakeKubernetes, manager: FakeCertManager
) -> None:
    """What cannot be verified stays unknown, and unknown matches no selector."""
    owner = {"kind": "Deployment", "apiVersion": "apps/v1", "name": "x", "uid": "1", "controller": True}
    manager.order("shop", "web", owner=owner)
    async with watched(fake) as source:
        assert (await attributed(source, query())).owner == ""
        fake.objects["orders"][("shop", "web-1-7")]["metadata"]["ownerReferences"][0]["controller"] = False
        assert (await attributed(source, query())).name == ""


async def test_a_second_cluster_cannot_claim_the_first_ones_order() -> None:
    """West has copied namespace, issuer status and Order; the credential speaks for prod."""
    async with FakeKubernetes.running() as prod, FakeKubernetes.running() as west:
        for one in (prod, west):
            made = FakeCertManager(one)
            made.namespace("shop")
            made.issuer()
        FakeCertManager(west).order()
        async with watched(prod, west) as source:
            await refused(source, query(), "no Order in cluster prod")
            calls = list(west.calls)
            FakeCertManager(prod).order()
            assert (await attributed(source, query())).cluster == "prod"
            assert west.calls == calls  # it was not even asked

            both = query(binding=None, clusters=("prod", "west"))
            await refused(source, both, "2 Orders in cluster prod or west")
            one = query(binding=None, clusters=("west",))
            assert (await attributed(source, one)).cluster == "west"


async def test_a_credential_stays_in_its_cluster_directory_and_namespaces(
    fake: FakeKubernetes, manager: FakeCertManager
) -> None:
    """Every bound is checked, and none that is unknown falls back to something weaker."""
    manager.order("shop", "web")
    async with watched(fake) as source:
        for binding, clusters, told in (
            (Binding(cluster="prod", namespaces=("pay", "team-*")), (), "does not speak for namespace shop"),
            (Binding(cluster="prod", namespaces=("sho",)), (), "does not speak for namespace shop"),
            (Binding(cluster="prod", namespaces=("",)), (), "does not speak for namespace shop"),
            (Binding(cluster="prod", directories=("other",)), (), "is not for the directory default"),
            (Binding(cluster="prdo", namespaces=("shop",)), (), "knows no cluster prdo"),
            (Binding(cluster="prod"), ("west",), "which the directory default does not serve"),
        ):
            asked = query(binding=binding, clusters=clusters)
            assert source.concerns(asked)
            await refused(source, asked, told)
        for namespaces in ((), ("shop",), ("sh*",), ("*",), ("pay", "s*p")):
            assert (await attributed(source, query(binding=Binding("prod", namespaces)))).namespace == "shop"
        await refused(source, query(disabled_at=1), "is disabled")


async def test_before_there_is_an_order_nothing_is_known(fake: FakeKubernetes, manager: FakeCertManager) -> None:
    """At newOrder and newAuthz: policy is asked at the first authorization fetch."""
    async with watched(fake) as source:
        asked = msgspec.structs.replace(query(), order=None, order_url="")
        calls = len(fake.calls)

        assert await source.attribute(asked) is None
        assert len(fake.calls) <= calls + 1  # the watch may have begun meanwhile


async def _seen(source: KubernetesSource, count: int, *, namespace: str = "") -> None:
    """Until the watch has told that this many Orders carry the URL."""
    async with asyncio.timeout(120):
        while True:
            known = source._finders["prod"].known(URL)
            if len(known) == count and all(namespace in ("", one.namespace) for one in known):
                return
            await asyncio.sleep(0.005)
