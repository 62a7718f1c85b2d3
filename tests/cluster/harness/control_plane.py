"""etcd and kube-apiserver as processes on loopback; one etcd serves several API servers, by prefix."""

import datetime
import ipaddress
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.cluster.harness.api import ADMIN, APPLY, USERS, Api, ApiError, Object, User, documents, query
from tests.peers.build import module_folder, peer
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, Process, listening, wait_for

# Requests of these users are written to the audit log of the API server, so that tests can count them.
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
  users: [acme-ra, cert-manager]
- level: None
"""
GATEWAY_KINDS = ("gatewayclasses", "gateways", "httproutes", "tlsroutes", "grpcroutes", "referencegrants")


class Etcd:
    """A running etcd that writes without fsync: what it holds lives as long as the tests do."""

    def __init__(self, root: Path) -> None:
        self.port = free_port()
        client, member = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{free_port()}"
        argv: list[str | Path] = [peer("etcd"), "--name=one", f"--data-dir={root / 'etcd'}", "--unsafe-no-fsync"]
        argv += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}", "--log-level=warn"]
        argv += [f"--listen-peer-urls={member}", f"--initial-advertise-peer-urls={member}"]
        argv += [f"--initial-cluster=one={member}"]
        self.process = Process(argv, name="etcd", logs=root / "logs")
        try:
            wait_for(self._answers, what="etcd's first connection", log=self.process.log)
        except BaseException:
            self.process.kill()
            raise

    def _answers(self) -> bool:
        assert self.process.running(), f"etcd ended at once\n{self.process.log()}"
        return listening(self.port)


class Cluster:
    """One API server. `stop` and `start` may be repeated: the port and everything in etcd stay."""

    def __init__(self, root: Path, etcd: Etcd, name: str) -> None:
        self.name = name
        self.root = root / name
        self.root.mkdir(parents=True)
        self.port = free_port()
        self.ca = self.root / "ca.pem"
        self._etcd = etcd
        self._process: Process | None = None
        _write_keys(self.root)
        (self.root / "audit-policy.yaml").write_text(AUDIT_POLICY)
        rows = [f'{user.token},{user.name},{user.name},"{",".join(user.groups)}"' for user in USERS]
        (self.root / "tokens.csv").write_text("\n".join(rows) + "\n")
        self._api = Api(self.port, ssl.create_default_context(cafile=str(self.ca)))

    # The process

    def start(self) -> None:
        """Serve, and wait until it is ready."""
        at = self.root
        argv: list[str | Path] = [peer("kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{self._etcd.port}"]
        argv += [f"--etcd-prefix=/{self.name}", "--bind-address=127.0.0.1", f"--secure-port={self.port}"]
        argv += [f"--tls-cert-file={at / 'server.pem'}", f"--tls-private-key-file={at / 'server.key'}"]
        argv += [f"--cert-dir={at}", "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/24"]
        argv += [f"--token-auth-file={at / 'tokens.csv'}", "--authorization-mode=RBAC"]
        argv += [f"--service-account-issuer={self.url}", f"--service-account-key-file={at / 'accounts.key'}"]
        argv += [f"--service-account-signing-key-file={at / 'accounts.key'}"]
        # Nothing makes ServiceAccounts here, so the plugin that gives pods one would refuse every pod.
        argv += ["--disable-admission-plugins=ServiceAccount"]
        argv += [f"--audit-policy-file={at / 'audit-policy.yaml'}", f"--audit-log-path={self.audit_log}"]
        self._process = Process(argv, name=f"kube-apiserver-{self.name}", logs=self.root / "logs")
        wait_for(self._ready, what=f"the API server of {self.name}", every=0.2, log=self.log)

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.running(), f"kube-apiserver ended at once\n{self.log()}"
        try:
            return bool(self.api("GET", "/readyz", seconds=60) == "ok")
        except (OSError, ApiError):
            return False

    def stop(self) -> None:
        """Gone at once, as when its machine fails: nobody is told, every connection breaks."""
        if self._process is not None:
            self._process.kill()

    def running(self) -> bool:
        return self._process is not None and self._process.running()

    def log(self) -> str:
        return "" if self._process is None else self._process.log(lines=20)

    # Where it is, and who may come

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        return self.kubeconfig_of(ADMIN)

    def kubeconfig_of(self, user: User | str) -> Path:
        """A kubeconfig file of a static user, or of anybody with this token."""
        name, token = (user.name, user.token) if isinstance(user, User) else ("token", user)
        path = self.root / f"kubeconfig-{name}.yaml"
        cluster = {"server": self.url, "certificate-authority": str(self.ca)}
        context = {"cluster": self.name, "user": name}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": self.name, "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": self.name, "context": context}],
            "current-context": self.name,
        }
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return path

    def token_file(self, token: str, name: str = "token") -> Path:
        path = self.root / name
        path.write_text(token)
        return path

    def service_account(self, namespace: str, name: str, *, seconds: int = 3600) -> str:
        """A token for a ServiceAccount, which is made when it is not there; user `system:serviceaccount:NS:NAME`."""
        self.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}})
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        told = self.api("POST", path, {"spec": {"expirationSeconds": seconds}})
        token: str = told["status"]["token"]
        return token

    def grant(self, user: str, name: str, rules: list[Object], *, namespace: str | None = None) -> None:
        """A role with these rules, bound to the user: in one namespace, or in the whole cluster."""
        prefix, where = ("", {"namespace": namespace}) if namespace else ("Cluster", {})
        meta = {"name": name, **where}
        group = "rbac.authorization.k8s.io"
        self.apply({"apiVersion": f"{group}/v1", "kind": f"{prefix}Role", "metadata": meta, "rules": rules})
        subject = {"kind": "User", "name": user, "apiGroup": group}
        role = {"kind": f"{prefix}Role", "name": name, "apiGroup": group}
        binding = {"metadata": meta, "subjects": [subject], "roleRef": role}
        self.apply({"apiVersion": f"{group}/v1", "kind": f"{prefix}RoleBinding", **binding})

    # Objects

    def api(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Any request; see Api.call."""
        return self._api.call(method, path, body, **more)

    def apply(self, manifest: str | Mapping[str, Any], **who: Any) -> Object:
        """Server-side apply of an object, or of a YAML text with several; the last object as the server has it."""
        applied: Object = {}
        for document in documents(manifest):
            meta = document["metadata"]
            resource = self._api.resource(document["kind"], document["apiVersion"])
            namespace = meta.get("namespace", "default") if resource.namespaced else None
            path = resource.path(namespace, meta["name"]) + query(fieldManager="tests", force="true")
            applied = self.api("PATCH", path, json.dumps(document), content_type=APPLY, **who)
        return applied

    def get(self, kind: str, name: str, namespace: str | None = None, **who: Any) -> Object:
        found: Object = self.api("GET", self._api.resource(kind).path(namespace, name), **who)
        return found

    def objects(
        self, kind: str, namespace: str | None = None, *, metadata_only: bool = False, **who: Any
    ) -> list[Object]:
        """The objects of a kind in a namespace, or everywhere."""
        path = self._api.resource(kind).path(namespace)
        if metadata_only:
            who["accept"] = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        items: list[Object] = self.api("GET", path, **who)["items"] or []
        return items

    def delete(self, kind: str, name: str, namespace: str | None = None, *, uid: str | None = None, **who: Any) -> None:
        """Delete an object; with `uid` that very one. It goes on without whoever has a finalizer on it."""
        body = {"preconditions": {"uid": uid}} if uid else None
        self.api("DELETE", self._api.resource(kind).path(namespace, name), body, **who)

    def exists(self, kind: str, name: str, namespace: str | None = None) -> bool:
        try:
            self.get(kind, name, namespace)
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True

    def namespace(self, name: str, *, labels: Mapping[str, str] | None = None) -> str:
        meta = {"name": name, "labels": dict(labels or {})}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        return name

    def wait(
        self,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        until: Callable[[Object], object],
        what: str = "",
        seconds: float = PATIENCE,
    ) -> Object:
        """Poll an object until `until` says something true of it."""
        last: Object = {}

        def look() -> Object | None:
            nonlocal last
            try:
                last = self.get(kind, name, namespace)
            except ApiError as error:
                if error.status != 404:
                    raise
                return None
            return last if until(last) else None

        where = f"{namespace}/{name}" if namespace else name
        return wait_for(
            look,
            what=what or f"{kind} {where} as wanted",
            seconds=seconds,
            every=0.1,
            log=lambda: json.dumps(last.get("status", last), indent=1),
        )

    # What was asked of it

    @property
    def audit_log(self) -> Path:
        return self.root / "audit.jsonl"

    def requests(self, user: str) -> list[Object]:
        """The requests of one of the audited users so far, as audit events (verb, objectRef, responseStatus…)."""
        lines = self.audit_log.read_text().splitlines() if self.audit_log.exists() else []
        complete = (json.loads(line) for line in lines if line.endswith("}"))
        return [event for event in complete if event["user"]["username"] == user]


@contextmanager
def running_etcd(root: Path) -> Iterator[Etcd]:
    etcd = Etcd(root)
    try:
        yield etcd
    finally:
        etcd.process.kill()


@contextmanager
def running_cluster(root: Path, etcd: Etcd, name: str, *, crds: bool = True) -> Iterator[Cluster]:
    """A cluster for a block, with the resources of cert-manager and the Gateway API unless `crds` is off."""
    with started(Cluster(root, etcd, name), crds=crds) as cluster:
        yield cluster


@contextmanager
def started(cluster: Cluster, *, crds: bool = True) -> Iterator[Cluster]:
    try:
        cluster.start()
        if crds:
            install_crds(cluster)
        yield cluster
    finally:
        cluster.stop()


def install_crds(cluster: Cluster) -> None:
    """The CustomResourceDefinitions that the published modules carry, and a wait until they are served."""
    files = sorted(
        (module_folder("cert-manager", "github.com/cert-manager/cert-manager") / "deploy/crds").glob("*.yaml")
    )
    gateway = module_folder("cert-manager", "sigs.k8s.io/gateway-api") / "config/crd/standard"
    files += [gateway / f"gateway.networking.k8s.io_{kind}.yaml" for kind in GATEWAY_KINDS]
    names = [apply_crd(cluster, file) for file in files]
    for name in names:
        cluster.wait("CustomResourceDefinition", name, until=_established)


def apply_crd(cluster: Cluster, file: Path) -> str:
    """Apply GROUP_PLURAL.yaml as it is: the largest take a second each to parse here, and nothing there."""
    group, _, plural = file.stem.partition("_")
    name = f"{plural}.{group}"
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
    cluster.api("PATCH", path + query(fieldManager="tests", force="true"), file.read_text(), content_type=APPLY)
    return name


def _established(crd: Object) -> bool:
    conditions = crd.get("status", {}).get("conditions", [])
    return any(told["type"] == "Established" and told["status"] == "True" for told in conditions)


def _write_keys(folder: Path) -> None:
    """A CA, a server certificate for loopback, and the key of ServiceAccount tokens."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Kubernetes CA of {folder.name}")])

    def certificate(subject: x509.Name, public: ec.EllipticCurvePublicKey, *extensions: x509.ExtensionType) -> bytes:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=2))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    ca = x509.BasicConstraints(ca=True, path_length=0)
    (folder / "ca.pem").write_bytes(
        certificate(issuer, ca_key.public_key(), ca, x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()))
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")])
    trust = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    server = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    (folder / "server.pem").write_bytes(certificate(server, key.public_key(), names, trust))
    for name, private in (("server.key", key), ("accounts.key", rsa.generate_private_key(65537, 2048))):
        (folder / name).write_bytes(
            private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
