"""The harness itself: what the other files rely on holds of a real API server."""

import pytest

from tests.cluster.harness import RA, ApiError, Cluster


def test_users_may_do_what_they_were_granted(cluster: Cluster) -> None:
    """A static user and a ServiceAccount can do nothing until a role says so, and then exactly that."""
    namespace = cluster.namespace("harness-roles")
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
    account = cluster.service_account(namespace, "reader")
    with pytest.raises(ApiError) as refused:
        cluster.objects("ConfigMap", namespace, token=account)
    assert refused.value.status == 403

    cluster.grant(f"system:serviceaccount:{namespace}:reader", "harness-reader", rules, namespace=namespace)

    assert cluster.objects("ConfigMap", namespace, token=account) == []
    with pytest.raises(ApiError, match='"acme-ra" cannot list resource "configmaps"'):
        cluster.objects("ConfigMap", namespace, user=RA)


def test_objects_survive_a_restart(cluster: Cluster) -> None:
    """The API server can be killed and started again on the same port with the same objects."""
    cluster.namespace("harness-restart")

    cluster.stop()
    with pytest.raises(OSError, match="refused"):
        cluster.api("GET", "/readyz")
    cluster.start()

    assert cluster.exists("Namespace", "harness-restart")


def test_clusters_are_apart(cluster: Cluster, other_cluster: Cluster) -> None:
    """Two API servers on one etcd do not see each other's objects, nor take each other's tokens for accounts."""
    cluster.namespace("harness-apart")
    token = cluster.service_account("harness-apart", "somebody")

    assert not other_cluster.exists("Namespace", "harness-apart")
    with pytest.raises(ApiError) as refused:
        other_cluster.api("GET", "/api/v1/namespaces", token=token)
    assert refused.value.status == 401


def test_requests_of_the_ra_are_counted(cluster: Cluster) -> None:
    """The API server's audit log tells who asked for what."""
    before = len(cluster.requests("acme-ra"))

    with pytest.raises(ApiError):
        cluster.objects("Secret", user=RA)

    asked = [(event["verb"], event["objectRef"]["resource"]) for event in cluster.requests("acme-ra")[before:]]
    assert ("list", "secrets") in asked
