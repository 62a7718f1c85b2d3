"""The Go that builds the peers: the installed one, or a newer one that it fetches.

Debian's own is older than what the peers are written in. Every Go can download the toolchain module, whose checksum the
checksum database knows, so any Go will do.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache as once
from pathlib import Path

from tests.support.software import program

NEEDED = (1, 26)
_FETCHED = "1.26.8"


def cache() -> Path:
    """Where binaries are kept."""
    if told := os.environ.get("ACME_RA_PEERS"):
        return Path(told)
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "acme-ra" / "peers"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time."""
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@once
def go() -> Path:
    """A `go` that is new enough. AssertionError where none is installed."""
    return new_enough(Path(program("go")))


def new_enough(installed: Path) -> Path:
    """This `go`, or one that it fetched, once."""
    if _version(installed) >= NEEDED:
        return installed
    home = cache() / f"go{_FETCHED}"
    if not home.exists():
        cache().mkdir(parents=True, exist_ok=True)
        with locked(cache() / "go.lock"):
            if not home.exists():
                _fetch(installed, home)
    return home / "bin" / "go"


def _version(installed: Path) -> tuple[int, int]:
    told = _run(installed, "env", "GOVERSION")
    found = re.match(r"go(\d+)\.(\d+)", told)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _fetch(installed: Path, home: Path) -> None:
    platform = "-".join(_run(installed, "env", "GOOS", "GOARCH").split())
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="go-") as scratch:
        module = f"golang.org/toolchain@v0.0.1-go{_FETCHED}.{platform}"
        told = json.loads(_run(installed, "mod", "download", "-json", module, GOPATH=scratch, GOFLAGS="-modcacherw"))
        folder = Path(told["Dir"])
        # Modules carry no modes.
        for tool in (*folder.glob("bin/*"), *folder.glob("pkg/tool/*/*")):
            tool.chmod(0o755)
        shutil.move(folder, home)


def _run(installed: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [installed, *arguments],
        cwd=tempfile.gettempdir(),
        env={**os.environ, "GOTOOLCHAIN": "local", **environment},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, f"go {' '.join(arguments)} failed\n{done.stdout}{done.stderr}"
    return done.stdout.strip()
