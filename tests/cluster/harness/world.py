"""Everything that a developer's Certificate meets: cluster, cert-manager, acme-ra, bind9, an http-01 responder."""

import base64
import ipaddress
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509

from tests.clients.certificates import issued
from tests.cluster.harness.api import RA, Object
from tests.cluster.harness.cert_manager import NAMESPACE, CertManager, running_cert_manager
from tests.cluster.harness.control_plane import Cluster
from tests.cluster.harness.describe import condition, conditions, describe_all
from tests.cluster.harness.http01 import Responder, running_responder
from tests.support.bind import KEY_NAME, Bind, named
from tests.support.processes import PATIENCE, free_port, wait_for
from tests.support.server import Ports, Server, served

POLICIES = Path(__file__).with_name("policies.yaml")
ISSUER = "acme-ra"
# What acme-ra may do in a cluster, and no more (tests/cluster/test_deploy.py holds the manifests to the same).
RA_RULES: list[Object] = [
    {"apiGroups": [group], "resources": resources, "verbs": verbs}
    for group, resources, verbs in (
        ("acme.cert-manager.io", ["orders"], ["get", "list", "watch"]),
        ("cert-manager.io", ["certificaterequests", "certificates", "issuers", "clusterissuers"], ["get"]),
        ("", ["namespaces"], ["get"]),
        ("networking.k8s.io", ["ingresses"], ["get", "list"]),
        ("gateway.networking.k8s.io", ["gateways"], ["get", "list"]),
        ("gateway.networking.k8s.io", ["httproutes", "tlsroutes"], ["list"]),
        ("", ["events"], ["create"]),
    )
]
BY_HTTP = {"solve": "http"}
"""Labels of a Certificate that is to be proved by http-01; all others are by dns-01."""


@dataclass(frozen=True)
class World:
    """One cluster with one acme-ra; a second cluster may share the acme-ra."""

    cluster: Cluster
    server: Server
    bind: Bind
    started: CertManager | None
    responder: Responder
    metrics: str  # URL

    @property
    def manager(self) -> CertManager:
        assert self.started is not None, "cert-manager was not started in this cluster"
        return self.started

    # The platform engineer's part

    def issuer_manifest(self, *options: str) -> list[Object]:
        """What `acme-ra issuer manifest` prints for this cluster."""
        text = self.server.cli(
            "issuer", "manifest", "--cluster", self.cluster.name, *options, "--config", str(self.server.prepared.config)
        )
        return [document for document in yaml.safe_load_all(text) if document]

    def issuer(self, *options: str, **acme: Any) -> Object:
        """Apply what `acme-ra issuer manifest` prints, with solvers that work here, and wait until it is ready.

        `acme` are further fields of `spec.acme`.
        """
        issuer: Object = {}
        for document in self.issuer_manifest(*options):
            if document["kind"] in ("ClusterIssuer", "Issuer"):
                issuer = document
                document["spec"]["acme"].update({"solvers": self.solvers(), **acme})
            self.cluster.apply(document)
        meta = issuer["metadata"]
        self._tsig_key(meta.get("namespace", NAMESPACE))
        return self.cluster.wait(issuer["kind"], meta["name"], meta.get("namespace"), until=condition("Ready"))

    def solvers(self) -> list[Object]:
        """dns-01 by dynamic update; http-01 for Certificates that ask for it by a label.

        cert-manager's own check of dns-01 ends with a minute of sleep, so it is left out.
        """
        key = {"name": "tsig", "key": "key"}
        server = {"nameserver": f"127.0.0.1:{self.bind.port}", "tsigSecretSecretRef": key}
        rfc2136 = {**server, "tsigKeyName": KEY_NAME, "tsigAlgorithm": "HMACSHA256"}
        return [
            {"dns01": {"rfc2136": rfc2136}, "waitInsteadOfSelfCheck": "0s"},
            {
                "selector": {"matchLabels": BY_HTTP},
                "http01": {"ingress": {"ingressClassName": "none"}},
                "waitInsteadOfSelfCheck": "0s",
            },
        ]

    def _tsig_key(self, namespace: str) -> None:
        meta = {"name": "tsig", "namespace": namespace}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta}
        self.cluster.apply({**secret, "stringData": {"key": self.bind.secret}})

    # The developer's part

    def ask(
        self, namespace: str, name: str, *names: str, labels: Mapping[str, str] | None = None, **spec: Any
    ) -> Object:
        """Apply a Certificate for these DNS names and addresses; `spec` are further fields of it."""
        asked: Object = {"secretName": f"{name}-tls", "issuerRef": {"name": ISSUER, "kind": "ClusterIssuer"}}
        asked["privateKey"] = {"algorithm": "ECDSA", "size": 256}
        for field, wanted in (("dnsNames", False), ("ipAddresses", True)):
            if found := [one for one in names if _is_address(one) is wanted]:
                asked[field] = found
        meta = {"name": name, "namespace": namespace, "labels": dict(labels or {})}
        certificate = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": meta}
        return self.cluster.apply({**certificate, "spec": {**asked, **spec}})

    def ready(self, namespace: str, name: str, *, seconds: float = PATIENCE) -> x509.Certificate:
        """The leaf, once the Certificate is ready: for its names, and chaining to the server's CA."""

        def look() -> Object | None:
            found = self.cluster.get("Certificate", name, namespace)
            told = conditions(found)
            failed = told.get("Issuing", {}).get("status") == "False"
            assert not failed, f"the Certificate failed\n{self.described(namespace, name)}"
            return found if condition("Ready")(found) and "Issuing" not in told else None

        certificate = wait_for(
            look,
            what=f"Certificate {namespace}/{name} ready",
            seconds=seconds,
            every=0.1,
            log=lambda: self.described(namespace, name),
        )
        return self.held(certificate)

    def held(self, certificate: Object) -> x509.Certificate:
        """The leaf in the Certificate's Secret, checked."""
        spec, meta = certificate["spec"], certificate["metadata"]
        data = self.cluster.get("Secret", spec["secretName"], meta["namespace"])["data"]
        chain = self.cluster.root / f"{meta['namespace']}-{meta['name']}.pem"
        chain.write_bytes(base64.b64decode(data["tls.crt"]))
        return issued(self.server, chain, {*spec.get("dnsNames", ()), *spec.get("ipAddresses", ())})

    def refused(self, namespace: str, name: str, *, seconds: float = PATIENCE) -> str:
        """What the Certificate's condition says, once its request has failed for good."""

        def look() -> str | None:
            told = conditions(self.cluster.get("Certificate", name, namespace))
            assert told.get("Ready", {}).get("status") != "True", f"{namespace}/{name} was issued"
            issuing = told.get("Issuing", {})
            return str(issuing["message"]) if issuing.get("status") == "False" else None

        return wait_for(
            look,
            what=f"the refusal of Certificate {namespace}/{name}",
            seconds=seconds,
            every=0.1,
            log=lambda: self.described(namespace, name),
        )

    def described(self, namespace: str, name: str) -> str:
        """What a developer would look at, and the ends of the logs."""
        return "\n".join((describe_all(self.cluster, name, namespace), self.server.log(), self.manager.log()))


def build_world(stack: ExitStack, root: Path, cluster: Cluster, *others: Cluster) -> World:
    """Start what is not the cluster; the stack stops it. acme-ra knows the others too, which need not run yet."""
    ports = Ports()
    metrics = f"127.0.0.1:{free_port()}"
    clusters = (cluster, *others)

    def configure(document: dict[str, Any]) -> None:
        document["policies"]["path"] = str(POLICIES)
        document["metrics"] = {"listen": metrics}
        document["approvers"] = {"security": ["anna", "ben"]}
        document["clusters"] = {
            one.name: {"kubeconfig": str(one.kubeconfig_of(RA)), "events": True} for one in clusters
        }

    bind = stack.enter_context(named(root, ports.dns))
    responder = stack.enter_context(running_responder(ports.http01, *clusters))
    server = stack.enter_context(served(root, ports=ports, change=configure))
    return join_world(stack, World(cluster, server, bind, None, responder, f"http://{metrics}/metrics"))


def join_world(stack: ExitStack, world: World, cluster: Cluster | None = None) -> World:
    """Start cert-manager in the world's cluster, or in another one that the same acme-ra serves."""
    cluster = cluster or world.cluster
    cluster.grant(RA.name, "tests-acme-ra", RA_RULES)
    resolver = f"127.0.0.1:{world.bind.port}"
    manager = running_cert_manager(cluster, resolver=resolver, proxy=world.responder.url)
    return replace(world, cluster=cluster, started=stack.enter_context(manager))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
