"""The master key file: private, whole, never replaced."""

import base64
from pathlib import Path

import pytest

from acme_ra.config.secrets import KeyFileUnusable, create_key_file, read_key_file, write_private


def test_a_new_key_is_private_and_read_back(tmp_path: Path) -> None:
    """32 bytes, mode 0600, no temporary file left."""
    path = tmp_path / "secrets" / "master.key"

    create_key_file(path)

    assert len(read_key_file(path)) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_an_existing_key_is_never_replaced(tmp_path: Path) -> None:
    """Everything sealed would be lost with it."""
    path = tmp_path / "master.key"
    create_key_file(path)
    before = path.read_bytes()

    with pytest.raises(FileExistsError):
        create_key_file(path)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_may_read_refuses_the_start(tmp_path: Path, mode: int) -> None:
    """Group and world alike, with the command that mends it."""
    path = tmp_path / "master.key"
    create_key_file(path)
    path.chmod(mode)

    with pytest.raises(KeyFileUnusable, match="chmod 600"):
        read_key_file(path)


@pytest.mark.parametrize("content", [b"", b"not base64!", base64.b64encode(b"short"), base64.b64encode(bytes(33))])
def test_what_is_no_key_is_refused_without_being_shown(tmp_path: Path, content: bytes) -> None:
    """The content is not part of the message."""
    path = tmp_path / "master.key"
    write_private(path, content)

    with pytest.raises(KeyFileUnusable) as caught:
        read_key_file(path)

    assert content.decode() not in str(caught.value) or not content


def test_a_missing_key_says_to_restore_it(tmp_path: Path) -> None:
    """Making a new one would not open what the old one sealed."""
    with pytest.raises(KeyFileUnusable, match="restore it from your backup"):
        read_key_file(tmp_path / "none")
