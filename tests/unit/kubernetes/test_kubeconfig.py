"""kubeconfig files and cluster settings: what is used, and what is refused with the fix."""

import base64
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from acme_ra.kubernetes.connection import open_connection
from acme_ra.kubernetes.credentials import REREAD_SECONDS, Material, Tls, Token
from acme_ra.kubernetes.errors import ClusterMisconfigured
from acme_ra.kubernetes.settings import ClusterSettings


def self_signed(name: str = "test") -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM), private


CERTIFICATE, KEY = self_signed()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def document(cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> dict[str, Any]:
    server = {"server": "https://10.0.0.1:6443", "certificate-authority-data": b64(CERTIFICATE)}
    return {
        "current-context": "prod",
        "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": server | (cluster or {})}],
        "users": [{"name": "u", "user": {"token": "t0ken"} if user is None else user}],
    }


def write(tmp_path: Path, content: object) -> ClusterSettings:
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return ClusterSettings(kubeconfig=path)


@pytest.mark.parametrize(
    "user",
    [
        {"token": "t0ken"},
        {"tokenFile": "token"},
        {"client-certificate": "user.pem", "client-key": "user.key"},
        {"client-certificate-data": b64(CERTIFICATE), "client-key-data": b64(KEY)},
    ],
)
def test_each_kind_of_user_is_read(tmp_path: Path, user: dict[str, str]) -> None:
    """Files start at the kubeconfig's folder."""
    (tmp_path / "token").write_text("from-file\n")
    (tmp_path / "user.pem").write_bytes(CERTIFICATE)
    (tmp_path / "user.key").write_bytes(KEY)

    made = open_connection(write(tmp_path, document(user=user)), {})

    assert made.server == "https://10.0.0.1:6443"
    assert (made.token is None) == ("client-certificate" in "".join(user))
    assert made.tls.context().verify_mode.name == "CERT_REQUIRED"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (document({"server": "http://10.0.0.1:6443"}), "no https URL"),
        (document({"server": "https://user@10.0.0.1"}), "no https URL"),
        (document({"insecure-skip-tls-verify": True}), "insecure-skip-tls-verify"),
        (document({"proxy-url": "http://proxy"}), "proxy-url"),
        (document({"certificate-authority-data": "%%%"}), "is not base64"),
        (document({"certificate-authority-data": b64(b"no pem")}), "no PEM certificate"),
        (document(user={"exec": {"command": "aws"}}), "exec"),
        (document(user={"auth-provider": {"name": "gcp"}}), "auth-provider"),
        (document(user={"username": "admin", "password": "x"}), "username"),
        (document(user={"token": "t", "as": "system:masters"}), "impersonation"),
        (document(user={}), "neither token nor client certificate"),
        (document(user={"client-certificate-data": b64(CERTIFICATE)}), "give both"),
        (document(user={"client-certificate-data": b64(CERTIFICATE), "client-key-data": b64(b"x")}), "unencrypted key"),
        (document(user={"token": "two words"}), "no bearer token"),
        (document(user={"token": "line\r\nHost: x"}), "no bearer token"),
        (document(user={"tokenFile": "missing"}), "cannot be read"),
        (document() | {"current-context": "dev"}, "there is no context called 'dev'; there are: prod"),
        (document() | {"current-context": ""}, "current-context"),
        (document() | {"users": []}, "there is no user called 'u'; there are: none"),
        (document() | {"clusters": "x"}, "there is no cluster called 'c'"),
        ([], "no kubeconfig"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_fix(tmp_path: Path, change: object, told: str) -> None:
    """Nothing that weakens the connection is passed over in silence."""
    with pytest.raises(ClusterMisconfigured, match=r".*") as raised:
        open_connection(write(tmp_path, change), {})

    assert told in str(raised.value)
    assert "; " in str(raised.value)


@pytest.mark.parametrize("text", ["a: [", "\x00", "&a [*a]", "a: !!python/object/apply:os.system ['true']"])
def test_broken_files_are_no_kubeconfigs(tmp_path: Path, text: str) -> None:
    """No traceback, no code."""
    path = tmp_path / "kubeconfig"
    path.write_text(text)

    with pytest.raises(ClusterMisconfigured, match="kubectl config view"):
        open_connection(ClusterSettings(kubeconfig=path), {})


def test_a_missing_kubeconfig_is_told(tmp_path: Path) -> None:
    """With its path."""
    with pytest.raises(ClusterMisconfigured, match=r"none\.yaml"):
        open_connection(ClusterSettings(kubeconfig=tmp_path / "none.yaml"), {})


def test_in_a_pod_the_service_account_is_used(tmp_path: Path) -> None:
    """Its files and the two variables that each pod has."""
    (tmp_path / "ca.crt").write_bytes(CERTIFICATE)
    (tmp_path / "token").write_text("pod-token")
    variables = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}

    made = open_connection(ClusterSettings(in_cluster=True), variables, service_account=tmp_path)

    assert made.server == "https://[fd00::1]:443"
    assert made.token is not None
    assert made.token.value() == "pod-token"
    with pytest.raises(ClusterMisconfigured, match="this is no pod"):
        open_connection(ClusterSettings(in_cluster=True), {}, service_account=tmp_path)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "add kubeconfig, in_cluster: true, or server"),
        ({"in_cluster": True, "server": "https://a"}, "keep one of them"),
        ({"kubeconfig": "a", "in_cluster": True}, "keep one of them"),
        ({"in_cluster": True, "context": "x"}, "without a kubeconfig"),
        ({"kubeconfig": "a", "token_file": "x"}, "they belong to server"),
        ({"server": "https://a"}, "without a token_file"),
        ({"in_cluster": True, "timeout": "1h"}, "less than or equal"),
    ],
)
def test_settings_that_contradict_each_other_are_mistakes(given: dict[str, object], told: str) -> None:
    """Each with its fix."""
    with pytest.raises(ValueError, match=told):
        ClusterSettings.model_validate(given)


def test_files_are_read_again_when_they_change(tmp_path: Path) -> None:
    """A renewed token within seconds; a renewed client certificate or CA without a restart."""
    now = 0.0
    token, ca = tmp_path / "token", tmp_path / "ca.pem"
    token.write_text("first")
    ca.write_bytes(CERTIFICATE)
    held = Token(Material(path=token), ticks=lambda: now)
    tls = Tls(ca=Material(path=ca), ticks=lambda: now)
    before = tls.context()
    assert held.value() == "first"

    token.write_text("second")
    ca.write_bytes(self_signed("another")[0])

    assert (held.value(), tls.context()) == ("first", before)
    now = REREAD_SECONDS
    assert held.value() == "second"
    assert tls.context() is not before
    assert [dict(one["subject"][0])["commonName"] for one in tls.context().get_ca_certs()] == ["another"]


def test_a_forgotten_token_is_read_at_once(tmp_path: Path) -> None:
    """After a 401."""
    path = tmp_path / "token"
    path.write_text("first")
    held = Token(Material(path=path), ticks=lambda: 0.0)
    assert held.value() == "first"
    path.write_text("second")
    held.forget()
    assert held.value() == "second"
