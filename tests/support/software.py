"""Software of others that the tests need. What is missing fails the test and names the package: nothing is skipped."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

PACKAGES = {
    "buildah": "buildah",
    "caddy": "caddy",
    "certbot": "certbot",
    "curl": "curl",
    "dehydrated": "dehydrated",
    "go": "golang-go",
    "lego": "lego",
    "mmdebstrap": "mmdebstrap",
    "named": "bind9",
    "nsupdate": "bind9-dnsutils",
    "openssl": "openssl",
    "promtool": "prometheus",
    "ualpn": "uacme",
    "uacme": "uacme",
    "unshare": "util-linux",
}


def program(name: str) -> str:
    """The path of an installed program. AssertionError that names the Debian package."""
    found = shutil.which(name, path="/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    found = found or shutil.which(name)
    assert found, f"{name} is not installed: this test needs the package {PACKAGES[name]} (apt-get install)"
    return found


class Ran:
    """What a finished command said: stdout, then stderr, as a person would see them."""

    def __init__(self, argv: Sequence[str], code: int, out: str, err: str) -> None:
        self.argv = argv
        self.code = code
        self.out = out
        self.err = err

    @property
    def said(self) -> str:
        return f"{self.out}\n{self.err}"

    def ok(self) -> "Ran":
        """Itself. AssertionError with everything that it said unless it ended with 0."""
        assert self.code == 0, f"{' '.join(self.argv)}\nended with {self.code}\n{self.said}"
        return self

    def failed(self) -> "Ran":
        assert self.code != 0, f"{' '.join(self.argv)}\nended with 0, but should have failed\n{self.said}"
        return self


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    seconds: float = 600.0,
) -> Ran:
    """Run a command to its end with exactly this environment."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            env=dict(env),
            cwd=cwd,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        said = b"\n".join(part for part in (late.stdout, late.stderr) if part).decode(errors="replace")
        raise AssertionError(f"{' '.join(words)}\ndid not end within {seconds:g} s\n{said}") from None
    return Ran(words, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
