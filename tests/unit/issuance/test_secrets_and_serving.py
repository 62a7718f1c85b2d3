"""Key files and passphrases, which appear nowhere; and the server's own certificate."""

import logging
import ssl
import stat
import subprocess
import traceback

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from acme_ra.core.clock import DAY
from acme_ra.core.keys import KeyAlgorithm
from acme_ra.issuance.issuer import AuthorityMisconfigured
from acme_ra.issuance.serving import LIFETIME, RENEW_BEFORE, create_server_certificate, ensure_server_certificate
from acme_ra.issuance.setup import BroughtAuthority
from acme_ra.issuance.signers.file import encode_key, load_key, open_file_signer, read_passphrase
from tests.support.issuing import NOW, PASSPHRASE, key_of, make_ca

KEY = key_of(KeyAlgorithm.ECDSA_P256, "ca")
CANARY = "canary-7f3e"


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "ca.key"
    path.write_bytes(encode_key(KEY, passphrase=PASSPHRASE))
    path.chmod(0o640)
    return path


def test_an_encrypted_key_opens_with_its_passphrase(key_file, tmp_path, monkeypatch):
    """From a file without the line break at its end, or from the environment."""
    file = tmp_path / "passphrase"
    file.write_bytes(PASSPHRASE + b"\r\n")
    file.chmod(0o600)
    monkeypatch.setenv("CA_PASSPHRASE", PASSPHRASE.decode())

    for passphrase in (read_passphrase(file=file, variable=None), read_passphrase(file=None, variable="CA_PASSPHRASE")):
        signer = open_file_signer(key_file, passphrase=passphrase)
        assert signer.private_key.public_key() == KEY.public_key()
    assert read_passphrase(file=None, variable=None) is None


def test_no_error_log_or_representation_holds_the_passphrase(key_file, tmp_path, caplog, monkeypatch):
    """The canary is looked for in messages, causes, tracebacks, logs and reprs."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("CA_PASSPHRASE", CANARY + " wrong")
    told = [
        repr(open_file_signer(key_file, passphrase=PASSPHRASE)),
        repr(BroughtAuthority(certificate=tmp_path, key=key_file, key_passphrase=PASSPHRASE)),
    ]
    attempts = [
        lambda: load_key(key_file, passphrase=(CANARY + " wrong").encode()),
        lambda: load_key(key_file, passphrase=read_passphrase(file=None, variable="CA_PASSPHRASE")),
        lambda: load_key(key_file, passphrase=None),
        lambda: encode_key(KEY, passphrase=CANARY.encode() * 200),
        lambda: encode_key(KEY, passphrase=CANARY[:6].encode()),
    ]
    for attempt in attempts:
        with pytest.raises(AuthorityMisconfigured) as caught:
            attempt()
        told += [str(caught.value), "".join(traceback.format_exception_only(caught.value)), repr(caught.value)]
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None

    assert CANARY not in "".join(told) + caplog.text
    assert CANARY[:6] not in "".join(told[2:])


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o660])
def test_a_readable_unencrypted_key_or_passphrase_is_refused(tmp_path, mode):
    """The message gives the command that repairs it."""
    path = tmp_path / "ca.key"
    path.write_bytes(encode_key(KEY, passphrase=None))
    path.chmod(mode)

    with pytest.raises(AuthorityMisconfigured, match="chmod 600"):
        load_key(path, passphrase=None)
    with pytest.raises(AuthorityMisconfigured, match="chmod 600"):
        read_passphrase(file=path, variable=None)
    path.chmod(0o600)
    assert load_key(path, passphrase=None).public_key() == KEY.public_key()


def test_files_that_hold_no_usable_key_are_refused_with_the_fix(tmp_path, monkeypatch):
    """Absent, empty, huge, not PEM, another algorithm, an empty passphrase."""
    empty, huge, other = tmp_path / "empty", tmp_path / "huge", tmp_path / "dsa"
    empty.touch(0o600)
    huge.touch(0o600)
    huge.write_bytes(b"x" * 300_000)
    other.touch(0o600)
    other.write_bytes(dsa.generate_private_key(2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    monkeypatch.setenv("EMPTY", "")
    for path, why in (
        (tmp_path / "absent", "No such file"),
        (tmp_path, "directory"),
        (empty, "not a private key"),
        (huge, "larger than"),
        (other, "no supported type"),
    ):
        with pytest.raises(AuthorityMisconfigured, match=why):
            load_key(path, passphrase=None)
    for source in ({"file": empty, "variable": None}, {"file": None, "variable": "EMPTY"}):
        with pytest.raises(AuthorityMisconfigured, match="empty or absent"):
            read_passphrase(**source)


ROOT = make_ca().root.public_bytes(Encoding.PEM)


def test_the_server_certificate_is_a_leaf_of_a_ca_of_its_own(tmp_path):
    """The issuing root is in the bundle, but has signed nothing; the serving CA's key is nowhere."""
    files = create_server_certificate(tmp_path, root=ROOT, hosts=["ra.example.com", "192.0.2.4"], now=NOW)

    leaf, authority = x509.load_pem_x509_certificates(files.certificate.read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(one.value) for one in names} == {"ra.example.com", "192.0.2.4", "localhost", "127.0.0.1", "::1"}
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    leaf.verify_directly_issued_by(authority)
    assert x509.load_pem_x509_certificates(files.ca_bundle.read_bytes())[0] == authority
    assert files.ca_bundle.read_bytes().endswith(ROOT)
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    assert sorted(one.name for one in tmp_path.iterdir()) == ["ca-bundle.pem", "server.key", "server.pem"]
    said = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-attime", str(NOW // 1000), "-verify_hostname",
         "ra.example.com", "-CAfile", files.ca_bundle, files.certificate],
        capture_output=True, text=True,
    )  # fmt: skip
    assert "OK" in said.stdout, said.stderr
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.certificate, files.key)


def test_the_server_certificate_is_kept_until_it_must_be_renewed(tmp_path):
    """Near its end, for a new host, or when its files do not belong together."""
    files, made = ensure_server_certificate(tmp_path, root=ROOT, now=NOW)
    assert made
    assert ensure_server_certificate(tmp_path, root=ROOT, now=NOW + DAY) == (files, False)

    near_end = NOW + LIFETIME - RENEW_BEFORE
    assert ensure_server_certificate(tmp_path, root=ROOT, now=near_end)[1]
    assert not ensure_server_certificate(tmp_path, root=ROOT, now=near_end)[1]
    assert ensure_server_certificate(tmp_path, root=ROOT, hosts=["new.example.com"], now=near_end)[1]
    files.key.write_bytes(encode_key(KEY, passphrase=None))
    assert ensure_server_certificate(tmp_path, root=ROOT, now=near_end)[1]
    files.ca_bundle.write_bytes(ROOT)
    assert ensure_server_certificate(tmp_path, root=ROOT, now=near_end)[1]


@pytest.mark.parametrize("host", ["*.example.com", "exa mple", "https://ra.example.com", "", "ra.example.com:8443"])
def test_what_is_no_host_is_refused(tmp_path, host):
    with pytest.raises(AuthorityMisconfigured, match="neither a host name nor an address"):
        create_server_certificate(tmp_path, root=ROOT, hosts=[host], now=NOW)
