"""cert-manager's own controllers as a process against a cluster (tests/peers/cert-manager)."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.harness.api import CERT_MANAGER
from tests.cluster.harness.control_plane import Cluster
from tests.cluster.harness.garbage import collecting
from tests.peers.build import peer
from tests.support.processes import Process

NAMESPACE = "cert-manager"


class CertManager:
    """The controllers of one cluster. `stop` and `start` may be repeated, with other feature gates too."""

    def __init__(self, cluster: Cluster, *, resolver: str | None, proxy: str | None) -> None:
        self.cluster = cluster
        self._resolver = resolver
        self._proxy = proxy
        self._process: Process | None = None

    def start(self, *flags: str, gates: str = "") -> None:
        """Run them; `gates` as in "ACMEUseARI=true", `flags` are further ones."""
        argv: list[str] = [str(peer("cert-manager")), f"--kubeconfig={self.cluster.kubeconfig_of(CERT_MANAGER)}"]
        argv += [f"--cluster-resource-namespace={NAMESPACE}", "--dns01-check-retry-period=1s", "--enable-gateway-api"]
        argv += ["--v=2", f"--feature-gates={gates}", *flags]
        if self._resolver is not None:
            argv += [f"--dns01-recursive-nameservers={self._resolver}", "--dns01-recursive-nameservers-only=true"]
            argv += [f"--acme-http01-solver-nameservers={self._resolver}"]
        name = f"cert-manager-{self.cluster.name}"
        # HTTP_PROXY takes its http-01 check to the responder; https, and so the API server, is not affected.
        proxy = {"HTTP_PROXY": self._proxy or "", "http_proxy": ""}
        self._process = Process(argv, name=name, logs=self.cluster.root / "logs", env=proxy)

    def stop(self) -> None:
        assert self._process is not None
        self._process.stop()

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()

    def running(self) -> bool:
        return self._process is not None and self._process.running()

    def log(self) -> str:
        return "" if self._process is None else self._process.log()


@contextmanager
def running_cert_manager(
    cluster: Cluster, *, resolver: str | None = None, proxy: str | None = None, gates: str = ""
) -> Iterator[CertManager]:
    """cert-manager for a block. `resolver` (ip:port) is where it checks dns-01, `proxy` where it checks http-01."""
    cluster.namespace(NAMESPACE)
    manager = CertManager(cluster, resolver=resolver, proxy=proxy)
    try:
        manager.start(gates=gates)
        with collecting(cluster):
            yield manager
    finally:
        manager.kill()
