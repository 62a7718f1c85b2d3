"""Kubernetes manifests to apply: a credential's Secret, and cert-manager's ClusterIssuer or Issuer. One renderer."""

import base64
from collections.abc import Iterable
from typing import Any

import msgspec
import yaml

CERT_MANAGER = "cert-manager"
"""The namespace where cert-manager looks for the Secrets of ClusterIssuers, unless it was told another one."""
_KEY = "hmac-key"

Manifest = dict[str, Any]


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """An ACME issuer as cert-manager has it. `directory` is a URL, `ca_bundle` PEM; empty means the system's trust."""

    kind: str = "ClusterIssuer"
    name: str = "acme-ra"
    namespace: str = CERT_MANAGER  # where its Secrets are; an Issuer's own
    directory: str
    ca_bundle: bytes = b""
    kid: str
    secret: str
    profile: str = ""
    solvers: tuple[Manifest, ...] = ()

    @property
    def account_secret(self) -> str:
        """Where cert-manager keeps the account's key, which it makes itself."""
        return f"{self.name}-account"

    def manifest(self) -> Manifest:
        metadata = {"name": self.name} | ({} if self.kind == "ClusterIssuer" else {"namespace": self.namespace})
        acme: Manifest = {"server": self.directory}
        if self.ca_bundle:
            acme["caBundle"] = base64.b64encode(self.ca_bundle).decode("ascii")
        acme["privateKeySecretRef"] = {"name": self.account_secret}
        acme["externalAccountBinding"] = {"keyID": self.kid, "keySecretRef": {"name": self.secret, "key": _KEY}}
        if self.profile:
            acme["profile"] = self.profile
        acme["solvers"] = list(self.solvers)
        return {
            "apiVersion": "cert-manager.io/v1",
            "kind": self.kind,
            "metadata": metadata,
            "spec": {"acme": acme},
        }


def credential_secret(name: str, hmac_key: str, *, namespace: str = CERT_MANAGER) -> Manifest:
    """The Secret that an issuer's keySecretRef names. `hmac_key` is unpadded base64url, or no Issuer gets ready."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "stringData": {_KEY: hmac_key},
    }


def secret_name(name: str) -> str:
    """A Kubernetes object name made of a credential's name."""
    cleaned = "".join(char if char.isascii() and char.isalnum() else "-" for char in name.lower()).strip("-")
    return f"acme-ra-eab-{cleaned[:40].strip('-')}" if cleaned else "acme-ra-eab"


def render(manifests: Iterable[Manifest]) -> str:
    """YAML documents for `kubectl apply -f -`."""
    return "---\n".join(
        yaml.safe_dump(one, sort_keys=False, default_flow_style=False, width=1_000_000) for one in manifests
    )
