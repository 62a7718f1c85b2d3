"""Builds the Go peers, once: `python -m tests.peers.build [NAME...]`, or `peer(NAME)` from a test.

Binaries are kept outside the checkout, in ACME_RA_PEERS or the user's cache, under a name that holds a digest of their
source or version: a changed source or version is built anew, everything else is found. A lock file lets parallel test
workers wait for one build instead of racing it.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.peers.toolchain import cache, go, locked

ROOT = Path(__file__).resolve().parents[2]
LOAD_GENERATOR = "github.com/letsencrypt/boulder"


@dataclass(frozen=True)
class Own:
    """A module of ours, its dependencies pinned by the go.sum beside it: its main, or a command among its dependencies.

    `variables` are set by the linker: a program of others learns its own version that way.
    """

    folder: Path
    package: str = "."
    variables: tuple[tuple[str, str], ...] = ()

    def digest(self) -> str:
        digest = hashlib.sha256()
        for path in sorted(self.folder.iterdir()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        if self.package != "." or self.variables:
            digest.update(repr((self.package, self.variables)).encode())
        return digest.hexdigest()

    def build(self, target: Path, scratch: Path) -> None:
        del scratch
        flags = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in self.variables)])
        arguments = ("-mod=readonly", "-trimpath", "-ldflags", flags, "-o", str(target), self.package)
        _go("build", "-v", *arguments, cwd=self.folder, progress=True)


@dataclass(frozen=True)
class Published:
    """A command of a published module, as it is."""

    package: str
    version: str

    def digest(self) -> str:
        return hashlib.sha256(f"{self.package}@{self.version}".encode()).hexdigest()

    def build(self, target: Path, scratch: Path) -> None:
        _go("install", "-trimpath", f"{self.package}@{self.version}", cwd=scratch, GOBIN=str(scratch))
        # The command is called as its package, without a major version at the end.
        words = [word for word in self.package.split("/") if not re.fullmatch(r"v\d+", word)]
        (scratch / words[-1]).rename(target)


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
    "etcd": Own(ROOT / "tests" / "peers" / "etcd"),
    "kube-apiserver": Own(
        ROOT / "tests" / "peers" / "kube-apiserver",
        "k8s.io/kubernetes/cmd/kube-apiserver",
        (
            ("k8s.io/component-base/version.gitVersion", "v1.36.3"),
            ("k8s.io/component-base/version.gitMajor", "1"),
            ("k8s.io/component-base/version.gitMinor", "36"),
            ("k8s.io/client-go/pkg/version.gitVersion", "v1.36.3"),
        ),
    ),
    "cert-manager": Own(
        ROOT / "tests" / "peers" / "cert-manager",
        variables=(("github.com/cert-manager/cert-manager/pkg/util.AppVersion", "v1.21.2"),),
    ),
    "helm": Published("helm.sh/helm/v3/cmd/helm", "v3.21.4"),
    "kustomize": Published("sigs.k8s.io/kustomize/kustomize/v5", "v5.8.1"),
    "kubectl": Own(
        ROOT / "tests" / "peers" / "kubectl",
        variables=(("k8s.io/component-base/version.gitVersion", "v1.36.3"),),
    ),
    "pebble": Published("github.com/letsencrypt/pebble/v2/cmd/pebble", "v2.10.1"),
    "step-ca": Published("github.com/smallstep/certificates/cmd/step-ca", "v0.30.2"),
}
# What `make test` needs. `make test-cluster` names what it needs more; the others are for `make bench`.
NEEDED_BY_TESTS = ("xcrypto", "acmeload", "load-generator", "kustomize", "helm")


def peer(name: str) -> Path:
    """The path of a built peer; builds it when it is not there yet, or waits while another process does."""
    source = PEERS[name]
    target = cache() / f"{name}-{source.digest()[:16]}"
    if target.exists():
        return target
    cache().mkdir(parents=True, exist_ok=True)
    with locked(cache() / f"{name}.lock"):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=cache(), prefix=f"{name}-") as scratch:
                source.build(Path(scratch) / "built", Path(scratch))
                (Path(scratch) / "built").rename(target)
    return target


def module_folder(name: str, module: str) -> Path:
    """Where the module cache has a module that a peer of ours requires, in the version that its go.mod pins."""
    source = PEERS[name]
    assert isinstance(source, Own)
    _go("mod", "download", module, cwd=source.folder)
    return Path(_go("list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module, cwd=source.folder).strip())


def downloaded(module: str, version: str) -> Path:
    """Where the module cache has a published module, whose files a test reads; Go's checksum database knows it."""
    told = _go("mod", "download", "-json", f"{module}@{version}", cwd=Path(tempfile.gettempdir()))
    return Path(json.loads(told)["Dir"])


def _go(*arguments: str, cwd: Path, progress: bool = False, **environment: str) -> str:
    """Run go; its standard output. CGO is off, so that no C compiler is needed.

    With `progress`, the number of packages that `go build -v` named so far is printed every half minute.
    """
    with tempfile.TemporaryFile("w+") as errors:
        running = subprocess.Popen(
            [str(go()), *arguments],
            cwd=cwd,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", **environment},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        out = _output(running, arguments, on_wait=(lambda: _packages(errors)) if progress else None)
        errors.seek(0)
        assert running.returncode == 0, f"go {' '.join(arguments)} failed\n{out}{errors.read()}"
    return out


def _output(running: subprocess.Popen[str], arguments: tuple[str, ...], on_wait: Callable[[], str] | None) -> str:
    started = time.monotonic()
    while True:
        try:
            return running.communicate(timeout=30)[0]
        except subprocess.TimeoutExpired:
            seconds = time.monotonic() - started
            if seconds > 3600:
                running.kill()
                raise AssertionError(f"go {' '.join(arguments)} did not end within an hour") from None
            if on_wait is not None:
                print(f"  {seconds:.0f} s: {on_wait()}", file=sys.stderr, flush=True)


def _packages(errors: IO[str]) -> str:
    """What `go build -v` has done, read without moving the position that go writes at."""
    lines = os.pread(errors.fileno(), 1 << 24, 0).decode(errors="replace").splitlines()
    loaded = sum(line.startswith("go: downloading ") for line in lines)
    return f"{loaded} modules downloaded, {len(lines) - loaded} packages compiled"


def main() -> None:
    for name in sys.argv[1:] or NEEDED_BY_TESTS:
        started = time.monotonic()
        print(f"{name}: looking for it, or building it", flush=True)
        path = peer(name)
        print(f"{name}: {path} ({time.monotonic() - started:.1f} s)", flush=True)


if __name__ == "__main__":
    main()
