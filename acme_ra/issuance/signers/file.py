"""Issuing keys in files: PKCS#8 in PEM, encrypted with a passphrase or readable by their user only."""

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from acme_ra.core.file_modes import is_private
from acme_ra.issuance.issuer import AuthorityMisconfigured
from acme_ra.issuance.signers.contract import PrivateKey
from acme_ra.issuance.signers.memory import MemorySigner

MAX_FILE = 256 * 1024
MIN_PASSPHRASE = 8
_ENCRYPTED = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"ENCRYPTED")


def open_file_signer(path: Path, *, passphrase: bytes | None) -> MemorySigner:
    """Read an issuing key. Raises AuthorityMisconfigured; no message ever holds the passphrase or the key."""
    key = load_key(path, passphrase=passphrase)
    _check_deterministic(key)
    return MemorySigner(key)


def load_key(path: Path, *, passphrase: bytes | None) -> PrivateKey:
    """The private key in a PEM file, whose permissions are checked first."""
    pem = read_file(path, what="key")
    encrypted = any(mark in pem for mark in _ENCRYPTED)
    if encrypted and passphrase is None:
        raise AuthorityMisconfigured(
            f"the key {path} is encrypted and no passphrase is configured", "set passphrase_file or passphrase_env"
        )
    if not encrypted:
        check_private(path, what="unencrypted key")
    try:
        key = load_pem_private_key(pem, passphrase if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The cause is cut off: what a parser says of a secret file stays out of every log.
        reason = "does not open with the passphrase" if encrypted else "is not a private key in PEM"
        fix = "check the passphrase" if encrypted else "convert it with: openssl pkcs8 -topk8"
        raise AuthorityMisconfigured(f"the key {path} {reason}", fix) from None
    if not isinstance(key, PrivateKey):
        raise AuthorityMisconfigured(f"the key {path} is of no supported type", "use ECDSA, RSA or Ed25519")
    return key


def read_passphrase(*, file: Path | None, variable: str | None) -> bytes | None:
    """The passphrase from its file, without the final line break, or from the environment; None when neither is set."""
    if file is not None:
        check_private(file, what="passphrase file")
        passphrase = read_file(file, what="passphrase file").rstrip(b"\r\n")
        source = str(file)
    elif variable is not None:
        passphrase = os.environ.get(variable, "").encode("utf-8", "surrogateescape")
        source = f"the environment variable {variable}"
    else:
        return None
    if not passphrase:
        raise AuthorityMisconfigured(f"the passphrase in {source} is empty or absent", "put it there")
    return passphrase


def encode_key(key: PrivateKey, *, passphrase: bytes | None) -> bytes:
    """PKCS#8 in PEM. Raises AuthorityMisconfigured for a passphrase that protects nothing."""
    encryption: KeySerializationEncryption = NoEncryption()
    if passphrase is not None:
        if not MIN_PASSPHRASE <= len(passphrase) <= 1023:
            raise AuthorityMisconfigured(
                "the passphrase is too short or too long", f"use {MIN_PASSPHRASE} to 1023 characters"
            )
        encryption = BestAvailableEncryption(passphrase)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def read_file(path: Path, *, what: str) -> bytes:
    """A small file. Raises AuthorityMisconfigured with the path and the system's reason."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        message = f"the {what} {path} cannot be read: {error.strerror}"
        raise AuthorityMisconfigured(message, "check the path and its permissions") from error
    if len(content) > MAX_FILE:
        raise AuthorityMisconfigured(f"the {what} {path} is larger than {MAX_FILE} bytes", "check the path")
    return content


def check_private(path: Path, *, what: str) -> None:
    """Raises AuthorityMisconfigured when others may read or change the file (core/file_modes.py)."""
    try:
        status = path.stat()
    except OSError as error:
        message = f"the {what} {path} cannot be read: {error.strerror}"
        raise AuthorityMisconfigured(message, "check the path and its permissions") from error
    if not is_private(status, user=os.geteuid()):
        mode = stat.S_IMODE(status.st_mode)
        raise AuthorityMisconfigured(f"others may read the {what} {path} (mode {mode:04o})", f"run: chmod 600 {path}")


def write_new(path: Path, content: bytes, *, mode: int) -> None:
    """Create a file durably, never over another. Raises AuthorityMisconfigured when it exists."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    except FileExistsError as error:
        raise AuthorityMisconfigured(
            f"{path} exists already", "choose another directory or name, or move it"
        ) from error
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise AuthorityMisconfigured(message, "check the path and its permissions") from error
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _check_deterministic(key: PrivateKey) -> None:
    """A repeat after a crash must give the same certificate, so ECDSA without RFC 6979 is not good enough."""
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return
    try:
        key.sign(b"", ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    except UnsupportedAlgorithm as error:
        message = "this build of cryptography cannot make deterministic ECDSA signatures (RFC 6979)"
        raise AuthorityMisconfigured(message, "install its wheel, which brings OpenSSL 3.2 or later") from error
