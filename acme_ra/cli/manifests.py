"""Kubernetes manifests to paste: the credential's Secret, and cert-manager's ClusterIssuer."""

import base64

import yaml


def credential_secret(name: str, hmac_key: str) -> str:
    """The Secret that a ClusterIssuer's keySecretRef names, in cert-manager's own namespace."""
    return _render(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": "cert-manager"},
            "type": "Opaque",
            "stringData": {"hmac-key": hmac_key},
        }
    )


def cluster_issuer(*, directory: str, ca_bundle: bytes, kid: str, secret_name: str) -> str:
    """A ClusterIssuer for one directory; the solver is used only for names whose policy asks for a challenge."""
    return _render(
        {
            "apiVersion": "cert-manager.io/v1",
            "kind": "ClusterIssuer",
            "metadata": {"name": "acme-ra"},
            "spec": {
                "acme": {
                    "server": directory,
                    "caBundle": base64.b64encode(ca_bundle).decode("ascii"),
                    "privateKeySecretRef": {"name": "acme-ra-account"},
                    "externalAccountBinding": {
                        "keyID": kid,
                        "keySecretRef": {"name": secret_name, "key": "hmac-key"},
                    },
                    "solvers": [{"http01": {"ingress": {"ingressClassName": "nginx"}}}],
                }
            },
        }
    )


def secret_name(name: str) -> str:
    """A Kubernetes object name made of a credential's name."""
    cleaned = "".join(char if char.isascii() and char.isalnum() else "-" for char in name.lower()).strip("-")
    return f"acme-ra-eab-{cleaned[:40].strip('-')}" if cleaned else "acme-ra-eab"


def _render(manifest: dict[str, object]) -> str:
    return yaml.safe_dump(manifest, sort_keys=False, default_flow_style=False, width=1_000_000)
