"""Files that are replaced while the server runs."""

import asyncio
import os
from pathlib import Path

import pytest

from acme_ra.filewatch import reloader, stamp, watch


def test_nothing_changes_by_being_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("one")

    assert stamp([file, tmp_path]) == stamp([file, tmp_path])


@pytest.mark.parametrize("what", ["written", "replaced", "removed", "added", "inside", "linked"])
def test_every_way_of_changing_a_file_is_seen(what: str, tmp_path: Path) -> None:
    folder, file, link = tmp_path / "folder", tmp_path / "file", tmp_path / "link"
    folder.mkdir()
    file.write_text("one")
    (folder / "x.yaml").write_text("one")
    link.symlink_to(file)
    os.utime(file, ns=(1, 1))
    paths = [folder, file, link, tmp_path / "missing"]
    before = stamp(paths)

    if what == "written":
        file.write_text("two")
    elif what == "replaced":
        other = tmp_path / "other"
        other.write_text("two")
        other.replace(file)
    elif what == "removed":
        file.unlink()
    elif what == "added":
        (tmp_path / "missing").write_text("")
    elif what == "inside":
        (folder / "y.yaml").write_text("")
    else:
        link.unlink()
        link.symlink_to(folder / "x.yaml")

    assert stamp(paths) != before


async def test_each_change_is_told(tmp_path: Path) -> None:
    """The first and the next one; it ends when it is cancelled."""
    file, told = tmp_path / "file", asyncio.Queue[None]()
    watching = asyncio.ensure_future(watch([file], every=0.001, changed=lambda: told.put_nowait(None)))

    for size in (1, 1000):
        while told.empty():
            # It may not have looked for the first time yet, so the file is changed until that is seen.
            size += 1
            file.write_text("x" * size)
            await asyncio.sleep(0.01)
        told.get_nowait()

    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


async def test_a_server_without_its_master_signals_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its new parent is somebody else."""
    signalled: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _: signalled.append(pid))
    monkeypatch.setattr(os, "getppid", lambda: 111)
    reload = reloader(supervised=True)
    reload()
    monkeypatch.setattr(os, "getppid", lambda: 1)
    reload()
    reloader(supervised=False)()

    assert signalled == [111, os.getpid()]
