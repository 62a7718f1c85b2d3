"""`acme-ra doctor` on a real API server and cert-manager: it finds what keeps an issuer from being ready, and why."""

import base64
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from acme_ra.core.encoding import parse_b64url
from tests.cluster.harness import ADMIN, RA, Cluster
from tests.cluster.harness.api import DEVELOPERS, Object
from tests.cluster.harness.describe import conditions
from tests.cluster.harness.world import World
from tests.support.processes import wait_for
from tests.support.server import COMMAND, ROOT

NAMESPACE = "doctor"
KEY = "hmac-key"
Told = list[dict[str, str]]


def examine(world: World, *arguments: str, config: Path | None = None, user: str = "") -> tuple[int, Told]:
    """The exit code and the findings. `user` is a kubeconfig; `config` the server's configuration."""
    words = ["--config", str(config)] if config else []
    done = subprocess.run(
        [*COMMAND, "doctor", *arguments, *words, "--output", "json"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **world.server.environment, **({"KUBECONFIG": user} if user else {})},
        check=False,
    )
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    return done.returncode, told["findings"]


def look(world: World, issuer: str, *more: str, config: bool = False, user: str = "") -> tuple[int, Told]:
    """An Issuer of the namespace."""
    return examine(
        world, "--issuer", issuer, "--issuer-namespace", NAMESPACE, *more,
        config=world.server.prepared.config if config else None, user=user or str(world.cluster.kubeconfig),
    )  # fmt: skip


def of(told: Told, check: str) -> Told:
    return [one for one in told if one["check"] == check]


def wrong(told: Told) -> dict[str, str]:
    """check → what was seen, of everything that is an error."""
    assert all(one["fix"] for one in told if one["level"] != "ok"), told
    return {one["check"]: one["seen"] for one in told if one["level"] == "error"}


@pytest.fixture(scope="module", autouse=True)
def deployed(world: World) -> None:
    """The Deployment from which the version is read: nothing runs here that it describes."""
    world.cluster.namespace(NAMESPACE)
    labels = {"app.kubernetes.io/name": "cert-manager", "app.kubernetes.io/component": "controller"}
    container = {"name": "c", "image": "quay.io/jetstack/cert-manager-controller:v1.21.2", "args": ["--v=2"]}
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    meta = {"name": "cert-manager", "namespace": "cert-manager", "labels": labels}
    world.cluster.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})
    tsig = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tsig", "namespace": NAMESPACE}}
    world.cluster.apply({**tsig, "stringData": {"key": world.bind.secret}})


@pytest.fixture(scope="module")
def credential(world: World) -> dict[str, str]:
    """For any number of accounts, of this cluster and namespace."""
    made: dict[str, str] = world.server.cli_json(
        "credential", "create", "--name", "doctor", "--cluster", world.cluster.name, "--namespace", NAMESPACE,
        "--max-uses", "0",
    )  # fmt: skip
    return made


def put(
    world: World,
    credential: dict[str, str],
    name: str,
    *,
    secret: bytes | None = None,
    change: Callable[[Object], None] = lambda acme: None,
) -> Object:
    """An Issuer with this credential, whose Secret and spec.acme are as told; what cert-manager makes of it."""
    arguments = ("--issuer-kind", "Issuer", "--namespace", NAMESPACE, "--name", name, "--kid", credential["kid"])
    (issuer,) = world.issuer_manifest(*arguments)
    acme = issuer["spec"]["acme"]
    acme["externalAccountBinding"]["keySecretRef"]["name"] = f"{name}-eab"
    acme["solvers"] = world.solvers()
    change(acme)
    value = credential["hmac_key"].encode() if secret is None else secret
    meta = {"name": f"{name}-eab", "namespace": NAMESPACE}
    data = {KEY: base64.b64encode(value).decode()}
    world.cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})
    world.cluster.apply(issuer)

    def judged() -> Object | None:
        told = conditions(world.cluster.get("Issuer", name, NAMESPACE)).get("Ready", {})
        # At first its own cache may not have the Secret yet; then it looks again.
        lagging = "not found" in told.get("message", "") and "eab" in told.get("message", "")
        return told if told.get("status") in ("True", "False") and not lagging else None

    return wait_for(
        judged,
        what=f"cert-manager's word on {name}",
        seconds=90,
        every=0.2,
        log=lambda: str(world.cluster.get("Issuer", name, NAMESPACE).get("status")),
    )


def test_an_issuer_as_the_manifest_makes_it_is_well(world: World, credential: dict[str, str]) -> None:
    """Every check is made, with the server's configuration at hand, and none has anything to mend."""
    ready = put(world, credential, "well")
    assert ready["status"] == "True", ready

    code, told = look(world, "well", "--strict", config=True)

    assert [one for one in told if one["level"] != "ok"] == []
    assert code == 0
    assert "v1.36" in of(told, "API server")[0]["seen"]
    assert "1.21.2" in of(told, "cert-manager")[0]["seen"]
    assert "is valid" in of(told, "account")[0]["seen"]
    assert f"credential {credential['kid']} (doctor)" in of(told, "EAB")[-1]["seen"]


@pytest.mark.parametrize(
    ("name", "encode", "told"),
    [
        ("padded", lambda key: base64.urlsafe_b64encode(key), "padded"),
        ("standard", lambda key: base64.b64encode(key).rstrip(b"="), "standard alphabet"),
        ("twice", lambda key: base64.b64encode(base64.urlsafe_b64encode(key).rstrip(b"=")), "encoded twice"),
        ("spaced", lambda key: base64.urlsafe_b64encode(key).rstrip(b"=") + b" ", "white space"),
        ("binary", lambda key: key, "binary"),
        ("broken-line", lambda key: base64.urlsafe_b64encode(key).rstrip(b"=") + b"\n", "line break"),
    ],
)
def test_doctor_and_cert_manager_agree_on_encodings(
    world: World, name: str, encode: Callable[[bytes], bytes], told: str
) -> None:
    """Where doctor says error, the Issuer does not get ready; where it says warning, it does."""
    credential = _with_both_characters(world, name)
    ready = put(world, credential, name, secret=encode(parse_b64url(credential["hmac_key"], field="key")))

    _, findings = look(world, name, config=True)

    (found,) = [one for one in of(findings, "EAB") if told in one["seen"]]
    assert found["level"] == ("warning" if ready["status"] == "True" else "error"), ready
    assert ("issuer" in wrong(findings)) == (ready["status"] == "False")


def _with_both_characters(world: World, name: str) -> dict[str, str]:
    """A credential whose key shows the difference between the alphabets."""
    while True:
        made: dict[str, str] = world.server.cli_json(
            "credential", "create", "--name", f"e-{name}", "--cluster", world.cluster.name, "--namespace", NAMESPACE
        )
        if "-" in made["hmac_key"] or "_" in made["hmac_key"]:
            return made


def test_a_key_of_another_credential_is_told_with_the_configuration(world: World, credential: dict[str, str]) -> None:
    """Well encoded, and wrong: the server says only that the MAC is not right."""
    other = b"A" * 43
    assert put(world, credential, "other-key", secret=other)["status"] == "False"

    _, without = look(world, "other-key")
    _, with_it = look(world, "other-key", config=True)

    assert of(without, "EAB")[0]["level"] == "ok"
    assert f"not that of credential {credential['kid']}" in wrong(with_it)["EAB"]


@pytest.mark.parametrize(
    ("name", "bundle", "told", "fix"),
    [
        ("untrusted", None, "the system's trust does not verify", "set caBundle"),
        ("other-ca", "ca/root.pem", "the CA bundle does not verify", "another CA"),
        ("twice-ca", "twice", "encoded twice", "put in base64 once"),
    ],
)
def test_a_trust_that_is_wrong(
    world: World, credential: dict[str, str], name: str, bundle: str | None, told: str, fix: str
) -> None:
    """cert-manager does not get through either, and doctor says which way it is wrong."""

    def change(acme: Object) -> None:
        right = acme.pop("caBundle")
        if bundle == "twice":
            acme["caBundle"] = base64.b64encode(right.encode()).decode()
        elif bundle:
            acme["caBundle"] = base64.b64encode((world.server.data / bundle).read_bytes()).decode()

    assert put(world, credential, name, change=change)["status"] == "False"

    code, findings = look(world, name)

    (found,) = [one for one in of(findings, "directory") if one["level"] == "error"]
    assert (told in found["seen"], fix in found["fix"], code) == (True, True, 1), found


def test_a_directory_that_is_not_there(world: World, credential: dict[str, str]) -> None:
    """A path that the server does not have, and an address where nothing listens."""
    for name, replaced, told in (
        ("lost", ("/acme/default/", "/acme/nowhere/"), "answers 404"),
        ("closed", (f":{world.server.port}/", ":1/"), "connection refused"),
    ):
        assert put(world, credential, name, change=_moved(*replaced))["status"] == "False"
        assert told in wrong(look(world, name)[1])["directory"]


def _moved(old: str, new: str) -> Callable[[Object], None]:
    def change(acme: Object) -> None:
        acme["server"] = acme["server"].replace(old, new)

    return change


def test_an_issuer_whose_orders_would_all_fail(world: World, credential: dict[str, str]) -> None:
    """Ready as far as cert-manager sees, but with a profile that is not offered, and without solvers."""

    def change(acme: Object) -> None:
        acme.update(profile="forever", solvers=[])

    assert put(world, credential, "useless", change=change)["status"] == "True"

    _, findings = look(world, "useless", config=True)

    found = wrong(findings)
    assert set(found) == {"profile", "solvers"}
    assert "forever" in found["profile"]
    asked = [one["seen"] for one in of(findings, "solvers")]
    assert any("grant own-names (namespaces doctor) asks for dns-01 or http-01" in one for one in asked)


def test_an_account_whose_credential_was_disabled(world: World) -> None:
    """The server is asked with the account's own key, so doctor sees what cert-manager would."""
    made = world.server.cli_json(
        "credential", "create", "--name", "gone", "--cluster", world.cluster.name, "--namespace", NAMESPACE
    )
    assert put(world, made, "gone")["status"] == "True"
    world.server.cli("credential", "disable", made["kid"], "--config", str(world.server.prepared.config))

    _, findings = look(world, "gone", config=True)

    assert "is disabled" in wrong(findings)["EAB"]
    assert "was disabled" in wrong(findings)["account"]


def test_a_cluster_issuer_with_its_secret_beside_the_certificates(world: World, credential: dict[str, str]) -> None:
    """Its Secrets are looked for in cert-manager's namespace, which the Deployment tells."""
    put(world, credential, "misplaced")
    issuer = world.cluster.get("Issuer", "misplaced", NAMESPACE)
    meta = {"name": "misplaced"}
    world.cluster.apply({**_bare(issuer), "kind": "ClusterIssuer", "metadata": meta})

    _, findings = examine(world, "--issuer", "misplaced", user=str(world.cluster.kubeconfig))

    assert "one of that name is in doctor" in wrong(findings)["EAB"]


def _bare(issuer: Object) -> Object:
    return {"apiVersion": issuer["apiVersion"], "spec": issuer["spec"]}


def test_an_issuer_that_is_not_there(world: World, credential: dict[str, str]) -> None:
    """The cluster is looked at all the same; a name that was mistyped is guessed."""
    put(world, credential, "present")

    code, findings = look(world, "presnet")

    (found,) = of(findings, "issuer")
    assert (found["fix"], code) == ("did you mean present?", 1)
    assert of(findings, "cert-manager")


@pytest.fixture
def careless_role(world: World) -> Iterator[str]:
    """What cert-manager shipped before the advisory."""
    name = "old-cert-manager-edit"
    labels = {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}
    rules = [{"apiGroups": ["acme.cert-manager.io"], "resources": ["orders"], "verbs": ["create", "patch", "update"]}]
    meta = {"name": name, "labels": labels}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": meta, "rules": rules}
    world.cluster.apply(role)
    yield name
    world.cluster.delete("ClusterRole", name)


def test_tenants_who_may_write_orders_are_a_warning(
    world: World, credential: dict[str, str], careless_role: str
) -> None:
    """With the advisory's number and the way to mend it; `--strict` fails on it."""
    put(world, credential, "rights")

    code, findings = look(world, "rights", "--strict")

    (found,) = of(findings, "rights on Orders")
    assert (found["level"], code) == ("warning", 1)
    assert "GHSA-8rvj-mm4h-c258" in found["seen"]
    assert f"kubectl edit clusterrole {careless_role}" in found["fix"]


def test_somebody_without_rights_learns_what_they_may_not_see(world: World, credential: dict[str, str]) -> None:
    """No exception, no guess: each refused look is a warning with the path. With rights on issuers alone, the rest."""
    developer = DEVELOPERS[0]
    put(world, credential, "seen")
    nothing = str(world.cluster.kubeconfig_of(developer))
    _, findings = look(world, "seen", user=nothing)
    assert [one["level"] for one in of(findings, "issuer")] == ["warning"]
    rules = [{"apiGroups": ["cert-manager.io"], "resources": ["issuers"], "verbs": ["get"]}]
    world.cluster.grant(developer.name, "doctor-reader", rules, namespace=NAMESPACE)

    _, findings = look(world, "seen", user=nothing)

    assert wrong(findings) == {}
    assert of(findings, "EAB")[0]["level"] == "warning"
    assert "secrets" in of(findings, "EAB")[0]["seen"]
    assert of(findings, "directory")[0]["level"] == "ok"


def test_an_api_server_that_does_not_answer(world: World, tmp_path: Path) -> None:
    """One finding, not one for each check."""
    text = world.cluster.kubeconfig.read_text().replace(f":{world.cluster.port}", ":1")
    (tmp_path / "kubeconfig").write_text(text)

    code, findings = look(world, "well", user=str(tmp_path / "kubeconfig"))

    assert [one["check"] for one in findings] == ["API server"]
    assert code == 1


# ------------------------------------------------------------------------------------------------- the server's side


def configured(world: World, name: str, **settings: Any) -> Path:
    """The server's configuration with one cluster as told."""
    document = yaml.safe_load(world.server.prepared.config.read_text())
    document["clusters"] = {world.cluster.name: settings}
    path = world.server.data / f"doctor-{name}.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def ra_rules() -> list[Object]:
    """What the manifests give acme-ra."""
    rbac = ROOT / "deploy" / "kustomize" / "rbac" / "rbac.yaml"
    (role,) = [one for one in yaml.safe_load_all(rbac.read_text("utf-8")) if one["kind"] == "ClusterRole"]
    rules: list[Object] = role["rules"]
    return rules


def clusters(world: World, config: Path) -> Told:
    return of(examine(world, config=config)[1], "clusters")


def test_a_server_that_lacks_rights_in_its_cluster(world: World) -> None:
    """Which ones is told; with exactly those there is nothing to mend, and an administrator's are too many."""
    token = world.cluster.service_account(NAMESPACE, "somebody")
    kubeconfig = str(world.cluster.kubeconfig_of(token))
    lacking = clusters(world, configured(world, "bare", kubeconfig=kubeconfig, events=True))
    assert [one["level"] for one in lacking] == ["ok", "ok", "error"]
    for right in ("get orders.acme.cert-manager.io", "get namespaces", "create events"):
        assert right in lacking[-1]["seen"]

    world.cluster.grant(f"system:serviceaccount:{NAMESPACE}:somebody", "doctor-ra", ra_rules())
    enough = clusters(world, configured(world, "enough", kubeconfig=kubeconfig, events=True))
    assert [one["level"] for one in enough] == ["ok", "ok", "ok"]

    admin = str(world.cluster.kubeconfig_of(ADMIN))
    excessive = clusters(world, configured(world, "admin", kubeconfig=admin))
    assert excessive[-1]["level"] == "warning"
    assert "get secrets" in excessive[-1]["seen"]


def test_a_cluster_that_is_not_reached(world: World, tmp_path: Path) -> None:
    text = world.cluster.kubeconfig.read_text().replace(f":{world.cluster.port}", ":1")
    (tmp_path / "kubeconfig").write_text(text)

    (found,) = clusters(world, configured(world, "away", kubeconfig=str(tmp_path / "kubeconfig")))

    assert found["level"] == "error"
    assert "connection refused" in found["seen"]


def test_policies_are_to_be_read_and_their_resources_are_not_installed(
    world: World, credential: dict[str, str], other_cluster: Cluster
) -> None:
    """Told where somebody looks from the cluster."""
    put(world, credential, "no-crds")
    config = configured(world, "policies", kubeconfig=str(other_cluster.kubeconfig_of(RA)), policies=True)
    installed = world.cluster.exists("CustomResourceDefinition", "issuancepolicies.policy.acme-ra.dev")

    _, findings = examine(
        world, "--issuer", "no-crds", "--issuer-namespace", NAMESPACE, config=config, user=str(world.cluster.kubeconfig)
    )

    (found,) = of(findings, "policy resources")
    assert found["level"] == ("ok" if installed else "error")
    assert installed or "issuancepolicies.policy.acme-ra.dev" in found["seen"]
