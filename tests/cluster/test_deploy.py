"""The chart and the plain manifests before a real API server: taken as they are, with no right more than needed.

Everything is applied with `dryRun=All`: defaults, schemas and admission (Pod Security among it) are the API server's.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.harness import ApiError, Cluster
from tests.cluster.harness.api import APPLY, query
from tests.cluster.harness.control_plane import apply_crd
from tests.deploy.rendering import FOLDERS, KUSTOMIZE, VALUE_SETS, Object, kustomize, one, template
from tests.peers.build import downloaded
from tests.support.processes import wait_for

PROMETHEUS = ("github.com/prometheus-operator/prometheus-operator", "v0.85.0")
NAMESPACE = "acme-ra"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:acme-ra"
ORDERS = ("acme.cert-manager.io", "orders")
CHAIN = [("cert-manager.io", plural) for plural in ("certificaterequests", "certificates", "issuers", "clusterissuers")]
ROUTES = [("gateway.networking.k8s.io", plural) for plural in ("httproutes", "tlsroutes")]
CARRIERS = [("networking.k8s.io", "ingresses"), ("gateway.networking.k8s.io", "gateways")]
POLICIES = [("policy.acme-ra.dev", plural) for plural in ("clusterissuancepolicies", "issuancepolicies")]
# Everything that acme-ra asks of a cluster: (group, resource, verb).
NEEDED = {
    *((*ORDERS, verb) for verb in ("get", "list", "watch")),
    *((*resource, "get") for resource in CHAIN),
    ("", "namespaces", "get"),
    *((*resource, verb) for resource in CARRIERS for verb in ("get", "list")),
    *((*resource, "list") for resource in ROUTES),
    ("", "events", "create"),
    *((*resource, verb) for resource in POLICIES for verb in ("get", "list", "watch")),
    *((group, f"{plural}/status", "patch") for group, plural in POLICIES),
}
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
# What an attacker who has the account's token would like, beside other verbs on the resources above.
COVETED = [
    ("", "secrets"), ("", "configmaps"), ("", "pods"), ("", "pods/exec"), ("", "pods/log"), ("", "serviceaccounts"),
    ("", "serviceaccounts/token"), ("", "nodes"), ("", "services"), ("", "persistentvolumes"), ("apps", "deployments"),
    ("batch", "jobs"), ("coordination.k8s.io", "leases"), ("acme.cert-manager.io", "challenges"),
    ("acme.cert-manager.io", "orders/status"), ("cert-manager.io", "certificates/status"),
    ("cert-manager.io", "certificaterequests/approval"), ("cert-manager.io", "certificaterequests/status"),
    ("rbac.authorization.k8s.io", "clusterroles"), ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("apiextensions.k8s.io", "customresourcedefinitions"), ("certificates.k8s.io", "certificatesigningrequests"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def prepared(cluster: Cluster) -> Iterator[Cluster]:
    """With the namespace as the base makes it, the Prometheus operator's two kinds, and the account with its role."""
    folder = downloaded(*PROMETHEUS) / "example" / "prometheus-operator-crd"
    for plural in ("servicemonitors", "prometheusrules"):
        name = apply_crd(cluster, folder / f"monitoring.coreos.com_{plural}.yaml")
        cluster.wait("CustomResourceDefinition", name, until=_established)
    base = kustomize("base")
    for kind in ("Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding"):
        cluster.apply(one(base, kind))
    yield cluster
    for kind in ("ClusterRoleBinding", "ClusterRole"):
        cluster.delete(kind, "acme-ra")


@pytest.mark.parametrize("values", VALUE_SETS)
def test_the_api_server_takes_what_helm_renders(values: str, prepared: Cluster, home: Path) -> None:
    for each in template(values, home=home):
        _dry_run(prepared, each)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_api_server_takes_the_plain_manifests(folder: str, prepared: Cluster) -> None:
    for each in kustomize(folder):
        _dry_run(prepared, each)


@pytest.mark.parametrize("values", VALUE_SETS)
def test_the_pod_fits_the_level_restricted(values: str, prepared: Cluster, home: Path) -> None:
    """Pod Security admission judges pods, not Deployments: the template is sent as one."""
    _dry_run(prepared, _pod(template(values, home=home)))


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("container", {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}),
        ("container", {"allowPrivilegeEscalation": False, "capabilities": {}}),
        ("pod", {"runAsNonRoot": True, "runAsUser": 10001}),
    ],
)
def test_the_level_restricted_would_refuse_less(where: str, change: Object, prepared: Cluster, home: Path) -> None:
    """Otherwise the test above would show nothing."""
    pod = _pod(template(home=home))
    (pod["spec"] if where == "pod" else pod["spec"]["containers"][0])["securityContext"] = change

    with pytest.raises(ApiError, match="PodSecurity"):
        _dry_run(prepared, pod)


def test_the_account_may_do_what_acme_ra_does(prepared: Cluster) -> None:
    """In every namespace, as orders come from every namespace."""
    denied = {asked for asked in NEEDED if not _allowed(prepared, *asked)}

    assert denied == set()


def test_the_account_may_do_nothing_else(prepared: Cluster) -> None:
    """Each other verb on those resources, and every verb on what an attacker would like."""
    resources = {(group, plural) for group, plural, _ in NEEDED} | set(COVETED) | {("*", "*")}
    others = {(*resource, verb) for resource in resources for verb in VERBS} - NEEDED

    assert {asked for asked in others if _allowed(prepared, *asked)} == set()
    assert len(others) > 200


def test_the_account_may_not_become_somebody_else(prepared: Cluster) -> None:
    for group, plural, verb in (
        ("", "users", "impersonate"),
        ("", "groups", "impersonate"),
        ("rbac.authorization.k8s.io", "clusterroles", "bind"),
        ("rbac.authorization.k8s.io", "clusterroles", "escalate"),
        ("cert-manager.io", "signers", "approve"),
    ):
        assert not _allowed(prepared, group, plural, verb), (group, plural, verb)


def test_the_token_itself_reads_orders_and_no_secret(prepared: Cluster) -> None:
    """Not only what RBAC says of the name: with a token of the account."""
    token = prepared.service_account(NAMESPACE, "acme-ra")

    def orders() -> Any:
        try:
            return prepared.api("GET", "/apis/acme.cert-manager.io/v1/orders", token=token)["kind"]
        except ApiError as error:
            if error.status != 429:  # its cache of a kind is being filled
                raise
            return None

    assert wait_for(orders, what="a list of orders", every=0.5) == "OrderList"
    with pytest.raises(ApiError, match="Forbidden"):
        prepared.api("GET", "/api/v1/secrets", token=token)
    with pytest.raises(ApiError, match="Forbidden"):
        prepared.api("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps", token=token)


def test_every_rule_says_why() -> None:
    """Where a person reads it: each rule stands below a comment."""
    lines = (KUSTOMIZE / "rbac" / "rbac.yaml").read_text().splitlines()
    rules = [index for index, line in enumerate(lines) if line.startswith("  - apiGroups")]
    uncommented = [lines[index + 1] for index in rules if not lines[index - 1].startswith("  #")]

    # These two are the second halves of the rules above them.
    assert [line.split("[")[1] for line in uncommented] == [
        "gateways]",
        "clusterissuancepolicies/status, issuancepolicies/status]",
    ]


def _dry_run(cluster: Cluster, each: Object) -> Any:
    """Server-side apply that is judged, defaulted and forgotten. ApiError names the object."""
    meta, plural = each["metadata"], _collection(cluster, each)
    path = f"{plural}/{meta['name']}" + query(
        fieldManager="deploy", force="true", dryRun="All", fieldValidation="Strict"
    )
    return cluster.api("PATCH", path, json.dumps(each), content_type=APPLY)


def _collection(cluster: Cluster, each: Object) -> str:
    version, kind = each["apiVersion"], each["kind"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    (told,) = (one for one in cluster.api("GET", base)["resources"] if one["kind"] == kind and "/" not in one["name"])
    where = f"/namespaces/{each['metadata']['namespace']}" if told["namespaced"] else ""
    return f"{base}{where}/{told['name']}"


def _pod(objects: list[Object]) -> Object:
    deployment = one(objects, "Deployment")
    inner: Object = yaml.safe_load(json.dumps(deployment["spec"]["template"]))
    inner["metadata"] |= {"name": "as-a-pod", "namespace": deployment["metadata"]["namespace"]}
    return {"apiVersion": "v1", "kind": "Pod", **inner}


def _allowed(cluster: Cluster, group: str, plural: str, verb: str) -> bool:
    """What the API server's authorizer says of the account."""
    resource, _, subresource = plural.partition("/")
    asked = {"group": group, "resource": resource, "subresource": subresource, "verb": verb, "namespace": "team-a"}
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}", "system:authenticated"]
    spec = {"user": ACCOUNT, "groups": groups, "resourceAttributes": asked}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    told = cluster.api("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]
    assert not told.get("evaluationError"), told
    return bool(told["allowed"])


def _established(crd: Object) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or []
    return any(told["type"] == "Established" and told["status"] == "True" for told in conditions)
