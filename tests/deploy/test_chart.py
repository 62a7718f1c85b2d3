"""The Helm chart: its values, what it renders, and that the program accepts what it is given."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from acme_ra import __version__
from acme_ra.acme.routes import HEALTH_ROUTES, ROUTES
from acme_ra.cli.main import run
from acme_ra.core import problems
from acme_ra.policy.documents import load_policies
from tests.deploy.pod import Pod, Secrets
from tests.deploy.rendering import CHART, ROOT, VALUE_SETS, Object, helm, kinds, one, template

ALL = {
    "ClusterRole", "ClusterRoleBinding", "ConfigMap", "Deployment", "NetworkPolicy", "PersistentVolumeClaim",
    "PodDisruptionBudget", "Service", "ServiceAccount",
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.mark.parametrize("values", VALUE_SETS)
def test_helm_finds_nothing_to_complain_of(values: str, home: Path) -> None:
    chosen = ["--values", str(CHART / "ci" / values)] if values else []
    done = helm("lint", "--strict", str(CHART), "--kube-version", "1.36.3", *chosen, home=home)

    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("replicas=2", "replicas"),  # two pods would share one SQLite file
        ("image.repositry=x", "repositry"),
        ("image.digest=latest", "digest"),
        ("workers=0", "workers"),
        ("externalURL=http://ra.example.com", "externalURL"),
        ("externalURL=https://ra.example.com/", "externalURL"),
        ("persistence.accessMode=ReadWriteMany", "accessMode"),
        ("policies.team=x", "team"),  # a file that the server would not read
        ("inCluster.name=Prod_1", "name"),
        ("secrets.tls=", "tls"),
    ],
)
def test_a_wrong_value_is_refused_by_name(setting: str, told: str, home: Path) -> None:
    """values.schema.json knows every key; a mistyped one must not be lost in silence."""
    done = helm("template", "acme-ra", str(CHART), "--kube-version", "1.36.3", "--set", setting, home=home)

    assert done.returncode != 0
    assert told in done.stderr


def test_every_switch_leaves_out_what_it_names(home: Path) -> None:
    everything = template("full-values.yaml", home=home)
    little = template("tryout-values.yaml", home=home)
    outside = template("outside-values.yaml", home=home)

    assert kinds(template(home=home)) >= ALL
    assert kinds(everything) >= ALL | {"ServiceMonitor", "PrometheusRule"}
    assert kinds(little) & {"PersistentVolumeClaim", "NetworkPolicy", "PodDisruptionBudget", "ServiceMonitor"} == set()
    assert kinds(outside) & {"ClusterRole", "ClusterRoleBinding", "ServiceAccount", "PersistentVolumeClaim"} == set()


def test_the_role_follows_what_is_switched_on(home: Path) -> None:
    """Without events and policies it has no right that changes anything."""
    little = one(template("tryout-values.yaml", home=home), "ClusterRole")

    verbs = {verb for rule in little["rules"] for verb in rule["verbs"]}
    assert verbs == {"get", "list", "watch"}
    assert "policy.acme-ra.dev" not in {group for rule in little["rules"] for group in rule["apiGroups"]}


def test_a_pod_outside_has_no_token(home: Path) -> None:
    pod = one(template("outside-values.yaml", home=home), "Deployment")["spec"]["template"]["spec"]

    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == "default"


def test_an_empty_list_of_clients_lets_nobody_in(home: Path) -> None:
    """In a NetworkPolicy a rule without peers means everybody."""
    policy = one(template("outside-values.yaml", home=home), "NetworkPolicy")["spec"]

    assert not policy["ingress"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {53}


@pytest.mark.parametrize("values", VALUE_SETS)
def test_the_pod_has_no_right_that_it_does_not_need(values: str, home: Path) -> None:
    deployment = one(template(values, home=home), "Deployment")["spec"]
    pod = deployment["template"]["spec"]

    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert {next(iter(volume.keys() - {"name"})) for volume in pod["volumes"]} <= {
        "configMap", "secret", "emptyDir", "persistentVolumeClaim"
    }  # fmt: skip
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")} == {
            "/data",
            "/tmp",
        }
    assert [secret for secret in template(values, home=home) if secret["kind"] == "Secret"] == []


def test_a_changed_policy_starts_another_pod(home: Path) -> None:
    def checksum(*more: str) -> str:
        rendered: str = one(template(home=home, more=more), "Deployment")["spec"]["template"]["metadata"][
            "annotations"
        ]["checksum/config"]
        return rendered

    assert checksum() == checksum()
    assert checksum() != checksum("--set-string", r"policies.mine\.yaml=kind: ClusterIssuancePolicy")
    assert checksum() != checksum("--set", "workers=3")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Secrets:
    return Secrets(tmp_path_factory.mktemp("secrets") / "made")


@pytest.mark.parametrize("values", VALUE_SETS)
def test_the_program_accepts_its_configuration_and_policies(
    values: str, home: Path, made: Secrets, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`acme-ra check-config` on the pod's files, which lie elsewhere than in the pod."""
    pod = Pod(template(values, home=home), made, tmp_path / "pod")

    code = run(["check-config", str(pod.relocated())])

    assert code == 0, capfd.readouterr().err
    load_policies(pod.path("/etc/acme-ra/policies"))


def test_nothing_is_granted_by_default(home: Path) -> None:
    """Who installs the chart decides what is granted; the default only guards."""
    texts = one(template(home=home), "ConfigMap", "-policies")["data"].values()
    effects = [document["spec"]["effect"] for text in texts for document in yaml.safe_load_all(text)]

    assert effects == ["guard"]


def test_the_chart_brings_the_definitions_of_policies() -> None:
    """Helm wants its own copy: `cp deploy/crds/*.yaml deploy/helm/acme-ra/crds/`."""
    made = {path.name: path.read_bytes() for path in (ROOT / "deploy" / "crds").glob("*.yaml")}

    assert len(made) == 2
    assert {path.name: path.read_bytes() for path in (CHART / "crds").iterdir()} == made


def test_versions_agree() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["appVersion"] == chart["version"] == __version__


def test_the_readme_has_every_value() -> None:
    """Each leaf of values.yaml has its row, and no row is of yesterday."""
    rows = re.findall(r"^\| `([^`]+)` \|", (CHART / "README.md").read_text(), re.MULTILINE)
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    whole = {"config", "policies", "resources", "persistence.annotations"}

    def leaves(holder: Any, path: str) -> list[str]:
        if isinstance(holder, dict) and holder and path not in whole:
            return [leaf for key, inner in holder.items() for leaf in leaves(inner, f"{path}.{key}".strip("."))]
        return [path]

    assert rows == leaves(values, "")


# ----------------------------------------------------------------------------------------------------------- alerts


@pytest.fixture(scope="module")
def rules(home: Path) -> list[Object]:
    (group,) = one(template("full-values.yaml", home=home), "PrometheusRule")["spec"]["groups"]
    found: list[Object] = group["rules"]
    return found


def test_alerts_ask_for_what_the_server_counts(rules: list[Object]) -> None:
    """Metrics, labels, routes and problems that exist: an alert on a name of yesterday is silent for ever."""
    metrics = {"acme_ra_requests_total": {"route", "method", "status", "problem"}, "up": {"endpoint"}}
    metrics["acme_ra_request_seconds_bucket"] = {"route", "le"}
    metrics |= {"acme_ra_policies_known": {"cluster"}, "acme_ra_policy_resources": {"cluster", "accepted"}}
    routes = {route.name for route in ROUTES} | HEALTH_ROUTES | {"authorityCertificate", "authorityCRL", "unknown"}
    tokens = {each.token for each in vars(problems).values() if isinstance(each, type) and hasattr(each, "token")}
    allowed = {"route": routes, "problem": tokens, "status": {"200", "500", "503"}, "endpoint": {"metrics"}}
    allowed["accepted"] = {"true", "false"}

    for rule in rules:
        selectors = re.findall(r"(\w+)\{(.*?)\}", rule["expr"])
        assert selectors, rule["alert"]
        for metric, matchers in selectors:
            labels = re.findall(r'(\w+)(?:=~|!~|!=|=)"(.*?)"', matchers)
            assert {label for label, _ in labels} <= metrics[metric] | {"namespace", "service"}, rule["alert"]
            for label, value in labels:
                assert label not in allowed or set(value.split("|")) <= allowed[label], f"{rule['alert']}: {value}"


def test_every_alert_says_what_to_do(rules: list[Object]) -> None:
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"].endswith(".")
        assert (
            "acme-ra/acme-ra" in rule["annotations"]["description"] or "kubectl" in rule["annotations"]["description"]
        )
