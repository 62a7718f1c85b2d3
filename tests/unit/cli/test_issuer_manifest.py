"""`acme-ra issuer manifest`: what it prints can be applied, and its credential is bound as narrowly as can be."""

import base64
import ssl
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from acme_ra.cli.frame import Exit
from acme_ra.cli.solvers import parse_solvers
from acme_ra.core.encoding import parse_b64url
from tests.support.shell import Shell
from tests.support.stores import stored_secret


def test_a_cluster_issuer_is_ready_to_apply(shell: Shell) -> None:
    """Server, trust, key id and Secret fit together; the credential is for that cluster and directory, one account."""
    said, _ = shell("issuer", "manifest", "--cluster", "one", "--solver", "http01=nginx")

    secret, issuer = yaml.safe_load_all(said)
    acme, binding = issuer["spec"]["acme"], issuer["spec"]["acme"]["externalAccountBinding"]
    assert (issuer["apiVersion"], issuer["kind"]) == ("cert-manager.io/v1", "ClusterIssuer")
    assert issuer["metadata"] == {"name": "acme-ra"}
    assert acme["server"].startswith("https://127.0.0.1:")
    assert acme["server"].endswith("/acme/default/directory")
    assert acme["privateKeySecretRef"] == {"name": "acme-ra-account"}
    assert acme["solvers"] == [{"http01": {"ingress": {"ingressClassName": "nginx"}}}]
    assert secret["metadata"] == {"name": binding["keySecretRef"]["name"], "namespace": "cert-manager"}
    key = secret["stringData"][binding["keySecretRef"]["key"]]
    assert "=" not in key
    assert len(parse_b64url(key, field="key")) == 32
    made = shell.json("credential", "show", binding["keyID"])
    assert (made["cluster"], made["namespaces"], made["directories"]) == ("one", [], ["default"])
    assert (made["max_uses"], made["name"]) == (1, "one/acme-ra")
    assert made["expires_at"] is not None


def test_the_ca_bundle_is_one_that_a_client_accepts(shell: Shell) -> None:
    """cert-manager would trust exactly this."""
    issuer = shell.json("issuer", "manifest", "--cluster", "bundled")["manifests"][1]

    pem = base64.b64decode(issuer["spec"]["acme"]["caBundle"])

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pem.decode())
    subjects = {one.subject.rfc4514_string() for one in x509.load_pem_x509_certificates(pem)}
    assert any("serving CA" in subject for subject in subjects)


def test_an_issuer_speaks_for_its_namespace_alone(shell: Shell) -> None:
    """Both objects are in that namespace, and the credential is bound to it."""
    told = shell.json(
        "issuer", "manifest", "--cluster", "two", "--issuer-kind", "Issuer", "--namespace", "shop", "--name", "ra"
    )

    secret, issuer = told["manifests"]
    assert issuer["kind"] == "Issuer"
    assert issuer["metadata"] == {"name": "ra", "namespace": "shop"}
    assert secret["metadata"]["namespace"] == "shop"
    assert shell.json("credential", "show", told["kid"])["namespaces"] == ["shop"]


def test_json_has_the_same_manifests_and_the_way_back(shell: Shell) -> None:
    """The commands that undo it are told, and the first one does."""
    told = shell.json("issuer", "manifest", "--cluster", "three")

    assert [one["kind"] for one in told["manifests"]] == ["Secret", "ClusterIssuer"]
    assert any("There is no three in `clusters:`" in note for note in told["notes"])
    assert told["undo"][0].startswith(f"acme-ra credential disable {told['kid']} ")
    shell("credential", "disable", told["kid"])
    assert shell.json("issuer", "manifest", "--cluster", "three")["kid"] != told["kid"]


def test_a_second_run_does_not_quietly_make_a_second_credential(shell: Shell) -> None:
    """It says which one there is; prints that one's issuer when it is named, and a Secret only when it is replaced."""
    first = shell.json("issuer", "manifest", "--cluster", "four")
    before = len(shell.json("credential", "list"))

    _, err = shell("issuer", "manifest", "--cluster", "four", code=Exit.REFUSED)
    again = shell.json("issuer", "manifest", "--cluster", "four", "--kid", first["kid"])
    rotated = shell.json("issuer", "manifest", "--cluster", "four", "--credential", "four/acme-ra", "--rotate")

    assert f"--kid {first['kid']}" in err
    assert [one["kind"] for one in again["manifests"]] == ["ClusterIssuer"]
    assert again["manifests"][0] == first["manifests"][1] == rotated["manifests"][1]
    old, new = (told["manifests"][0]["stringData"]["hmac-key"] for told in (first, rotated))
    assert old != new
    assert _stored_secret(shell.data, first["kid"]) == parse_b64url(new, field="key")
    assert len(shell.json("credential", "list")) == before


@pytest.mark.parametrize(
    ("created", "told"),
    [
        ((), "is bound to no cluster"),
        (("--cluster", "other"), "speaks for cluster 'other'"),
    ],
)
def test_a_credential_of_another_cluster_is_refused(shell: Shell, created: tuple[str, ...], told: str) -> None:
    """An issuer with it would be refused at its first order."""
    made = shell.json("credential", "create", "--name", "x", *created)

    _, err = shell("issuer", "manifest", "--cluster", "five", "--kid", made["kid"], code=Exit.REFUSED)

    assert told in err


def test_a_disabled_credential_is_refused(shell: Shell) -> None:
    """And one that is not there has an exit code of its own."""
    made = shell.json("credential", "create", "--name", "gone", "--cluster", "six")
    shell("credential", "disable", made["kid"])

    assert "is disabled" in shell("issuer", "manifest", "--cluster", "six", "--kid", made["kid"], code=Exit.REFUSED)[1]
    shell("issuer", "manifest", "--cluster", "six", "--kid", "nobody", code=Exit.NOT_FOUND)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--issuer-kind", "Issuer"], "needs the namespace"),
        (["--namespace", "Shop"], "no Kubernetes namespace name"),
        (["--name", "a b"], "no Kubernetes object name"),
        (["--directory", "defualt"], "did you mean 'default'?"),
        (["--profile", "forever"], "offers default, shortlived"),
        (["--solver", "http01"], "none of http01=INGRESSCLASS"),
        (["--rotate"], "--rotate needs"),
    ],
)
def test_a_mistake_makes_no_credential(shell: Shell, arguments: list[str], told: str) -> None:
    """Told before anything is written."""
    before = len(shell.json("credential", "list"))

    _, err = shell("issuer", "manifest", "--cluster", "seven", *arguments, code=Exit.USAGE)

    assert told in err
    assert len(shell.json("credential", "list")) == before


def test_a_bundle_that_does_not_verify_the_server_is_refused(shell: Shell) -> None:
    """The issuing root alone did not sign the server's certificate: cert-manager would never get ready."""
    before = len(shell.json("credential", "list"))

    _, err = shell(
        "issuer", "manifest", "--cluster", "eight", "--ca-bundle", str(shell.data / "ca" / "root.pem"),
        code=Exit.CONFIGURATION,
    )  # fmt: skip

    assert "does not accept" in err
    assert "127.0.0.1" in err
    assert len(shell.json("credential", "list")) == before


def test_the_text_is_yaml_with_the_explanation_as_comments(shell: Shell) -> None:
    """Piped into kubectl as it is."""
    said, _ = shell("issuer", "manifest", "--cluster", "nine")

    comments = [line for line in said.splitlines() if line.startswith("#")]
    assert any("acme-ra credential disable" in line for line in comments)
    assert any("No solvers" in line for line in comments)
    assert len(list(yaml.safe_load_all(said))) == 2


def test_solvers_as_cert_manager_has_them() -> None:
    """http-01 by an ingress class; dns-01 by RFC 2136, with TSIG and zones."""
    solvers = parse_solvers(
        ("http01=nginx", "dns01=10.0.0.53:53,key=acme.,secret=tsig/key,zones=a.example;b.example", "dns01=[::1]:53")
    )

    assert solvers[0] == {"http01": {"ingress": {"ingressClassName": "nginx"}}}
    assert solvers[1] == {
        "selector": {"dnsZones": ["a.example", "b.example"]},
        "dns01": {
            "rfc2136": {
                "nameserver": "10.0.0.53:53",
                "tsigKeyName": "acme.",
                "tsigAlgorithm": "HMACSHA256",
                "tsigSecretSecretRef": {"name": "tsig", "key": "key"},
            }
        },
    }
    assert solvers[2] == {"dns01": {"rfc2136": {"nameserver": "[::1]:53"}}}
    assert parse_solvers(("none",)) == ()


@pytest.mark.parametrize(
    "text",
    ["http01=", "http01=Nginx", "dns01=nowhere", "dns01=h:53,key=a", "dns01=h:53,secret=a/b", "dns01=h:53,colour=red",
     "dns01=h:53,key=a,secret=a/b,algorithm=rot13", "tls-alpn-01"],
)  # fmt: skip
def test_a_solver_with_a_mistake_is_refused(text: str) -> None:
    """cert-manager would take some of these and fail at the first challenge."""
    with pytest.raises(ValueError, match=r"."):
        parse_solvers((text,))


def test_none_excludes_the_others() -> None:
    with pytest.raises(ValueError, match="stands alone"):
        parse_solvers(("none", "http01=nginx"))


def _stored_secret(data: Path, kid: str) -> bytes:
    return stored_secret(data / "acme-ra.sqlite", data / "secrets" / "master.key", kid)
