"""What cert-manager leaves in a cluster, written into a fake API server; and sources that look at it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from acme_ra.attribution.contract import AttributionQuery
from acme_ra.attribution.sources.kubernetes.source import KubernetesSource
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.objects import Account, Binding, Credential, Order
from acme_ra.core.request import Workload
from acme_ra.core.status import AccountStatus, OrderStatus
from acme_ra.kubernetes.clusters import Clusters
from tests.support.fake_kubernetes import FakeKubernetes, Object, pem_of_csr
from tests.support.ra import make_csr

NOW = 1_795_000_000_000
URL = "https://ra.test/acme/default/order/1.AAAAAAAAAAAAAAAA"
ACCOUNT = "https://ra.test/acme/default/account/1.ssssssssssssssss"
CSR = make_csr(ec.generate_private_key(ec.SECP256R1()), "web.shop.svc")
OTHER_CSR = make_csr(ec.generate_private_key(ec.SECP256R1()), "web.shop.svc")


def reference(kind: str, api_version: str, owner: Object) -> Object:
    """A controller's ownerReference."""
    metadata = owner["metadata"]
    told = {"name": metadata["name"], "uid": metadata["uid"], "kind": kind, "apiVersion": api_version}
    return told | {"controller": True, "blockOwnerDeletion": True}


class FakeCertManager:
    """The objects of one cluster. `order` makes the chain that cert-manager makes for a Certificate."""

    def __init__(self, fake: FakeKubernetes) -> None:
        self.fake = fake

    def namespace(self, name: str, **labels: str) -> Object:
        return self.fake.put("namespaces", {"metadata": {"name": name, "labels": labels}})

    def issuer(self, account: str = ACCOUNT, *, name: str = "acme-ra", namespace: str = "") -> Object:
        """A ClusterIssuer, or an Issuer where a namespace is given."""
        metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
        status = {"acme": {"uri": account}} if account else {}
        return self.fake.put("issuers" if namespace else "clusterissuers", {"metadata": metadata, "status": status})

    def ingress(self, namespace: str, name: str, *hosts: str, tls: tuple[str, ...] = ()) -> Object:
        spec = {"rules": [{"host": host} for host in hosts], "tls": [{"hosts": list(tls)}]}
        return self.fake.put("ingresses", {"metadata": {"namespace": namespace, "name": name}, "spec": spec})

    def certificate(self, namespace: str, name: str, owner: Object | None = None) -> Object:
        metadata: Object = {"namespace": namespace, "name": name}
        if owner is not None:
            metadata["ownerReferences"] = [owner]
        return self.fake.put("certificates", {"metadata": metadata, "spec": {}})

    def order(
        self,
        namespace: str = "shop",
        name: str = "web",
        *,
        url: str = URL,
        csr: bytes = CSR,
        owner: Object | None = None,
        **spec: Any,
    ) -> Object:
        """Certificate NAME, CertificateRequest NAME-1, Order NAME-1-7; `spec` changes the Order's."""
        certificate = self.certificate(namespace, name, owner)
        asked = {"request": pem_of_csr(csr), "issuerRef": {"name": "acme-ra", "kind": "ClusterIssuer"}}
        request = self.fake.put(
            "certificaterequests",
            {
                "metadata": {
                    "namespace": namespace,
                    "name": f"{name}-1",
                    "ownerReferences": [reference("Certificate", "cert-manager.io/v1", certificate)],
                },
                "spec": {**asked, **spec, "username": f"system:serviceaccount:{namespace}:dev"},
            },
        )
        owners = [reference("CertificateRequest", "cert-manager.io/v1", request)]
        return self.bare_order(namespace, f"{name}-1-7", url=url, owners=owners, **{**asked, **spec})

    def bare_order(
        self, namespace: str, name: str, *, url: str = URL, owners: list[Object] | None = None, **spec: Any
    ) -> Object:
        """An Order alone, as somebody with a text editor writes it."""
        asked = {"request": pem_of_csr(CSR), "issuerRef": {"name": "acme-ra", "kind": "ClusterIssuer"}}
        metadata: Object = {"namespace": namespace, "name": name}
        if owners:
            metadata["ownerReferences"] = owners
        status = {"url": url, "state": "pending"} if url else {}
        return self.fake.put("orders", {"metadata": metadata, "spec": {**asked, **spec}, "status": status})


@contextlib.asynccontextmanager
async def watched(*fakes: FakeKubernetes, **more: Any) -> AsyncIterator[KubernetesSource]:
    """A source over these clusters, called `prod`, `west`, `third`; it has seen all that is there."""
    names = ("prod", "west", "third")
    clusters = Clusters({name: fake.client(name, **more) for name, fake in zip(names, fakes, strict=False)})
    source = KubernetesSource(clusters)
    await source.start()
    try:
        assert await source.wait_synced(120)
        yield source
    finally:
        await source.close()
        await clusters.close()


def query(
    *,
    binding: Binding | None = Binding(cluster="prod"),  # noqa: B008  frozen
    clusters: tuple[str, ...] = (),
    url: str = URL,
    account: str = ACCOUNT,
    csr: bytes | None = None,
    before: Workload | None = None,
    disabled_at: int | None = None,
) -> AttributionQuery:
    """What registration asks at an authorization fetch; at finalize with `csr` and the workload of `before`."""
    credential = None
    if binding is not None:
        credential = Credential(1, "kid-1", "prod-issuer", binding, b"", 0, None, disabled_at, None, 1)
    order = Order(
        id=1,
        secret="A" * 16,
        directory="default",
        account_id=1,
        status=OrderStatus.PENDING,
        identifiers=(Identifier(IdentifierType.DNS, "web.shop.svc"),),
        authorizations=(),
        not_before=None,
        not_after=None,
        profile="",
        replaces="",
        workload=before,
        created_at=NOW,
        expires_at=NOW + 1,
    )
    return AttributionQuery(
        directory="default",
        account=Account(1, "s" * 16, "default", "t", b"{}", AccountStatus.VALID, (), 1, None, 0),
        credential=credential,
        order=order,
        order_url=url,
        csr=csr,
        account_url=account,
        clusters=clusters,
    )
