"""A Kubernetes cluster on loopback without nodes: etcd, kube-apiserver, cert-manager's controllers.

    with running_etcd(root) as etcd, running_cluster(root, etcd, "east") as cluster:
        cluster.namespace("team-a", labels={"team": "a"})
        cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {…}})    # a dict, or YAML text
        cluster.get("Certificate", "web", "team-a")                                      # also: objects, delete
        cluster.api("GET", "/readyz")                                                # anything else
        cluster.wait("ClusterIssuer", "acme-ra", until=condition("Ready"))
        cluster.kubeconfig                                                           # admin's; kubeconfig_of(user)
        with running_cert_manager(cluster, resolver="127.0.0.1:5353"): …

In a test, take the fixtures of `tests/cluster/conftest.py`: `cluster` is one for the whole session (use namespaces of
your own), `other_cluster` a second API server on the same etcd. What a cluster without nodes does not do: garbage is
collected of cert-manager's kinds only, a deleted namespace stays Terminating, no ServiceAccount is made by itself, no
pod runs, and aggregated roles (`edit`, `view`) do not take up rules. Identities: the static users below,
`service_account` tokens (bound ones, of the API server itself), and `impersonate=` for admin.
"""

from tests.cluster.harness.api import ADMIN, MERGE, RA, ApiError, Object, User
from tests.cluster.harness.cert_manager import CertManager, running_cert_manager
from tests.cluster.harness.control_plane import Cluster, Etcd, running_cluster, running_etcd, started
from tests.cluster.harness.describe import condition, describe
from tests.cluster.harness.http01 import Responder, running_responder

__all__ = [
    "ADMIN",
    "MERGE",
    "RA",
    "ApiError",
    "CertManager",
    "Cluster",
    "Etcd",
    "Object",
    "Responder",
    "User",
    "condition",
    "describe",
    "running_cert_manager",
    "running_cluster",
    "running_etcd",
    "running_responder",
    "started",
]
