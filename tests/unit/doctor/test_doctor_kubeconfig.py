"""A person's kubeconfig: programs of cloud providers are run, as kubectl would; what cannot be used is told."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from acme_ra.doctor.client.examine import Asked, examine_issuer
from acme_ra.doctor.client.kubeconfig import default_kubeconfig, open_kubeconfig
from acme_ra.doctor.findings import Level
from acme_ra.kubernetes.errors import ClusterMisconfigured


def written(folder: Path, user: dict[str, Any], ca: Path) -> Path:
    """A kubeconfig with a relative path to its CA."""
    (folder / "ca.pem").write_bytes(ca.read_bytes())
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "https://k.test", "certificate-authority": "ca.pem"}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path


def program(folder: Path, code: str) -> dict[str, Any]:
    (folder / "plugin.py").write_text(code)
    return {
        "exec": {"command": sys.executable, "args": [str(folder / "plugin.py")], "env": [{"name": "A", "value": "b"}]}
    }


@pytest.fixture
def ca(template: Path) -> Path:
    return template / "tls" / "ca-bundle.pem"


async def test_a_program_gives_the_token(tmp_path: Path, ca: Path) -> None:
    """It gets its own environment and is told which version of the API is meant."""
    code = (
        "import json, os\n"
        "asked = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "token = os.environ['A'] + asked['kind']\n"
        "print(json.dumps({'status': {'token': token}}))\n"
    )

    connection = await open_kubeconfig(written(tmp_path, program(tmp_path, code), ca), None, {})

    assert connection.server == "https://k.test"
    assert connection.token is not None
    assert connection.token.value() == "bExecCredential"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise SystemExit(1)", "failed"),
        ("print('please log in')", "printed no ExecCredential"),
        ("print('{\"status\": {}}')", "neither a token nor a client certificate"),
    ],
)
async def test_a_program_that_gives_nothing_is_told(tmp_path: Path, ca: Path, code: str, told: str) -> None:
    with pytest.raises(ClusterMisconfigured, match=told):
        await open_kubeconfig(written(tmp_path, program(tmp_path, code), ca), None, {})


async def test_a_program_that_is_not_installed(tmp_path: Path, ca: Path) -> None:
    path = written(tmp_path, {"exec": {"command": str(tmp_path / "none")}}, ca)

    with pytest.raises(ClusterMisconfigured, match="install it"):
        await open_kubeconfig(path, None, {})


async def test_a_token_needs_no_program(tmp_path: Path, ca: Path) -> None:
    connection = await open_kubeconfig(written(tmp_path, {"token": "t"}, ca), None, {})

    assert connection.token is not None
    assert connection.token.value() == "t"


@pytest.mark.parametrize("content", [None, "[", "just text", json.dumps({"contexts": 3})])
async def test_what_is_no_kubeconfig_is_one_finding(tmp_path: Path, content: str | None) -> None:
    """Never an exception, whatever the file holds."""
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)

    found = [one async for one in examine_issuer(Asked(kubeconfig=path, issuer="a"), {}, None)]

    assert [(one.check, one.level) for one in found] == [("kubeconfig", Level.ERROR)]
    assert found[0].fix


def test_the_file_is_the_one_that_kubectl_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert default_kubeconfig({}) == tmp_path / ".kube" / "config"
    assert default_kubeconfig({"KUBECONFIG": "/a:/b"}) == Path("/a")


async def test_a_client_certificate_from_a_program(tmp_path: Path, template: Path, ca: Path) -> None:
    """In PEM, as the program prints it."""
    pem = {name: (template / "tls" / file).read_text() for name, file in (("C", "server.pem"), ("K", "server.key"))}
    status = {"clientCertificateData": pem["C"], "clientKeyData": pem["K"]}
    text = base64.b64encode(json.dumps({"status": status}).encode()).decode()
    code = f"import base64; print(base64.b64decode('{text}').decode())"

    connection = await open_kubeconfig(written(tmp_path, program(tmp_path, code), ca), None, {})

    assert connection.token is None
    connection.tls.context()
