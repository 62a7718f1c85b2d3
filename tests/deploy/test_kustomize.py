"""The plain manifests: equal in substance to the chart with its default values."""

from pathlib import Path
from typing import Any

import yaml

from tests.deploy.rendering import FOLDERS, KUSTOMIZE, NAMESPACE, Object, kustomize, one, template

_HELMS = {"app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"}


def test_the_base_is_the_chart_with_its_defaults(tmp_path: Path) -> None:
    """But for Helm's own labels, digests, and the namespace, which Helm makes by itself."""
    plain = {_key(each): each for each in map(_substance, _named_as_in_the_chart(kustomize("base")))}
    chart = {_key(each): each for each in map(_substance, template(home=tmp_path))}

    assert plain.pop(("Namespace", NAMESPACE))["metadata"]["labels"] == {
        "app.kubernetes.io/name": "acme-ra",
        "app.kubernetes.io/instance": "acme-ra",
        "pod-security.kubernetes.io/enforce": "restricted",
    }
    assert plain == chart


def test_monitoring_is_that_of_the_chart(tmp_path: Path) -> None:
    on = ("--set", "metrics.serviceMonitor.enabled=true,metrics.prometheusRule.enabled=true")
    chart = [_substance(each) for each in template(home=tmp_path, more=on)]
    wanted = {_key(each): each for each in chart if each["kind"] in ("ServiceMonitor", "PrometheusRule")}

    assert {_key(each): each for each in map(_substance, kustomize("monitoring"))} == wanted


def test_a_remote_cluster_gets_an_account_that_may_read_and_nothing_that_runs() -> None:
    base = kustomize("base")
    remote = kustomize("remote-cluster")

    assert {each["kind"] for each in remote} == {
        "Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Secret"
    }  # fmt: skip
    assert one(remote, "ClusterRole")["rules"] == one(base, "ClusterRole")["rules"]
    assert "data" not in one(remote, "Secret")


def test_the_example_changes_what_it_says() -> None:
    """And leaves the rest of the base alone: its policies, its init container's origin."""
    objects = kustomize("overlays/example")
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    (policies,) = (volume["configMap"]["name"] for volume in pod["volumes"] if volume["name"] == "policies")
    found = next(each for each in objects if each["metadata"]["name"] == policies)

    assert set(found["data"]) == {"reserved-names.yaml", "team-names.yaml"}
    assert {each["image"].partition("@")[0] for each in (*pod["initContainers"], *pod["containers"])} == {
        "registry.example.com/acme-ra"
    }
    assert {"name": "ACME_RA_SERVER__EXTERNAL_URL", "value": "https://ra.example.com"} in pod["containers"][0]["env"]
    assert one(objects, "PersistentVolumeClaim")["spec"]["storageClassName"] == "local-ssd"


def test_every_folder_is_rendered_by_a_test() -> None:
    folders = {str(path.parent.relative_to(KUSTOMIZE)) for path in KUSTOMIZE.rglob("kustomization.yaml")}

    assert folders == {*FOLDERS, "rbac"}


def _key(each: Object) -> tuple[str, str]:
    return each["kind"], each["metadata"]["name"]


def _substance(each: Object) -> Object:
    """Without what only Helm adds, and with ConfigMaps' YAML as values, so that comments do not count.

    Helm gives definitions no labels: it never touches them again.
    """
    meta = each["metadata"]
    if each["kind"] == "CustomResourceDefinition":
        meta.pop("labels", None)
    meta["labels"] = {name: value for name, value in meta.get("labels", {}).items() if name not in _HELMS}
    annotations = {
        name: value for name, value in meta.pop("annotations", {}).items() if not name.startswith("helm.sh/")
    }
    meta |= {"annotations": annotations} if annotations else {}
    if each["kind"] == "Deployment":
        inner = each["spec"]["template"]["metadata"]
        inner["labels"] = {name: value for name, value in inner["labels"].items() if name not in _HELMS}
        inner.pop("annotations", None)
    if each["kind"] == "ConfigMap":
        each["data"] = {name: list(yaml.safe_load_all(text)) for name, text in each["data"].items()}
    return each


def _named_as_in_the_chart(objects: list[Object]) -> list[Object]:
    """Generated ConfigMaps without the digest at the end of their names, here and where they are used."""
    generated = [each["metadata"]["name"] for each in objects if each["kind"] == "ConfigMap"]
    names = {name: name.rpartition("-")[0] for name in generated}

    def rename(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: rename(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [rename(inner) for inner in value]
        return names.get(value, value) if isinstance(value, str) else value

    return [rename(each) for each in objects]
