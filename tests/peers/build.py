"""Builds the Go peers, once: `python -m tests.peers.build [NAME...]`, or `peer(NAME)` from a test.

Binaries are kept outside the checkout, in ACME_RA_PEERS or the user's cache, under a name that holds a digest of their
source or version: a changed source or version is built anew, everything else is found. A lock file lets parallel test
workers wait for one build instead of racing it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.software import program

ROOT = Path(__file__).resolve().parents[2]
LOAD_GENERATOR = "github.com/letsencrypt/boulder"


@dataclass(frozen=True)
class Own:
    """A main of ours, its modules pinned by the go.sum beside it."""

    folder: Path

    def digest(self) -> str:
        digest = hashlib.sha256()
        for path in sorted(self.folder.iterdir()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()

    def build(self, target: Path, scratch: Path) -> None:
        del scratch
        _go("build", "-trimpath", "-o", str(target), ".", cwd=self.folder)


@dataclass(frozen=True)
class Published:
    """A command of a published module, as it is."""

    package: str
    version: str

    def digest(self) -> str:
        return hashlib.sha256(f"{self.package}@{self.version}".encode()).hexdigest()

    def build(self, target: Path, scratch: Path) -> None:
        _go("install", "-trimpath", f"{self.package}@{self.version}", cwd=scratch, GOBIN=str(scratch))
        (scratch / self.package.rpartition("/")[2]).rename(target)


@dataclass(frozen=True)
class Corrected:
    """A command of a published module with texts of one file replaced at build time, each exactly once."""

    module: str
    version: str
    package: str
    file: str
    texts: tuple[tuple[str, str], ...]

    def digest(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()

    def build(self, target: Path, scratch: Path) -> None:
        told = _go("mod", "download", "-json", f"{self.module}@{self.version}", cwd=scratch)
        # The module cache is read-only and may not be overlaid: a copy is corrected, and built with its own go.sum.
        copy = scratch / "module"
        shutil.copytree(json.loads(told)["Dir"], copy, copy_function=shutil.copyfile, symlinks=True)
        for folder in (copy, *(path for path in copy.rglob("*") if path.is_dir() and not path.is_symlink())):
            folder.chmod(0o755)
        original = copy / self.package / self.file
        text = original.read_text()
        for old, new in self.texts:
            assert text.count(old) == 1, f"{original} has changed: {old!r} is not there once"
            text = text.replace(old, new)
        original.write_text(text)
        _go("build", "-trimpath", "-mod=mod", "-o", str(target), f"./{self.package}", cwd=copy)


PEERS: dict[str, Own | Published | Corrected] = {
    "xcrypto": Own(ROOT / "tests" / "peers" / "xcrypto"),
    "acmeload": Own(ROOT / "bench" / "load"),
    # It writes JSON members with capitals and pads base64url: Boulder's Go decoders forgive that, RFC 8555 does not.
    "load-generator": Corrected(
        LOAD_GENERATOR,
        "v0.20260817.0",
        "test/load-generator",
        "boulder-calls.go",
        (
            ("\t\tContact   []string\n", '\t\tContact   []string `json:"contact,omitempty"`\n'),
            (
                "\t\tIdentifiers identifier.ACMEIdentifiers\n\t}{",
                '\t\tIdentifiers identifier.ACMEIdentifiers `json:"identifiers"`\n\t}{',
            ),
            ("\t\tCertificate string\n", '\t\tCertificate string `json:"certificate"`\n'),
            ("\t\tReason      revocation.Reason\n", '\t\tReason      revocation.Reason `json:"reason"`\n'),
            ("base64.URLEncoding.EncodeToString(pemBlock", "base64.RawURLEncoding.EncodeToString(pemBlock"),
        ),
    ),
    "pebble": Published("github.com/letsencrypt/pebble/v2/cmd/pebble", "v2.10.1"),
    "step-ca": Published("github.com/smallstep/certificates/cmd/step-ca", "v0.30.2"),
}
# What `make test` needs; the others are for `make bench`.
NEEDED_BY_TESTS = ("xcrypto", "acmeload", "load-generator")


def cache() -> Path:
    """Where the binaries are kept."""
    if told := os.environ.get("ACME_RA_PEERS"):
        return Path(told)
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "acme-ra" / "peers"


def peer(name: str) -> Path:
    """The path of a built peer; builds it when it is not there yet, or waits while another process does."""
    source = PEERS[name]
    target = cache() / f"{name}-{source.digest()[:16]}"
    if target.exists():
        return target
    cache().mkdir(parents=True, exist_ok=True)
    with _lock(cache() / f"{name}.lock"):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=cache(), prefix=f"{name}-") as scratch:
                source.build(Path(scratch) / "built", Path(scratch))
                (Path(scratch) / "built").rename(target)
    return target


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _go(*arguments: str, cwd: Path, **environment: str) -> str:
    """Run go; its standard output. CGO is off, so that no C compiler is needed."""
    done = subprocess.run(
        [program("go"), *arguments],
        cwd=cwd,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", **environment},
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, f"go {' '.join(arguments)} failed\n{done.stdout}{done.stderr}"
    return done.stdout


def main() -> None:
    for name in sys.argv[1:] or NEEDED_BY_TESTS:
        started = time.monotonic()
        path = peer(name)
        print(f"{name}: {path} ({time.monotonic() - started:.1f} s)", flush=True)


if __name__ == "__main__":
    main()
