"""`acme-ra doctor --issuer`: each finding by objects that are wrong; tests/cluster has it with the real thing."""

import base64
import secrets
from typing import Any

import pytest

from acme_ra.config import load_configuration
from acme_ra.core.encoding import b64url
from acme_ra.doctor.client.account import check_account
from acme_ra.doctor.client.binding import check_binding, judge_encoding
from acme_ra.doctor.client.issuer import check_directory, check_profile, check_ready, decode_bundle
from acme_ra.doctor.client.rbac import check_orders
from acme_ra.doctor.client.resources import check_policy_resources
from acme_ra.doctor.client.solvers import Need, check_solvers, covers, judge, needed
from acme_ra.doctor.client.subject import ClusterSide
from acme_ra.doctor.client.versions import CONTROLLER, DEPLOYMENTS, check_cert_manager, parse_version
from acme_ra.doctor.directory import Unreachable
from acme_ra.doctor.findings import Check, Finding, Level, examine
from acme_ra.policy.documents import parse_policies
from acme_ra.policy.selectors import Subject
from acme_ra.registration.settings import DirectorySettings
from tests.unit.doctor.conftest import Home
from tests.unit.doctor.objects import Objects

KEY = bytes(range(200, 232))  # its base64 has both `-` and `_`
BINDING = {"externalAccountBinding": {"keyID": "k", "keySecretRef": {"name": "eab", "key": "hmac-key"}}}
EAB = "/api/v1/namespaces/cert-manager/secrets/eab"
AWAY = Unreachable("https://ra.test: connection refused", "start it")


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    assert (finding.level == Level.OK) == (finding.fix == "")
    return finding


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (base64.urlsafe_b64encode(KEY), "padded"),
        (base64.b64encode(KEY).rstrip(b"="), "standard alphabet"),
        (base64.b64encode(base64.urlsafe_b64encode(KEY).rstrip(b"=")), "encoded twice"),
        (base64.b64encode(base64.b64encode(KEY)), "encoded twice"),
        (base64.b64encode(base64.urlsafe_b64encode(KEY)).rstrip(b"="), "encoded twice"),
        (b64url(KEY).encode() + b" ", "white space"),
        (b"\t" + b64url(KEY).encode(), "white space"),
        (b'"' + b64url(KEY).encode() + b'"', "other characters"),
        (KEY, "binary"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b64url(KEY).encode()[:-2], "cut off"),
        (b64url(KEY[:16]).encode(), "holds 16 bytes"),
    ],
)
def test_each_wrong_encoding_of_the_key_is_named(value: bytes, told: str) -> None:
    """cert-manager says `illegal base64 data at input byte 43` at best."""
    found = only(judge_encoding(value, "Secret a/b, key"))

    assert found.level == Level.ERROR
    assert told in found.seen
    assert "--rotate" in found.fix


def test_a_line_break_is_a_warning_and_the_right_encoding_is_well() -> None:
    """cert-manager's decoder passes over line breaks."""
    assert only(judge_encoding(b64url(KEY).encode() + b"\n", "x")).level == Level.WARNING
    assert only(judge_encoding(b64url(KEY).encode(), "x")).level == Level.OK


def test_no_random_key_is_taken_for_an_encoded_one() -> None:
    """That a key's bytes happen to look like base64 must not be likely."""
    for _ in range(2000):
        assert only(judge_encoding(b64url(secrets.token_bytes(32)).encode(), "x")).level == Level.OK


async def test_a_secret_in_another_namespace_is_found() -> None:
    """The commonest mistake with a ClusterIssuer: the Secret lies beside the Certificates."""
    cluster = Objects()
    cluster.lists["/api/v1/secrets"] = [{"metadata": {"namespace": "shop"}}]

    found = only(await check_binding(cluster.issuer(BINDING)))

    assert "one of that name is in shop" in found.seen
    assert "cert-manager" in found.fix


async def test_a_secret_that_is_nowhere_and_one_without_the_entry() -> None:
    cluster = Objects()
    cluster.lists["/api/v1/secrets"] = []
    assert "is not there" in only(await check_binding(cluster.issuer(BINDING))).seen

    cluster.found[EAB] = {"data": {"secret": ""}}
    assert "has no entry 'hmac-key': it has secret" in only(await check_binding(cluster.issuer(BINDING))).seen


async def test_no_binding_where_one_is_required() -> None:
    assert only(await check_binding(Objects().issuer({}))).level == Level.ERROR


async def test_what_may_not_be_read_is_a_warning_with_the_path() -> None:
    """A platform engineer without rights on Secrets still learns the rest."""
    cluster = Objects()
    cluster.hidden = ("/api/v1/namespaces/cert-manager/secrets",)
    checks = (Check("EAB", check_binding), Check("profile", check_profile))

    secret, profile = [one async for one in examine(checks, cluster.issuer(BINDING))]

    assert (secret.level, profile.level) == (Level.WARNING, Level.OK)
    assert EAB in secret.seen


@pytest.mark.parametrize(
    ("status", "level", "told"),
    [
        ({}, Level.ERROR, "has not looked at"),
        ({"status": "False", "reason": "ErrRegister", "message": "x509: unknown"}, Level.ERROR, "`directory` below"),
        ({"status": "False", "reason": "E", "message": "illegal base64 data"}, Level.ERROR, "`EAB` below"),
        ({"status": "True", "message": "registered", "observedGeneration": 1}, Level.WARNING, "wait"),
        ({"status": "True", "message": "registered", "observedGeneration": 2}, Level.OK, ""),
    ],
)
async def test_an_issuer_that_is_not_ready_says_why(status: dict[str, Any], level: Level, told: str) -> None:
    """With a hint where the reason is explained."""
    conditions = [{"type": "Ready", **status}] if status else []

    found = only(await check_ready(Objects().issuer({}, status={"conditions": conditions})))

    assert found.level == level
    assert told in found.seen + found.fix


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("%%%", "is not base64"),
        (base64.b64encode(base64.b64encode(b"-----BEGIN CERTIFICATE-----")).decode(), "encoded twice"),
        (base64.b64encode(b"hello").decode(), "not PEM"),
        (base64.b64encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").decode(), "can be read"),
    ],
)
def test_a_ca_bundle_that_is_none(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        decode_bundle(text)


async def test_a_bundle_that_is_none_is_told_before_the_network() -> None:
    found = only(await check_directory(Objects().issuer({"caBundle": "%"}, bundle=None, reached=AWAY)))

    assert "caBundle is not base64" in found.seen


async def test_a_server_that_is_not_reached_and_one_that_is_not_verified() -> None:
    """`skipTLSVerify` is an error even where all else works."""
    away = only(await check_directory(Objects().issuer({}, reached=AWAY)))
    skipped = await check_directory(Objects().issuer({"skipTLSVerify": True}))

    assert away.seen == AWAY.seen
    assert "from a pod" in away.fix
    assert [one.level for one in skipped] == [Level.ERROR, Level.OK, Level.OK]


async def test_a_profile_that_the_directory_does_not_offer() -> None:
    """cert-manager would end every Order with it."""
    assert only(await check_profile(Objects().issuer({"profile": "forever"}))).level == Level.ERROR
    assert only(await check_profile(Objects().issuer({"profile": "default"}))).level == Level.OK
    assert only(await check_profile(Objects().issuer({}, reached=AWAY))).level == Level.WARNING


async def test_an_account_that_is_not_registered_or_of_another_server() -> None:
    status = {"acme": {"uri": "https://old.test/acme/default/account/1.x"}}

    assert "no account is registered" in only(await check_account(Objects().issuer({}))).seen
    assert "of another server" in only(await check_account(Objects().issuer({}, status=status))).seen


@pytest.mark.parametrize("name", ["acme", "account"])
async def test_an_account_whose_key_is_gone(name: str) -> None:
    """It is lost, and cert-manager makes another only when it is told to."""
    cluster = Objects()
    cluster.found[f"/api/v1/namespaces/cert-manager/secrets/{name}"] = {"data": {"tls.key": "bm8ga2V5"}}
    status = {"acme": {"uri": "https://ra.test/acme/default/account/1.x"}}

    found = only(await check_account(cluster.issuer({"privateKeySecretRef": {"name": "account"}}, status=status)))

    assert ("no private key" if name == "account" else "is not there") in found.seen


# ------------------------------------------------------------------------------------------------------- the cluster


def role(name: str, *rules: dict[str, Any], aggregated: str = "") -> dict[str, Any]:
    labels = {f"rbac.authorization.k8s.io/aggregate-to-{aggregated}": "true"} if aggregated else {}
    return {"metadata": {"name": name, "labels": labels}, "rules": list(rules)}


def rule(resource: str, *verbs: str, group: str = "acme.cert-manager.io") -> dict[str, Any]:
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}


async def rights(*roles: dict[str, Any]) -> list[Finding]:
    cluster = Objects()
    cluster.lists["/apis/rbac.authorization.k8s.io/v1/clusterroles"] = list(roles)
    return await check_orders(cluster.side())


@pytest.mark.parametrize(
    "given",
    [
        role("cert-manager-edit", rule("orders", "create", "delete"), aggregated="edit"),
        role("cert-manager-edit", rule("orders", "patch"), aggregated="admin"),
        role("x", rule("orders/status", "update"), aggregated="edit"),
        role("x", rule("*", "*", group="*"), aggregated="edit"),
        role("edit", rule("orders", "update")),
    ],
)
async def test_tenants_who_may_write_orders_are_a_warning_with_the_advisory(given: dict[str, Any]) -> None:
    """On the second page of the list, too."""
    found = only(await rights(role("a"), role("b"), role("c"), given))

    assert found.level == Level.WARNING
    assert "GHSA-8rvj-mm4h-c258" in found.seen
    assert f"ClusterRole {given['metadata']['name']}" in found.seen
    assert "1.20.3" in found.fix


async def test_tenants_who_may_read_and_delete_orders_are_no_danger() -> None:
    """As cert-manager ships it now; and controllers' own roles may write."""
    safe = role("cert-manager-edit", rule("orders", "delete", "get"), rule("certificates", "create"), aggregated="edit")
    own = role("cert-manager-controller-orders", rule("orders/status", "update"))

    assert only(await rights(safe, own)).level == Level.OK


def deployed(image: str) -> Objects:
    cluster = Objects()
    container = {"name": "cert-manager-controller", "image": image}
    cluster.lists[DEPLOYMENTS] = [
        {
            "metadata": {"name": "cert-manager", "namespace": "cert-manager"},
            "spec": {"template": {"spec": {"containers": [container]}}},
        }
    ]
    return cluster


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        ("v1.21.2", []),
        ("v1.20.3", []),
        ("v1.19.6", []),
        ("v1.22.0-beta.0", []),
        ("v2.0.0", []),
        ("v1.20.2", ["GHSA-8rvj"]),
        ("v1.19.2", ["GHSA-8rvj", "GHSA-gx3x"]),
        ("v1.18.5", ["GHSA-8rvj"]),
        ("v1.16.1", ["GHSA-8rvj", "GHSA-gx3x", "GHSA-r4pg", "profiles"]),
        ("v1.14.7", ["GHSA-8rvj", "GHSA-gx3x", "GHSA-r4pg", "profiles"]),
        ("v1.12.14", ["GHSA-8rvj", "GHSA-gx3x", "profiles"]),
    ],
)
async def test_versions_of_cert_manager_that_are_known_to_be_bad(tag: str, told: list[str]) -> None:
    """Each flaw with the releases that mend it."""
    cluster = deployed(f"quay.io/jetstack/cert-manager-controller:{tag}@sha256:0123")

    found = await check_cert_manager(cluster.side())

    if told:
        assert [one.level for one in found] == [Level.WARNING] * len(told)
        assert all(word in one.seen for word, one in zip(told, found, strict=True))
    else:
        assert only(found).level == Level.OK


async def test_a_version_that_cannot_be_told_is_not_taken_for_a_good_one() -> None:
    """By the label of a CRD where there is no Deployment; otherwise a warning."""
    cluster = Objects()
    assert only(await check_cert_manager(cluster.side())).level == Level.WARNING

    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/orders.acme.cert-manager.io"
    cluster.found[path] = {"metadata": {"labels": {"app.kubernetes.io/version": "v1.20.1"}}}

    assert "GHSA-8rvj" in only(await check_cert_manager(cluster.side())).seen
    assert parse_version("latest") is None
    assert "component=controller" in CONTROLLER


# ----------------------------------------------------------------------------------------------------------- solvers

POLICIES = """\
kind: ClusterIssuancePolicy
metadata: {name: own}
spec:
  effect: grant
  selector: {clusters: [prod], namespaces: {matchLabels: {team: shop}}}
  allowed: {dnsNames: ["{namespace}.example.com", "**.{namespace}.example.com"], wildcards: true}
  require: {challenges: [http-01, dns-01]}
---
kind: ClusterIssuancePolicy
metadata: {name: internal}
spec: {effect: grant, allowed: {dnsNames: ["*.{namespace}.svc"]}, require: {challenges: none}}
---
kind: ClusterIssuancePolicy
metadata: {name: strict}
spec: {effect: guard, selector: {namespaces: {matchNames: [pay]}}, require: {challenges: [dns-01]}}
---
kind: ClusterIssuancePolicy
metadata: {name: later}
spec: {effect: grant, mode: shadow, allowed: {dnsNames: ["**.example.org"]}}
"""
HTTP = {"http01": {"ingress": {}}}
DNS = {"dns01": {"rfc2136": {}}}


def needs(*subjects: tuple[str, str, str], policies: list[str] | None = None) -> dict[tuple[str, ...], frozenset[str]]:
    """namespaces → challenges, for (cluster, namespace, team)."""
    directory = DirectorySettings(
        authorities=["a"], profiles={"default": ""}, policies=policies or ["*"], challenges=["http-01", "dns-01"]
    )
    asking = [Subject(cluster, name, {"team": team}, ("k",), "default") for cluster, name, team in subjects]
    found = needed(parse_policies([("p.yaml", POLICIES.encode())]), directory, asking)
    return {one.namespaces: one.challenges for one in found}


def test_only_grants_that_select_the_clusters_namespaces_count() -> None:
    """Neither another cluster's, another team's, one that needs no proof, nor one in shadow; guards narrow."""
    everything = frozenset({"http-01", "dns-01"})

    assert needs(("prod", "web", "shop"), ("prod", "db", "shop")) == {("web", "db"): everything}
    assert needs(("prod", "web", "shop"), ("prod", "pay", "shop")) == {
        ("web",): everything,
        ("pay",): frozenset({"dns-01"}),
    }
    assert needs(("other", "web", "shop"), ("prod", "web", "else")) == {}
    assert needs(("prod", "web", "shop"), policies=["internal"]) == {}


def judged(solvers: list[dict[str, Any]], *, challenges: tuple[str, ...] = ("http-01", "dns-01")) -> list[Finding]:
    directory = DirectorySettings(authorities=["a"], profiles={"default": ""}, challenges=list(challenges))
    (need,) = needed(
        parse_policies([("p.yaml", POLICIES.encode())]),
        directory,
        [Subject("prod", "web", {"team": "shop"}, ("k",), "default")],
    )
    return judge(need, solvers)


def test_solvers_that_prove_every_name_are_well() -> None:
    assert judged([HTTP, DNS]) == []
    assert judged([DNS]) == []
    assert judged([{**DNS, "selector": {"dnsZones": ["example.com"]}}]) == []


def test_no_solver_for_what_policy_asks() -> None:
    """An error for each name: its Orders would fail for good."""
    for solvers in (
        [],
        [{**DNS, "selector": {"dnsZones": ["example.org"]}}],
        [{**DNS, "selector": {"dnsNames": ["a.b"]}}],
    ):
        found = judged(solvers)
        assert [one.level for one in found if "no solver proves" in one.seen] == [Level.ERROR] * 2
        assert "grant own (namespaces web)" in found[0].seen


def test_wildcards_need_dns01() -> None:
    found = only(judged([HTTP]))

    assert found.level == Level.WARNING
    assert "wildcards" in found.seen


def test_solvers_for_labelled_certificates_only_are_a_warning() -> None:
    found = judged([{**DNS, "selector": {"matchLabels": {"solve": "dns"}}}])

    assert {one.level for one in found} == {Level.WARNING}
    assert "solve" in found[0].seen


def test_a_policy_that_asks_for_what_cert_manager_cannot_do() -> None:
    """tls-alpn-01."""
    need = Need("alpn", ("web",), frozenset({"tls-alpn-01"}), ("a.test",), False, True)

    assert "cert-manager cannot answer" in only(judge(need, [HTTP, DNS])).seen


def test_addresses_are_proved_by_http01_only() -> None:
    need = Need("ip", ("web",), frozenset({"http-01", "dns-01"}), (), False, True)

    assert "IP addresses" in only(judge(need, [DNS])).seen
    assert judge(need, [HTTP]) == []


def test_a_zone_covers_only_what_is_literally_below_it() -> None:
    """What a placeholder will be is not known."""
    assert covers({"dnsZones": ["example.com"]}, "**.{namespace}.example.com")
    assert covers({"dnsZones": ["example.com"]}, "example.com")
    assert not covers({"dnsZones": ["example.com"]}, "badexample.com")
    assert not covers({"dnsZones": ["shop.example.com"]}, "{namespace}.example.com")
    assert covers({"dnsNames": ["a.test"]}, "a.test")
    assert covers(None, "anything")


# -------------------------------------------------------------------------------------------- policies as resources


GROUP = "/apis/policy.acme-ra.dev/v1alpha1"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def with_policies(home: Home, *resources: dict[str, Any]) -> tuple[Objects, ClusterSide]:
    """A cluster from which the server reads policies, with their definitions and these ClusterIssuancePolicies."""
    home.replace("clusters: {}", "clusters: {c: {kubeconfig: none, policies: true}}")
    cluster = Objects()
    for plural in ("clusterissuancepolicies", "issuancepolicies"):
        cluster.found[f"{DEFINITIONS}/{plural}.policy.acme-ra.dev"] = {"metadata": {}}
        cluster.lists[f"{GROUP}/{plural}"] = []
    cluster.lists[f"{GROUP}/clusterissuancepolicies"] = list(resources)
    return cluster, cluster.side(configuration=load_configuration(home.config, {}, check=False), cluster="c")


def resource(name: str, spec: dict[str, Any], *conditions: dict[str, Any]) -> dict[str, Any]:
    meta = {"name": name, "uid": "u", "resourceVersion": "7", "generation": 2}
    told = [{"type": "Accepted", "observedGeneration": 2, **one} for one in conditions]
    return {"metadata": meta, "spec": spec, "status": {"conditions": told}}


GRANT = {"effect": "grant", "allowed": {"dnsNames": ["a.test"]}}


async def test_policies_that_acme_ra_did_not_accept_or_did_not_see(home: Home) -> None:
    """The condition says why; an older one is none."""
    good = resource("good", GRANT, {"status": "True"})
    bad = resource("bad", {}, {"status": "False", "message": "spec.effect is missing"})
    unseen = resource("unseen", GRANT)
    changed = resource("changed", GRANT, {"status": "True", "observedGeneration": 1})
    _, side = with_policies(home, good, bad, unseen, changed)

    found = await check_policy_resources(side)

    assert [(one.level, one.seen.split()[1]) for one in found] == [
        (Level.ERROR, "bad"),
        (Level.WARNING, "unseen"),
        (Level.WARNING, "changed"),
    ]
    assert "spec.effect is missing" in found[0].seen


async def test_definitions_that_are_not_installed(home: Home) -> None:
    cluster, side = with_policies(home)
    assert only(await check_policy_resources(side)).level == Level.OK

    cluster.found.clear()

    assert "issuancepolicies.policy.acme-ra.dev" in only(await check_policy_resources(side)).seen


async def test_nothing_is_said_where_the_server_reads_no_policies_from_there(home: Home) -> None:
    configuration = load_configuration(home.config, {}, check=False)

    assert await check_policy_resources(Objects().side(configuration=configuration, cluster="c")) == []
    assert await check_policy_resources(Objects().side()) == []


async def test_solvers_are_compared_with_policies_that_are_resources_too(home: Home) -> None:
    """What does not compile is passed over: its status tells."""
    home.policies("")
    challenged = {**GRANT, "require": {"challenges": ["dns-01"]}}
    cluster, side = with_policies(home, resource("mine", challenged), resource("broken", {"effect": "?"}))
    cluster.lists["/api/v1/namespaces"] = [{"metadata": {"name": "web"}}]
    issuer = cluster.issuer({"solvers": [HTTP]}, configuration=side.configuration, cluster="c")

    found = only(await check_solvers(issuer))

    assert found.level == Level.ERROR
    assert "grant c:mine (namespaces web) asks for dns-01" in found.seen


def test_a_server_whose_grants_are_resources_lacks_none(home: Home) -> None:
    """The chart's own set-up: files have the guards, teams have the grants."""
    home.policies("")
    assert "no enforced grant" in home.problem("policies", Level.WARNING).seen

    home.replace("clusters: {}", "clusters: {c: {kubeconfig: none, policies: true}}")

    assert [one.level for one in home.findings("policies")] == [Level.OK]
