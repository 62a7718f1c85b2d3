"""cert-manager's resources: what is read of them."""

import base64
import binascii
import re

import msgspec

from acme_ra.kubernetes.resources import Metadata, Resource

ORDERS = Resource("acme.cert-manager.io", "v1", "orders")
CERTIFICATE_REQUESTS = Resource("cert-manager.io", "v1", "certificaterequests")
CERTIFICATES = Resource("cert-manager.io", "v1", "certificates")
ISSUERS = Resource("cert-manager.io", "v1", "issuers")
CLUSTER_ISSUERS = Resource("cert-manager.io", "v1", "clusterissuers")
CERT_MANAGER = "cert-manager.io"
_PEM = re.compile(rb"-----BEGIN [A-Z0-9 ]*CERTIFICATE REQUEST-----(.*?)-----END", re.DOTALL)


class IssuerRef(msgspec.Struct, frozen=True):
    """Absent fields have the defaults of cert-manager's API."""

    name: str
    kind: str = ""
    group: str = ""

    @property
    def resource(self) -> Resource | None:
        """Issuers or ClusterIssuers; None for what is neither."""
        if self.group not in ("", CERT_MANAGER):
            return None
        return {"": ISSUERS, "Issuer": ISSUERS, "ClusterIssuer": CLUSTER_ISSUERS}.get(self.kind)

    @property
    def same(self) -> tuple[str, str, str]:
        """For comparison: with its defaults written out."""
        return self.name, self.kind or "Issuer", self.group or CERT_MANAGER

    def __str__(self) -> str:
        return f"{self.kind or 'Issuer'} {self.name}"


class Requested(msgspec.Struct, frozen=True, rename="camel"):
    """The spec of an Order and of a CertificateRequest. `username` is who made the latter, by the webhook."""

    request: str
    issuer_ref: IssuerRef
    username: str = ""


class OrderStatus(msgspec.Struct, frozen=True):
    url: str = ""


class OrderObject(msgspec.Struct, frozen=True):
    metadata: Metadata
    spec: Requested
    status: OrderStatus | None = None

    @property
    def url(self) -> str:
        return "" if self.status is None else self.status.url


class CertificateRequestObject(msgspec.Struct, frozen=True):
    metadata: Metadata
    spec: Requested


class AcmeStatus(msgspec.Struct, frozen=True):
    uri: str = ""


class IssuerStatus(msgspec.Struct, frozen=True):
    acme: AcmeStatus | None = None


class IssuerObject(msgspec.Struct, frozen=True):
    metadata: Metadata
    status: IssuerStatus | None = None

    @property
    def account(self) -> str:
        """The ACME account's URL, or "" before it is registered."""
        return "" if self.status is None or self.status.acme is None else self.status.acme.uri


# What the watch keeps of an Order, and how little of it is parsed for that.


class _SeenMetadata(msgspec.Struct, frozen=True):
    name: str
    namespace: str
    uid: str


class SeenObject(msgspec.Struct, frozen=True):
    metadata: _SeenMetadata
    status: OrderStatus | None = None


class SeenOrder(msgspec.Struct, frozen=True, gc=False):
    namespace: str
    name: str
    uid: str
    url: str

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @classmethod
    def of(cls, seen: SeenObject) -> "SeenOrder":
        metadata = seen.metadata
        return cls(metadata.namespace, metadata.name, metadata.uid, "" if seen.status is None else seen.status.url)


def csr_of(request: str) -> bytes | None:
    """`spec.request` as DER: base64 of PEM, or of DER, as cert-manager reads it. None when it is neither."""
    try:
        raw = base64.b64decode(request, validate=True)
        if b"-----BEGIN" not in raw:
            return raw or None
        found = _PEM.search(raw)
        return None if found is None else base64.b64decode(b"".join(found[1].split()), validate=True)
    except (binascii.Error, ValueError):
        return None
