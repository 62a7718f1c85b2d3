"""Epochs: never the same twice, whoever asks and whatever happened to the file."""

import threading
from pathlib import Path

import pytest

from acme_ra.epoch import next_epoch


class At:
    def __init__(self, seconds: int) -> None:
        self.seconds = seconds

    def now(self) -> int:
        return self.seconds * 1000


def test_it_grows_at_every_start(tmp_path: Path) -> None:
    """Also within one second, and when the clock goes back."""
    path = tmp_path / "epoch"

    epochs = [next_epoch(path, At(seconds)) for seconds in (1000, 1000, 1000, 10, 2000)]

    assert epochs == [1000, 1001, 1002, 1003, 2000]


@pytest.mark.parametrize("content", [b"", b"rubbish", b"0000000900\n"])
def test_it_grows_when_the_file_is_lost_or_an_old_copy_comes_back(tmp_path: Path, content: bytes) -> None:
    """The time is never less than what was given out before."""
    path = tmp_path / "epoch"
    given = next_epoch(path, At(1000))
    path.write_bytes(content)

    assert next_epoch(path, At(1001)) > given


def test_workers_that_start_at_once_get_different_epochs(tmp_path: Path) -> None:
    """The file is locked while it is counted up."""
    path, found = tmp_path / "epoch", []
    threads = [threading.Thread(target=lambda: found.append(next_epoch(path, At(5)))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(found)) == 16
