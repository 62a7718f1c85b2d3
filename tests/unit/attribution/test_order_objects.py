"""What is read of an Order: its CSR in every form that cert-manager takes, and nothing else as one."""

import base64

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from acme_ra.attribution.credentials import namespace_allowed
from acme_ra.attribution.sources.kubernetes.objects import IssuerRef, OrderObject, SeenObject, SeenOrder, csr_of
from acme_ra.core.objects import Binding, Credential
from tests.support.ra import make_csr

DER = make_csr(ec.generate_private_key(ec.SECP256R1()), "web.shop.svc")
PEM = x509.load_der_x509_csr(DER).public_bytes(Encoding.PEM)
OTHER = make_csr(ec.generate_private_key(ec.SECP256R1()), "web.shop.svc")
OTHER_PEM = x509.load_der_x509_csr(OTHER).public_bytes(Encoding.PEM)


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    "raw",
    [
        PEM,
        DER,
        PEM.replace(b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST"),
        PEM.replace(b"\n", b"\r\n"),
        b"a comment\n" + PEM,
        PEM + OTHER_PEM,  # cert-manager takes the first
    ],
)
def test_a_csr_is_read_as_cert_manager_reads_it(raw: bytes) -> None:
    assert csr_of(b64(raw)) == DER


@pytest.mark.parametrize(
    "text",
    [
        "",
        "%%%",
        b64(PEM)[:-3],
        b64(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END"),
        b64(PEM.replace(b"-----END", b"--")),
    ],
)
def test_what_is_no_csr_equals_none(text: str) -> None:
    """Not even the empty one."""
    assert csr_of(text) is None


def test_the_second_csr_of_a_request_is_not_the_one() -> None:
    assert csr_of(b64(OTHER_PEM + PEM)) == OTHER


def test_an_issuer_ref_has_the_defaults_of_its_api() -> None:
    """Issuer in cert-manager's group, unless something else is said; anything else leads nowhere."""
    assert IssuerRef("a").same == IssuerRef("a", "Issuer", "cert-manager.io").same
    assert IssuerRef("a").resource is IssuerRef("a", "Issuer").resource
    assert IssuerRef("a", "ClusterIssuer").resource is not IssuerRef("a").resource
    assert IssuerRef("a", "clusterissuer").resource is None
    assert IssuerRef("a", "Issuer", "example.test").resource is None


def test_the_watch_and_the_live_look_see_the_same() -> None:
    """They are compared: what differs is looked at again."""
    owner = {"apiVersion": "cert-manager.io/v1", "kind": "CertificateRequest", "name": "web-1", "uid": "2"}
    raw = msgspec.json.encode(
        {
            "metadata": {
                "name": "web-1-7",
                "namespace": "shop",
                "uid": "1",
                "ownerReferences": [{**owner, "uid": "3"}, {**owner, "controller": True}],
            },
            "spec": {"request": "AAAA", "issuerRef": {"name": "acme-ra", "kind": "ClusterIssuer"}},
            "status": {"url": "https://ra.test/1", "state": "pending"},
        }
    )

    seen = SeenOrder.of(msgspec.json.decode(raw, type=SeenObject))

    assert seen == SeenOrder.of(msgspec.json.decode(raw, type=OrderObject))
    assert seen.owner == ("cert-manager.io/v1", "CertificateRequest", "web-1", "2")
    assert seen.controller is not None
    assert seen.controller.controller


@pytest.mark.parametrize(
    ("globs", "namespace", "allowed"),
    [
        ((), "shop", True),
        (("shop",), "shop", True),
        (("shop",), "shop-2", False),
        (("sh*",), "shop", True),
        (("*",), "shop", True),
        (("*",), "", False),
        (("s.op",), "shop", False),
        (("[s]hop",), "shop", False),
        (("shop\n",), "shop", False),
        (("team-*", "pay"), "pay", True),
    ],
)
def test_a_bindings_namespaces_are_limits(globs: tuple[str, ...], namespace: str, allowed: bool) -> None:
    """Globs with `*` only: no other character means anything but itself."""
    credential = Credential(1, "kid", "name", Binding("prod", globs), b"", 0, None, None, None, 1)
    assert namespace_allowed(credential, namespace) is allowed


def test_what_the_watch_keeps_of_an_order_has_a_size() -> None:
    """Memory for each Order, however long its texts are; what is too long leads nowhere."""
    long = "x" * 1_000_000
    owner = {"apiVersion": long, "kind": long, "name": long, "uid": long, "controller": True}
    order = {
        "metadata": {"name": long, "namespace": long, "uid": long, "ownerReferences": [owner]},
        "spec": {"issuerRef": {"name": long, "kind": long, "group": long}},
        "status": {"url": long},
    }

    seen = SeenOrder.of(msgspec.convert(order, SeenObject))

    assert seen == SeenOrder("", "", "", "", ("", "", ""), ("", "", "", ""))


def test_what_the_watch_keeps_of_an_order_is_whole() -> None:
    """The longest that Kubernetes and cert-manager write."""
    name, url = "n" * 253, "https://ra.example.test/" + "u" * 2000
    owner = {"apiVersion": "cert-manager.io/v1", "kind": "CertificateRequest", "name": name, "uid": "u"}
    controller = {**owner, "controller": True}
    order = {
        "metadata": {"name": name, "namespace": "n" * 63, "uid": "o", "ownerReferences": [controller]},
        "spec": {"issuerRef": {"name": name, "kind": "ClusterIssuer", "group": "cert-manager.io"}},
        "status": {"url": url},
    }

    seen = SeenOrder.of(msgspec.convert(order, SeenObject))

    assert (seen.name, seen.url, seen.issuer[0]) == (name, url, name)
    assert seen.controller is not None
    assert (seen.controller.name, seen.controller.kind) == (name, "CertificateRequest")
