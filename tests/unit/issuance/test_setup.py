"""Making and importing authorities: what is written, and every mistake with its fix."""

import ipaddress
import stat
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from acme_ra.core.clock import DAY
from acme_ra.core.keys import KeyAlgorithm
from acme_ra.core.urls import Urls
from acme_ra.issuance.issuer import AuthorityMisconfigured
from acme_ra.issuance.profiles import Profile
from acme_ra.issuance.registry import open_authorities, open_authority
from acme_ra.issuance.settings import LocalAuthoritySettings, ProfileSettings
from acme_ra.issuance.setup import (
    AuthorityFiles,
    BroughtAuthority,
    Constraints,
    NewAuthority,
    _make_ca,
    import_authority,
    init_authority,
)
from acme_ra.issuance.signers.file import encode_key
from tests.support.issuing import NOW, PASSPHRASE, YEAR, approval, key_of, make_ca

PROFILES = {"default": Profile("default", ProfileSettings())}
URLS = Urls("https://ra.example.com:8443")


@pytest.fixture
def passphrase_file(tmp_path) -> Path:
    path = tmp_path / "passphrase"
    path.write_bytes(PASSPHRASE + b"\n")
    path.chmod(0o600)
    return path


def settings_of(files: AuthorityFiles, passphrase_file: Path, **more) -> LocalAuthoritySettings:
    return LocalAuthoritySettings(
        kind="local", certificate=files.certificate, key=files.key, passphrase_file=passphrase_file, **more
    )


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.ECDSA_P256, KeyAlgorithm.ECDSA_P384])
async def test_a_new_authority_issues_certificates_that_openssl_verifies(tmp_path, passphrase_file, algorithm):
    """`ca init`, the configuration, a certificate: with nothing else in between."""
    new = NewAuthority(directory=tmp_path / "ca", algorithm=algorithm)
    files = init_authority(new, passphrase=PASSPHRASE, now=NOW)

    authority = open_authority("main", settings_of(files, passphrase_file), profiles=PROFILES, urls=URLS)
    issued = await authority.issue(approval())

    leaf = x509.load_der_x509_certificate(issued.leaf)
    point = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value[0]
    assert point.full_name[0].value == "https://ra.example.com:8443/ca/main.crl"
    full = tmp_path / "full.pem"
    full.write_bytes(leaf.public_bytes(Encoding.PEM) + issued.chains[0])
    assert issued.chains[0].count(b"BEGIN CERTIFICATE") == 1
    said = subprocess.run(
        [
            "openssl",
            "verify",
            "-x509_strict",
            "-attime",
            str(NOW // 1000),
            "-CAfile",
            files.root,
            "-untrusted",
            full,
            full,
        ],
        capture_output=True,
        text=True,
    )
    assert "OK" in said.stdout, said.stderr


def test_keys_are_encrypted_and_for_their_user_only(tmp_path):
    """The root's key too, under its own passphrase where one is given."""
    new = NewAuthority(directory=tmp_path / "ca")
    files = init_authority(new, passphrase=PASSPHRASE, root_passphrase=b"another passphrase", now=NOW)

    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(files.root_key.stat().st_mode) == 0o600
    assert stat.S_IMODE(files.key.parent.stat().st_mode) == 0o700
    for path, passphrase in ((files.key, PASSPHRASE), (files.root_key, b"another passphrase")):
        assert b"BEGIN ENCRYPTED PRIVATE KEY" in path.read_bytes()
        load_pem_private_key(path.read_bytes(), passphrase)
        with pytest.raises(ValueError, match=r"password|decrypt"):
            load_pem_private_key(path.read_bytes(), b"wrong")


def test_constraints_path_length_and_lifetimes_are_in_the_certificate(tmp_path):
    """An intermediate that may sign names of one domain signs no addresses either."""
    constraints = Constraints(permitted_dns=("*.Example.com",), excluded_dns=(".secret.example.com",))
    new = NewAuthority(directory=tmp_path, constraints=constraints, lifetime=2 * YEAR, name="shop")
    files = init_authority(new, passphrase=PASSPHRASE, now=NOW)

    shop, root = x509.load_pem_x509_certificates(files.certificate.read_bytes())

    value = shop.extensions.get_extension_for_class(x509.NameConstraints)
    assert value.critical
    assert [one.value for one in value.value.permitted_subtrees] == ["example.com"]
    assert [str(one.value) for one in value.value.excluded_subtrees] == ["secret.example.com", "0.0.0.0/0", "::/0"]
    assert shop.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 1
    assert shop.not_valid_after_utc - shop.not_valid_before_utc == timedelta(days=2 * 365) - timedelta(seconds=1)
    assert files.certificate.name == "shop.pem"
    shop.verify_directly_issued_by(root)


def test_nothing_is_ever_overwritten(tmp_path):
    """A second init in the same place would end the first CA."""
    new = NewAuthority(directory=tmp_path)
    files = init_authority(new, passphrase=PASSPHRASE, now=NOW)
    before = files.key.read_bytes()

    with pytest.raises(AuthorityMisconfigured, match="exists already"):
        init_authority(new, passphrase=PASSPHRASE, now=NOW)

    assert files.key.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": "../up"}, "not a name for an authority"),
        ({"name": "root"}, "cannot be called root"),
        ({"algorithm": KeyAlgorithm.RSA_2048}, "ecdsa-p256 or ecdsa-p384"),
        ({"organization": ""}, "organization"),
        ({"lifetime": 0}, "lifetimes"),
        ({"constraints": Constraints(permitted_dns=("exa mple",))}, "is not a domain"),
    ],
)
def test_what_cannot_be_made_is_told_with_the_fix(tmp_path, changes, why):
    with pytest.raises(AuthorityMisconfigured, match=why):
        init_authority(NewAuthority(directory=tmp_path, **changes), passphrase=PASSPHRASE, now=NOW)
    assert list(tmp_path.iterdir()) == []


def test_a_short_passphrase_is_refused(tmp_path):
    with pytest.raises(AuthorityMisconfigured, match="too short"):
        init_authority(NewAuthority(directory=tmp_path), passphrase=b"abc", now=NOW)


class Brought:
    """A CA made elsewhere, as files; each test breaks one thing."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ca = folder, make_ca()
        self.certificate, self.root, self.key = self.ca.certificate, self.ca.root, self.ca.key
        self.passphrase: bytes | None = b"brought passphrase"

    def bring(self, now=NOW, *, with_root=True):
        def written(name, content):
            path = self.folder / name
            path.write_bytes(content)
            path.chmod(0o600)
            return path

        brought = BroughtAuthority(
            certificate=written("their.pem", self.certificate.public_bytes(Encoding.PEM)),
            key=written("their.key", encode_key(self.key, passphrase=self.passphrase)),
            chain=written("their-root.pem", self.root.public_bytes(Encoding.PEM)) if with_root else None,
            key_passphrase=self.passphrase,
        )
        return import_authority(brought, directory=self.folder / "ca", name="main", passphrase=PASSPHRASE, now=now)

    def issue_again(self, *, drop=(), add=(), algorithm=None, subject=None):
        """The intermediate once more, with other extensions or another hash."""
        old = self.certificate
        builder = x509.CertificateBuilder(
            self.root.subject,
            old.subject if subject is None else subject,
            self.key.public_key(),
            77,
            old.not_valid_before_utc.replace(tzinfo=None),
            old.not_valid_after_utc.replace(tzinfo=None),
            [one for one in old.extensions if not isinstance(one.value, tuple(drop))] if drop else list(old.extensions),
        )
        for value in add:
            builder = builder.add_extension(value, critical=True)
        self.certificate = builder.sign(self.ca.root_key, algorithm or hashes.SHA256())


async def test_a_brought_authority_is_checked_and_its_key_encrypted_anew(tmp_path, passphrase_file):
    """Afterwards it is an authority like one of ours."""
    files = Brought(tmp_path).bring()

    authority = open_authority("main", settings_of(files, passphrase_file), profiles=PROFILES, urls=URLS)

    assert (await authority.issue(approval())).leaf
    described = authority.describe()
    assert described.kind == "local"
    assert described.path_length == 0
    assert described.key == "ecdsa-p256"
    assert len(described.chain) == 1
    assert len(described.fingerprint) == 64


def test_a_key_of_another_certificate_is_refused(tmp_path):
    brought = Brought(tmp_path)
    brought.key = key_of(KeyAlgorithm.ECDSA_P256, "thief")
    with pytest.raises(AuthorityMisconfigured, match="key does not belong"):
        brought.bring()
    assert not (tmp_path / "ca").exists()


def test_a_broken_chain_is_refused(tmp_path):
    """No root, or a root of the same name with another key."""
    with pytest.raises(AuthorityMisconfigured, match=r"chain of .* is broken: no given certificate of .*root"):
        Brought(tmp_path).bring(with_root=False)
    brought = Brought(tmp_path)
    other = key_of(KeyAlgorithm.ECDSA_P256, "thief")
    brought.root = _make_ca(
        other.public_key(), subject=brought.root.subject, lifetime=YEAR, now=NOW, path_length=1, signed_by=other
    )
    with pytest.raises(AuthorityMisconfigured, match=r"chain of .* is broken"):
        brought.bring()


def test_an_expired_or_future_authority_is_refused(tmp_path):
    with pytest.raises(AuthorityMisconfigured, match="expired at 20"):
        Brought(tmp_path).bring(now=NOW + 6 * YEAR)
    with pytest.raises(AuthorityMisconfigured, match="not valid before"):
        Brought(tmp_path).bring(now=NOW - DAY)


@pytest.mark.parametrize(
    ("drop", "add", "why"),
    [
        ([x509.BasicConstraints], [x509.BasicConstraints(False, None)], "is not a CA certificate"),
        ([x509.BasicConstraints], [], "is not a CA certificate"),
        (
            [x509.KeyUsage],
            [x509.KeyUsage(True, False, False, False, False, False, False, False, False)],
            "may not sign certificates",
        ),
        ([x509.KeyUsage], [], "may not sign certificates"),
        ([x509.SubjectKeyIdentifier], [], "no subject key identifier"),
    ],
)
def test_a_certificate_that_may_not_issue_is_refused(tmp_path, drop, add, why):
    brought = Brought(tmp_path)
    brought.issue_again(drop=drop, add=add)
    with pytest.raises(AuthorityMisconfigured, match=why):
        brought.bring()


def test_a_path_length_that_is_too_short_is_refused(tmp_path):
    """The root says 0: no CA may stand below it."""
    brought = Brought(tmp_path)
    brought.root = _make_ca(
        brought.ca.root_key.public_key(),
        subject=brought.root.subject,
        lifetime=YEAR,
        now=NOW,
        path_length=0,
        signed_by=brought.ca.root_key,
    )
    with pytest.raises(AuthorityMisconfigured, match=r"path length 0 .* forbids 1 CA"):
        brought.bring()


def test_a_weak_signature_is_refused(tmp_path):
    """An intermediate that was signed with SHA-1."""
    brought = Brought(tmp_path)
    pem = tmp_path / "weak.pem"
    for name, key in (("i.key", brought.key), ("r.key", brought.ca.root_key)):
        (tmp_path / name).write_bytes(encode_key(key, passphrase=None))
    (tmp_path / "root.pem").write_bytes(brought.root.public_bytes(Encoding.PEM))
    extensions = tmp_path / "ext"
    extensions.write_text(
        "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n"
    )
    request = subprocess.run(
        ["openssl", "req", "-new", "-key", tmp_path / "i.key", "-subj", "/CN=weak"], capture_output=True, check=True
    ).stdout
    made = subprocess.run(
        ["openssl", "x509", "-req", "-sha1", "-days", "3650", "-CA", tmp_path / "root.pem", "-CAkey",
         tmp_path / "r.key", "-set_serial", "9", "-extfile", extensions, "-out", pem],
        input=request, capture_output=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    brought.certificate = x509.load_pem_x509_certificate(pem.read_bytes())
    with pytest.raises(AuthorityMisconfigured, match="signed with sha1"):
        brought.bring()


async def test_alternate_chains_come_after_the_default_one(tmp_path, passphrase_file):
    """A cross certificate by another root gives a second chain; one for another key is refused."""
    files = Brought(tmp_path).bring()
    ca, other = make_ca(), make_ca(which="other")
    cross = _make_ca(
        ca.key.public_key(),
        subject=ca.certificate.subject,
        lifetime=YEAR,
        now=NOW,
        path_length=0,
        signed_by=other.root_key,
        issuer=other.root,
    )
    path, wrong = tmp_path / "cross.pem", tmp_path / "wrong.pem"
    path.write_bytes(cross.public_bytes(Encoding.PEM) + other.root.public_bytes(Encoding.PEM))
    wrong.write_bytes(other.certificate.public_bytes(Encoding.PEM))

    plain = open_authority("main", settings_of(files, passphrase_file), profiles=PROFILES, urls=URLS)
    crossed = open_authorities(
        {"main": settings_of(files, passphrase_file, alternates=[path], serve_root=True)}, profiles=PROFILES, urls=URLS
    )["main"]

    one, two = await plain.issue(approval()), await crossed.issue(approval())
    assert len(one.chains) == 1
    assert len(two.chains) == 2
    assert one.chain_id != two.chain_id
    assert x509.load_pem_x509_certificates(two.chains[1]) == [cross, other.root]
    with pytest.raises(AuthorityMisconfigured, match="does not begin with"):
        open_authority("main", settings_of(files, passphrase_file, alternates=[wrong]), profiles=PROFILES, urls=URLS)


async def test_an_expired_authority_still_opens_for_its_list(tmp_path, passphrase_file):
    """Its certificates are refused one by one; its CRL must be served until the end."""
    files = Brought(tmp_path).bring()
    authority = open_authority("main", settings_of(files, passphrase_file), profiles=PROFILES, urls=URLS)
    assert x509.load_der_x509_crl(await authority.sign_crl([], number=1, now=NOW + 9 * YEAR)) is not None


def test_an_unusual_subject_and_network_constraints_survive(tmp_path):
    """Addresses are permitted as networks; names of one label are domains too."""
    constraints = Constraints(permitted_dns=("local",), permitted_ip=(ipaddress.ip_network("fd00::/8"),))
    files = init_authority(
        NewAuthority(directory=tmp_path, constraints=constraints, organization="Müller & Söhne"),
        passphrase=PASSPHRASE,
        now=NOW,
    )
    certificate = x509.load_pem_x509_certificates(files.certificate.read_bytes())[0]
    value = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    assert [str(one.value) for one in value.permitted_subtrees] == ["local", "fd00::/8"]
    assert value.excluded_subtrees is None
    assert "Müller" in certificate.subject.rfc4514_string()
