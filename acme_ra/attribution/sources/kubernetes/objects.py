"""cert-manager's resources: what is read of them."""

import base64
import binascii
import re
import sys

import msgspec

from acme_ra.kubernetes.resources import Metadata, OwnerReference, Resource, controller_of

ORDERS = Resource("acme.cert-manager.io", "v1", "orders")
CERTIFICATE_REQUESTS = Resource("cert-manager.io", "v1", "certificaterequests")
CERTIFICATES = Resource("cert-manager.io", "v1", "certificates")
ISSUERS = Resource("cert-manager.io", "v1", "issuers")
CLUSTER_ISSUERS = Resource("cert-manager.io", "v1", "clusterissuers")
CERT_MANAGER = "cert-manager.io"
#: Of a name, kind, group with version, or UID: no object of Kubernetes has a longer one, but for the slash.
MAX_NAME = 320
MAX_URL = 2048  # ours are shorter
_PEM = re.compile(rb"-----BEGIN [A-Z0-9 ]*CERTIFICATE REQUEST-----(.*?)-----END", re.DOTALL)


class IssuerRef(msgspec.Struct, frozen=True):
    """Absent fields have the defaults of cert-manager's API; without a name it leads nowhere."""

    name: str = ""
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


class _SeenMetadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    namespace: str
    uid: str
    owner_references: tuple[OwnerReference, ...] | None = None


class _SeenSpec(msgspec.Struct, frozen=True, rename="camel"):
    issuer_ref: IssuerRef = IssuerRef()


class SeenObject(msgspec.Struct, frozen=True):
    """Of any Order, whatever it lacks: one that cannot be read would keep all others from being seen."""

    metadata: _SeenMetadata
    spec: _SeenSpec = _SeenSpec()
    status: OrderStatus | None = None


class SeenOrder(msgspec.Struct, frozen=True, gc=False):
    """An Order as it was a moment ago. What it leads to says where to look; only a live look counts."""

    namespace: str
    name: str
    uid: str
    url: str
    issuer: tuple[str, str, str]  # name, kind and group, as they were written
    owner: tuple[str, str, str, str] | None  # the controller: apiVersion, kind, name, uid

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def issuer_ref(self) -> IssuerRef:
        return IssuerRef(*self.issuer)

    @property
    def controller(self) -> OwnerReference | None:
        return None if self.owner is None else OwnerReference(*self.owner, controller=True)

    @classmethod
    def of(cls, order: "SeenObject | OrderObject") -> "SeenOrder":
        metadata, issuer = order.metadata, order.spec.issuer_ref
        owner = controller_of(metadata.owner_references)
        return cls(
            sys.intern(_kept(metadata.namespace)),
            _kept(metadata.name),
            _kept(metadata.uid),
            "" if order.status is None else _kept(order.status.url, MAX_URL),
            (sys.intern(_kept(issuer.name)), sys.intern(_kept(issuer.kind)), sys.intern(_kept(issuer.group))),
            None
            if owner is None
            else (
                sys.intern(_kept(owner.api_version)),
                sys.intern(_kept(owner.kind)),
                _kept(owner.name),
                _kept(owner.uid),
            ),
        )


def _kept(text: str, most: int = MAX_NAME) -> str:
    """Whoever writes an Order says how long its texts are. What is longer than any name leads nowhere, as none does."""
    return text if len(text) <= most else ""


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
