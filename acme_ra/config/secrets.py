"""The master key file: 32 random bytes in base64, for its owner only. What is sealed under it is lost with it."""

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path

from acme_ra.core.file_modes import is_private
from acme_ra.core.sealing import MASTER_BYTES


class KeyFileUnusable(Exception):
    """The message names the file, what is wrong, and the fix."""


def create_key_file(path: Path) -> None:
    """Make a new master key. Raises FileExistsError rather than replace one."""
    write_private(path, base64.b64encode(secrets.token_bytes(MASTER_BYTES)) + b"\n")


def read_key_file(path: Path) -> bytes:
    """The master key. Raises KeyFileUnusable, also when others than the owner may read the file."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            text = file.read(4096)
    except FileNotFoundError as error:
        raise KeyFileUnusable(
            f"{path}: there is no such master key file; restore it from your backup "
            f"(new installations: `head -c 32 /dev/urandom | base64 > {path} && chmod 600 {path}`)"
        ) from error
    except OSError as error:
        raise KeyFileUnusable(f"{path}: the master key cannot be read ({error.strerror}); check its owner") from error
    if not is_private(status, user=os.geteuid()):
        mode = stat.S_IMODE(status.st_mode)
        raise KeyFileUnusable(f"{path}: others may read the master key (mode {mode:04o}); run `chmod 600 {path}`")
    try:
        master = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise KeyFileUnusable(f"{path}: the master key is not base64; restore the file from your backup") from error
    if len(master) != MASTER_BYTES:
        raise KeyFileUnusable(
            f"{path}: the master key has {len(master)} bytes instead of {MASTER_BYTES}; restore it from your backup"
        )
    return master


def write_private(path: Path, content: bytes) -> None:
    """Write a new file with mode 0600, durably, whole or not at all. Raises FileExistsError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        temporary.unlink()
