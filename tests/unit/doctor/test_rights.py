"""The rights that doctor asks for are those that deploy/ gives: the least, and the same in both places."""

from pathlib import Path

import yaml

from acme_ra.doctor.server.clusters import EXCESSIVE, needed
from acme_ra.kubernetes.settings import ClusterSettings

RBAC = Path(__file__).resolve().parents[3] / "deploy" / "kustomize" / "rbac" / "rbac.yaml"


def granted() -> set[tuple[str, str, str, str]]:
    """Verb, group, resource, subresource of every rule."""
    (role,) = [one for one in yaml.safe_load_all(RBAC.read_text("utf-8")) if one["kind"] == "ClusterRole"]
    return {
        (verb, group, resource.partition("/")[0], resource.partition("/")[2])
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def test_doctor_asks_for_exactly_what_the_role_gives() -> None:
    everything = ClusterSettings(in_cluster=True, events=True, policies=True)

    assert set(needed(everything, routes=True)) == granted()


def test_what_is_not_switched_on_is_not_asked_for() -> None:
    """No Event, no policy and no route; and none of the excessive rights is ever needed."""
    least = set(needed(ClusterSettings(in_cluster=True), routes=False))

    assert least < granted()
    assert {group for _, group, _, _ in least} == {
        "",
        "acme.cert-manager.io",
        "cert-manager.io",
        "networking.k8s.io",
        "gateway.networking.k8s.io",
    }
    assert not set(EXCESSIVE) & granted()
