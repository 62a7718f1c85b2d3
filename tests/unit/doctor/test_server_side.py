"""`acme-ra doctor` on a server: each finding by a set-up that really is broken."""

import fcntl
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from acme_ra.config.secrets import create_key_file
from acme_ra.core.clock import DAY, SystemClock
from acme_ra.doctor.findings import Finding, Level
from acme_ra.doctor.registry import SERVER_CHECKS
from acme_ra.doctor.server.database import filesystem_of
from acme_ra.issuance import serving
from acme_ra.issuance.serving import create_server_certificate
from acme_ra.storage import probe
from tests.support.shell import Shell
from tests.unit.doctor.conftest import NETWORK, Home

GRANT = "kind: ClusterIssuancePolicy\nmetadata: {name: a}\nspec: {effect: grant, allowed: {dnsNames: [a.test]}}\n"


def test_a_new_server_has_nothing_to_mend(home: Home) -> None:
    """Every check says that all is well, and none is silent."""
    found = home.findings()

    assert [one for one in found if one.level != Level.OK] == []
    assert {one.check for one in found} == {check.name for check in SERVER_CHECKS} - set(NETWORK)


def test_a_file_that_is_no_configuration_is_all_there_is_to_say(home: Home) -> None:
    """With its line and the fix; the other checks have nothing to look at."""
    home.replace("storage:", "storrage:")

    found = home.findings()

    assert {one.check for one in found} == {"configuration"}
    assert any("storrage" in one.seen and "did you mean 'storage'?" in one.fix for one in found)


def test_a_contradiction_is_told_and_the_other_checks_go_on(home: Home) -> None:
    """A directory that names no authority."""
    home.replace("authorities: [intermediate]", "authorities: [intermedaite]")

    found = home.findings()

    assert "there is no authority called 'intermedaite'" in home.problem("configuration").seen
    assert {"database", "policies"} <= {one.check for one in found if one.level == Level.OK}


@pytest.mark.parametrize(
    "file", ["secrets/master.key", "tls/server.key", "ca/intermediate.key", "secrets/intermediate.passphrase",
             "acme-ra.sqlite"],
)  # fmt: skip
def test_a_secret_that_others_may_read_is_an_error(home: Home, file: str) -> None:
    (home.folder / file).chmod(0o644)

    found = home.problem("files")

    assert found.fix == f"run: chmod 600 {home.folder / file}"


@pytest.mark.parametrize("file", ["acme-ra.yaml", "policies", "policies/quickstart.yaml", "ca/intermediate.pem"])
def test_what_decides_and_others_may_change_is_an_error(home: Home, file: str) -> None:
    """Whoever writes a policy gets any certificate."""
    (home.folder / file).chmod(0o777)

    found = home.problem("files")

    assert f"others may change {home.folder / file}" in found.seen


def test_a_database_that_is_not_there(home: Home) -> None:
    (home.folder / "acme-ra.sqlite").unlink()

    assert home.problem("database").fix == "run: acme-ra db upgrade"


def test_a_database_of_another_version(home: Home) -> None:
    """Of an older one it says what to run; of a newer one not to go on."""
    with sqlite3.connect(home.folder / "acme-ra.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    assert "newer" in home.problem("database").seen
    assert home.problem("credentials").level == Level.ERROR
    assert [one.level for one in home.findings("policies")] == [Level.OK]


def test_a_file_that_is_no_database(home: Home) -> None:
    (home.folder / "acme-ra.sqlite").write_bytes(b"not a database at all" * 1000)

    assert "cannot be written" in home.problem("database").seen


def test_a_database_that_another_process_holds(home: Home) -> None:
    """A process that hangs in a transaction keeps everybody waiting; the wait is bounded."""
    home.replace("path: acme-ra.sqlite", "path: acme-ra.sqlite\n  busy_timeout: 100")
    lock = os.open(home.folder / "acme-ra.sqlite-lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        found = home.problem("database")
    finally:
        os.close(lock)

    assert "another process has kept the write lock" in found.seen


def test_a_disk_that_does_not_sync(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit would not be durable, so nothing may be issued."""

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(probe.os, "fsync", broken)

    assert "Input/output error" in home.problem("database").seen
    assert [one.name for one in home.folder.iterdir() if "probe" in one.name] == []


def test_the_probe_leaves_nothing_behind(home: Home) -> None:
    """No table, no file."""
    home.findings("database")

    with sqlite3.connect(home.folder / "acme-ra.sqlite") as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE '%probe%'").fetchall()
    connection.close()
    assert tables == []
    assert [one.name for one in home.folder.iterdir() if "probe" in one.name] == []


def test_a_full_disk_and_a_slow_one(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told before they bite."""
    monkeypatch.setattr(
        "acme_ra.doctor.server.database.probe", lambda _: probe.Probed(sync_seconds=0.2, free=1024**2, size=1024**4)
    )

    slow, full = home.findings("database")

    assert (slow.level, full.level) == (Level.WARNING, Level.ERROR)
    assert "200 ms" in slow.seen
    assert "1 MiB free" in full.seen


def test_a_network_file_system_is_recognised(tmp_path: Path) -> None:
    """The longest mount point above the file decides."""
    mounts = tmp_path / "mounts"
    inside = tmp_path / "with space" / "data"
    inside.mkdir(parents=True)
    escaped = str(inside.parent).replace(" ", "\\040")
    mounts.write_text(f"/dev/root / ext4 rw 0 0\nhost:/x {escaped} nfs4 rw 0 0\nproc /proc proc rw 0 0\n")

    assert filesystem_of(inside / "acme-ra.sqlite", mounts) == "nfs4"
    assert filesystem_of(tmp_path / "acme-ra.sqlite", mounts) == "ext4"


def test_a_master_key_of_another_database(home: Home) -> None:
    """It is a good key file, but what was sealed does not open."""
    (home.folder / "secrets" / "master.key").unlink()
    create_key_file(home.folder / "secrets" / "master.key")

    assert "does not open the credentials of this database" in home.problem("master key").seen


def test_a_credential_that_was_changed_in_the_database(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """One does not open, the others do: it is no matter of the key. Disabled, it is nobody's concern any more."""
    shell = Shell(home.folder, capsys)
    kid = shell.json("credential", "create", "--name", "shop", "--namespace", "shop")["kid"]
    connection = sqlite3.connect(home.folder / "acme-ra.sqlite")
    with connection:
        connection.execute('UPDATE credentials SET binding = \'{"namespaces":["pay"]}\' WHERE kid = ?', (kid,))
    connection.close()

    found = home.problem("master key")
    shell.json("credential", "disable", kid)

    assert f"opens the others, but not {kid}" in found.seen
    assert "credential disable KID" in found.fix
    assert [one for one in home.findings() if one.check == "master key" and one.level != Level.OK] == []


def test_no_master_key(home: Home) -> None:
    (home.folder / "secrets" / "master.key").write_text("too short\n")

    assert home.problem("master key").fix == "restore the file from your backup"


def test_a_credential_that_nobody_used_before_it_expired(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """The Secret was never applied, or the issuer is not ready; one in use may expire."""
    shell = Shell(home.folder, capsys)
    kid = shell.json("credential", "create", "--name", "late", "--expires", "3d")["kid"]

    found = home.problem("credentials", Level.WARNING)

    assert f"credential {kid} (late) expires at" in found.seen
    assert f"credential disable {kid}" in found.fix


@pytest.mark.parametrize(
    ("text", "level", "told"),
    [
        (GRANT.replace("grant", "grnat"), Level.ERROR, "spec.effect"),
        (GRANT.replace("{effect", "{authority: nowhere, effect"), Level.ERROR, "no authority called 'nowhere'"),
        (GRANT.replace("{effect", "{profile: nowhere, effect"), Level.ERROR, "no profile called 'nowhere'"),
        ("", Level.WARNING, "no enforced grant applies in directory default"),
        (GRANT.replace("{effect", "{mode: shadow, effect"), Level.WARNING, "no enforced grant applies"),
    ],
)
def test_policies_that_do_not_do_what_they_look_like(home: Home, text: str, level: Level, told: str) -> None:
    home.policies(text)

    assert told in home.problem("policies", level).seen


def test_a_guard_for_a_directory_that_is_not_there_guards_nothing(home: Home) -> None:
    """A typing error in a guard leaves a door open, quietly."""
    guard = (
        "kind: ClusterIssuancePolicy\nmetadata: {name: g}\nspec: {effect: guard, selector: {directories: [intern]}, "
    )
    home.policies(f"{GRANT}---\n{guard}denied: {{dnsNames: [b.test]}}}}\n")

    assert "guard g selects directories intern" in home.problem("policies", Level.WARNING).seen


@pytest.mark.parametrize("effect", ["grant", "guard"])
def test_a_policy_for_a_cluster_that_is_not_there(home: Home, effect: str) -> None:
    """Known are the configured clusters and those that credentials speak for: here the first credential's."""
    selected = GRANT.replace("grant", effect).replace("{effect", "{selector: {clusters: [prd]}, effect")
    home.policies(f"{GRANT}---\n{selected.replace('name: a', 'name: b')}")
    assert f"{effect} b selects clusters prd" in home.problem("policies", Level.WARNING).seen

    home.policies(f"{GRANT}---\n{selected.replace('name: a', 'name: b').replace('prd', 'quick*')}")
    assert [one.level for one in home.findings("policies")] == [Level.OK]


def test_a_credential_of_a_cluster_that_is_not_configured(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """Its orders would have no namespace; one that is bound to namespaces has."""
    shell = Shell(home.folder, capsys)
    shell("credential", "create", "--name", "bound", "--cluster", "prod", "--namespace", "shop")
    assert [one.level for one in home.findings("credentials")] == [Level.OK]

    kid = shell.json("credential", "create", "--name", "free", "--cluster", "prod")["kid"]

    assert f"credential {kid} (free) speaks for cluster prod" in home.problem("credentials", Level.WARNING).seen


def test_an_authority_whose_key_is_another_ones(home: Home) -> None:
    """The chain, the key and the passphrase are tried out."""
    (home.folder / "secrets" / "intermediate.passphrase").write_text("wrong\n")

    assert "does not open with the passphrase" in home.problem("authorities").seen


def test_an_authority_that_ends_before_its_certificates(home: Home) -> None:
    """Certificates would be cut short: told long before."""
    home.replace("validity: 90d", "validity: 3650d")

    assert "certificates may last 3650" in home.problem("authorities", Level.WARNING).seen


def test_a_server_certificate_for_another_name(home: Home) -> None:
    """Tried out as a client would, in a TLS handshake."""
    home.replace("# external_url: https://ra.example.com", "external_url: https://elsewhere.example.com")

    found = home.problem("server certificate")

    assert "does not accept" in found.seen
    assert "elsewhere.example.com" in found.seen


def test_a_bundle_that_does_not_verify_the_server(home: Home) -> None:
    """The issuing root did not sign the server's certificate."""
    (found,) = home.findings("server certificate", bundle=(home.folder / "ca" / "root.pem").read_bytes())

    assert found.level == Level.ERROR
    assert "with the CA bundle does not accept" in found.seen


def test_a_server_certificate_that_ends_soon_and_one_that_ended(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    root = (home.folder / "ca" / "root.pem").read_bytes()

    def lasts(days: int) -> Finding:
        monkeypatch.setattr(serving, "LIFETIME", days * DAY)
        now = SystemClock().now() if days > 1 else SystemClock().now() - 10 * DAY
        create_server_certificate(home.folder / "tls", root=root, now=now)
        (finding,) = home.findings("server certificate")
        return finding

    assert lasts(10).level == Level.WARNING
    ended = lasts(1)
    assert ended.level == Level.ERROR
    assert "expired" in ended.seen
    leaf = x509.load_pem_x509_certificates((home.folder / "tls" / "server.pem").read_bytes())[0]
    assert leaf.not_valid_after_utc < datetime.now(UTC)


def test_a_server_key_of_another_certificate(home: Home) -> None:
    (home.folder / "tls" / "server.key").write_bytes(b"no key")

    assert "correct server.tls" in home.problem("server certificate").fix
