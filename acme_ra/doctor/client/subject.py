"""What the checks of a cluster and of an issuer look at."""

import msgspec

from acme_ra.config import Configuration
from acme_ra.doctor.client.view import Object, View
from acme_ra.doctor.directory import Reached, Unreachable
from acme_ra.kubernetes.connection import Connection


class ClusterSide(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster as somebody with a kubeconfig sees it. `configuration` is the server's, where it is at hand."""

    view: View
    connection: Connection | None
    configuration: Configuration | None
    cluster: str  # its name in credentials and policies; "" where that is not known


class IssuerSide(msgspec.Struct, frozen=True, kw_only=True):
    """One ClusterIssuer or Issuer that is there. `secrets` is where cert-manager looks for its Secrets."""

    side: ClusterSide
    kind: str
    issuer: Object
    secrets: str
    bundle: bytes | None  # what caBundle holds; None when it cannot be read
    reached: Reached | Unreachable

    @property
    def acme(self) -> Object:
        return self.issuer["spec"]["acme"] or {}

    @property
    def name(self) -> str:
        return str(self.issuer["metadata"]["name"])

    @property
    def directory(self) -> str:
        """The last but one part of the directory's URL: its name, if the server is one of ours."""
        parts = str(self.acme.get("server", "")).rstrip("/").split("/")
        return parts[-2] if len(parts) > 2 and parts[-1] == "directory" else ""

    @property
    def kid(self) -> str:
        return str((self.acme.get("externalAccountBinding") or {}).get("keyID", ""))
