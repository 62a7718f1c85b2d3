"""Commands on a data directory that quickstart's set-up made, without a server."""

import csv
import io
import json
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from acme_ra.cli.frame import Exit
from acme_ra.cli.main import run
from acme_ra.cli.setup import Asked, prepare
from acme_ra.config import load_configuration
from acme_ra.core.encoding import parse_b64url
from acme_ra.core.endpoint import Endpoint
from tests.support.shell import Shell
from tests.support.stores import stored_secret


def test_a_credential_is_made_shown_once_and_sealed(shell: Shell) -> None:
    """32 bytes of unpadded base64url; the database has them only under the master key; the event has no secret."""
    made = shell.json(
        "credential", "create", "--name", "prod", "--cluster", "c1", "--namespace", "shop", "--namespace", "pay",
        "--label", "team=shop", "--directory", "default", "--expires", "30d", "--max-uses", "3",
    )  # fmt: skip

    secret = parse_b64url(made["hmac_key"], field="hmac_key")
    assert len(secret) == 32
    shown = shell.json("credential", "show", made["kid"])
    assert shown["namespaces"] == ["shop", "pay"]
    assert (shown["cluster"], shown["labels"], shown["uses"], shown["max_uses"]) == ("c1", {"team": "shop"}, 0, 3)
    (event,) = [
        one for one in shell.events("--kind", "credential.created") if one["event"]["credential"] == made["kid"]
    ]
    assert made["hmac_key"] not in json.dumps([shown, event])
    stored = b"".join(path.read_bytes() for path in shell.data.glob("acme-ra.sqlite*"))
    assert secret not in stored
    assert made["hmac_key"].encode() not in stored
    assert made["kid"].encode() in stored
    assert _unsealed(shell.data, made["kid"]) == secret


def test_a_credential_of_a_configured_cluster_is_checked(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cluster must be there, and tells the namespaces, so that the limits may be globs."""
    (tmp_path / "token").write_text("t")
    monkeypatch.setenv("ACME_RA_CLUSTERS__EAST__SERVER", "https://192.0.2.1:6443")
    monkeypatch.setenv("ACME_RA_CLUSTERS__EAST__TOKEN_FILE", str(tmp_path / "token"))

    made = shell.json("credential", "create", "--name", "east", "--cluster", "east", "--namespace", "team-*")

    assert shell.json("credential", "show", made["kid"])["namespaces"] == ["team-*"]
    _, told = shell("credential", "create", "--name", "x", "--cluster", "eats", code=Exit.USAGE)
    assert "did you mean 'east'?" in told
    _, told = shell("issuer", "manifest", "--cluster", "eats", code=Exit.USAGE)
    assert "did you mean 'east'?" in told
    _, told = shell("credential", "create", "--name", "x", "--namespace", "team-*", code=Exit.USAGE)
    assert "no Kubernetes namespace name" in told


def test_defaults_are_careful(shell: Shell) -> None:
    """One account, 90 days, no namespace; more must be asked for."""
    careful = shell.json("credential", "create", "--name", "a")
    open_ = shell.json("credential", "create", "--name", "b", "--unlimited", "--expires", "never")

    assert careful["max_uses"] == 1
    assert careful["expires_at"] is not None
    assert (open_["max_uses"], open_["expires_at"]) == (None, None)


def test_the_manifest_is_a_secret_that_cert_manager_takes(shell: Shell) -> None:
    """The key as it is, in stringData; the key id on standard error."""
    out, err = shell("credential", "create", "--name", "Prod 1", "--manifest")

    manifest = yaml.safe_load(out)
    assert manifest["metadata"] == {"name": "acme-ra-eab-prod-1", "namespace": "cert-manager"}
    assert len(parse_b64url(manifest["stringData"]["hmac-key"], field="key")) == 32
    assert "keyID" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--name", "x", "--namespace", "Shop"], "no Kubernetes namespace name"),
        (["--name", "x", "--directory", "defualt"], "did you mean 'default'?"),
        (["--name", "x", "--label", "team"], "is not KEY=VALUE"),
        (["--name", "a\nb"], "control character"),
        (["--name", "x", "--max-uses", "-1"], "is not in the range"),
        (["--namespace", "shop"], "--name"),
    ],
)
def test_a_credential_with_a_mistake_is_not_made(shell: Shell, arguments: list[str], told: str) -> None:
    """Told before anything is written."""
    before = len(shell.json("credential", "list"))

    _, err = shell("credential", "create", *arguments, code=Exit.USAGE)

    assert told in err
    assert len(shell.json("credential", "list")) == before


def test_rotation_replaces_the_secret_and_disabling_is_final(shell: Shell) -> None:
    """Each with its event; a disabled credential neither rotates nor is disabled twice."""
    made = shell.json("credential", "create", "--name", "r", "--namespace", "shop")
    rotated = shell.json("credential", "rotate", made["kid"])
    assert rotated["hmac_key"] != made["hmac_key"]
    assert shell.json("credential", "show", made["kid"])["generation"] == 2
    assert _unsealed(shell.data, made["kid"]) == parse_b64url(rotated["hmac_key"], field="key")

    shell("credential", "disable", made["kid"])

    assert shell.json("credential", "show", made["kid"])["status"] == "disabled"
    shell("credential", "disable", made["kid"], code=Exit.REFUSED)
    shell("credential", "rotate", made["kid"], code=Exit.REFUSED)
    kinds = [one["kind"] for one in shell.events() if one["event"].get("credential") == made["kid"]]
    assert kinds == ["credential.created", "credential.rotated", "credential.disabled"]


def test_what_is_not_there_has_an_exit_code_of_its_own(shell: Shell) -> None:
    """And a hint where to look."""
    for arguments, hint in (
        (["credential", "show", "none"], "credential list"),
        (["credential", "disable", "none"], "credential list"),
        (["account", "show", "77"], "account list"),
        (["account", "deactivate", "77"], "account list"),
        (["order", "show", "77"], "order list"),
        (["certificate", "show", "abc"], "certificate list"),
        (["audit", "show", "99999"], "audit list"),
    ):
        assert hint in shell(*arguments, code=Exit.NOT_FOUND)[1]
    shell("account", "show", "../etc", code=Exit.USAGE)
    shell("certificate", "show", "xyz", code=Exit.USAGE)


def test_empty_lists_say_so_on_standard_error_and_are_valid_json(shell: Shell) -> None:
    """Nothing on standard output that a script could take for a row."""
    for noun in ("account", "order", "certificate"):
        out, err = shell(noun, "list")
        assert out == ""
        assert "no " in err
        assert shell.json(noun, "list") == []


def test_the_audit_log_is_filtered_shown_and_exported(shell: Shell) -> None:
    """The same events in every form; CSV has a header and one row each."""
    shell("credential", "create", "--name", "=cmd()", "--namespace", "filters")
    events = shell.events()
    assert [one["seq"] for one in events] == list(range(1, len(events) + 1))
    only = shell.events("--namespace", "filters")
    assert [one["event"]["name"] for one in only] == ["=cmd()"]
    assert shell.events("--since", "1h") == events
    assert shell.events("--until", "2020-01-01") == []
    assert len(shell.events("--limit", "2")) == 2

    exported = shell("audit", "export")[0]
    rows = list(csv.reader(io.StringIO(shell("audit", "export", "--format", "csv")[0])))

    assert [json.loads(line) for line in exported.splitlines()] == events
    assert len(rows) == len(events) + 1
    assert "name: =cmd()" in shell("audit", "show", str(only[0]["seq"]))[0]


def test_a_database_that_was_not_migrated_is_refused_with_the_command(shell: Shell, tmp_path: Path) -> None:
    """Nothing makes or changes a database but `db upgrade`, which says what it did; a backup is whole."""
    text = (shell.data / "acme-ra.yaml").read_text("utf-8")
    config = shell.data / "other.yaml"
    config.write_text(text.replace("acme-ra.sqlite", "other.sqlite"), "utf-8")
    arguments = ["--config", str(config)]

    assert run(["audit", "list", *arguments]) == Exit.UNAVAILABLE
    assert run(["db", "check", *arguments]) == Exit.UNAVAILABLE
    assert run(["db", "upgrade", *arguments]) == Exit.OK
    assert run(["db", "check", *arguments]) == Exit.OK
    assert run(["db", "backup", str(tmp_path / "copy"), *arguments]) == Exit.OK
    assert run(["db", "backup", str(tmp_path / "copy"), *arguments]) == Exit.FAILURE
    assert (tmp_path / "copy").stat().st_mode & 0o077 == 0


def test_a_readable_master_key_refuses_commands_that_need_it(shell: Shell) -> None:
    """With the command that mends it."""
    key = shell.data / "secrets" / "master.key"
    key.chmod(0o644)
    try:
        assert "chmod 600" in shell("credential", "create", "--name", "x", code=Exit.CONFIGURATION)[1]
    finally:
        key.chmod(0o600)


def test_a_ca_is_made_brought_along_and_shown(shell: Shell, tmp_path: Path) -> None:
    """`ca init` overwrites nothing; `ca import` takes what fits and refuses another one's key."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    passphrase.chmod(0o600)
    common = ["--passphrase-file", str(passphrase), "--output", "json"]
    made = ["ca", "init", "--directory", str(tmp_path / "ca"), "--permit-dns", "example.com", *common]
    assert run(made) == Exit.OK
    assert run(made) == Exit.CONFIGURATION
    assert run(["ca", "init", "--directory", str(tmp_path / "other"), *common]) == Exit.OK

    def brought(key: str, target: str) -> int:
        return run(
            ["ca", "import", "--certificate", str(tmp_path / "ca/intermediate.pem"), "--key", str(tmp_path / key),
             "--key-passphrase-file", str(passphrase), "--directory", str(tmp_path / target), *common]
        )  # fmt: skip

    assert brought("ca/intermediate.key", "imported") == Exit.OK
    assert brought("other/intermediate.key", "wrong") == Exit.CONFIGURATION
    assert not (tmp_path / "wrong").exists()
    assert shell.json("ca", "show")[0]["name"] == "intermediate"


def test_the_servers_certificate_comes_from_a_ca_of_its_own(shell: Shell, tmp_path: Path) -> None:
    """It names the hosts, is kept while it does, and brings a bundle of both CAs."""
    root = shell.data / "ca" / "root.pem"
    words = ["ca", "server", "--directory", str(tmp_path / "tls"), "--root", str(root)]

    first = shell.json(*words, "--host", "ra.example.com")
    again = shell.json(*words, "--host", "ra.example.com")
    other = shell.json(*words, "--host", "acme-ra.acme-ra.svc")

    assert (first["made"], again["made"], other["made"]) == (True, False, True)
    leaf = x509.load_pem_x509_certificates(Path(other["certificate"]).read_bytes())[0]
    named = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "acme-ra.acme-ra.svc" in named.get_values_for_type(x509.DNSName)
    bundle = Path(other["ca_bundle"]).read_bytes()
    assert root.read_bytes() in bundle
    assert bundle.count(b"BEGIN CERTIFICATE") == 2


def test_no_key_gets_into_the_bundle_for_clients(shell: Shell, tmp_path: Path) -> None:
    """The root's key lies beside the root, one letter away."""
    key, both = shell.data / "ca" / "root.key", tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + (shell.data / "ca" / "root.pem").read_bytes())
    words = ["ca", "server", "--directory", str(tmp_path / "tls"), "--host", "ra.example.com", "--root"]

    assert run([*words, str(key)]) == Exit.CONFIGURATION
    assert run([*words, str(both)]) == Exit.OK
    assert b"KEY" not in (tmp_path / "tls" / "ca-bundle.pem").read_bytes()


def test_a_second_set_up_keeps_everything_and_takes_what_is_asked_now(tmp_path: Path) -> None:
    """Keys, credential, policies and port stay; an emptied policy folder stays empty; the host name is added."""
    folder, told = tmp_path / "data", []
    first = prepare(Asked(data=folder, listen=Endpoint("127.0.0.1", 0), hostname=None, workers=None), told.append)
    first.reserved.close()
    (folder / "policies" / "quickstart.yaml").unlink()
    before, told = sorted(folder.rglob("*.key")), []
    contents = [path.read_bytes() for path in before]

    second = prepare(Asked(data=folder, listen=Endpoint("127.0.0.1", 0), hostname=None, workers=2), told.append)
    second.reserved.close()
    third = prepare(Asked(data=folder, listen=None, hostname="ra.example.com", workers=None), lambda _: None)
    third.reserved.close()

    assert (second.eab, second.configuration.server.listen) == (first.eab, first.configuration.server.listen)
    kept = [path.read_bytes() == content for path, content in zip(before, contents, strict=True)]
    assert kept == [path.parent.name != "tls" for path in before]  # the server's own is made anew for the new name
    assert told == [f"{folder / 'acme-ra.yaml'}: changed as asked"]
    assert list((folder / "policies").iterdir()) == []
    port = first.configuration.server.endpoint.port
    assert third.configuration.server.external_url == f"https://ra.example.com:{port}"
    assert (third.configuration.server.workers, third.eab) == (2, first.eab)


def _unsealed(data: Path, kid: str) -> bytes:
    """The secret as registration opens it."""
    configuration = load_configuration(data / "acme-ra.yaml", {})
    return stored_secret(data / "acme-ra.sqlite", configuration.secrets.key_file, kid)
