"""Builds the Dockerfile with buildah, without a daemon or a registry, on a base made from Debian's packages."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.software import program

ROOT = Path(__file__).resolve().parents[2]
BASE = "localhost/debian-python"
# Any fixed time does; files of the image and of its base carry this one.
EPOCH = "1700000000"
_RELEASE = "bookworm"
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*", "/usr/share/info/*")


def needs_root() -> None:
    """Images are unpacked with their owners, and run behind a changed root. In CI nothing is skipped for want of root.

    A container that may not mount cannot build one whatever is installed in it, so there it is skipped, and says so.
    """
    if os.geteuid() == 0:
        probe = subprocess.run([program("unshare"), "--mount", "true"], capture_output=True, text=True, check=False)
        if probe.returncode != 0:
            pytest.skip(f"building an image needs mount rights (CAP_SYS_ADMIN), which root lacks here: {probe.stderr}")
        return
    message = "building and running an image needs root: run `sudo make test ARGS=tests/deploy`"
    assert not os.environ.get("CI"), message
    pytest.skip(message)


class Buildah:
    """A storage of its own, so that nothing of this machine's images is used or left behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.context = folder / "context"
        self._global = ("--root", folder / "storage", "--runroot", folder / "run", "--storage-driver", "vfs")

    def run(self, *words: str | Path, seconds: float = 1800) -> str:
        """Standard output of a buildah command. AssertionError with all that it said when it fails."""
        argv = [program("buildah"), *map(str, self._global), *map(str, words)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False, cwd=ROOT)
        assert done.returncode == 0, f"{' '.join(argv)}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def make_base(self) -> None:
        """Debian's essential packages and its Python, as the image BASE."""
        tar = self.folder / "base.tar"
        words = [program("mmdebstrap"), "--quiet", "--variant=minbase", "--include=python3"]
        words += ['--aptopt=Acquire::Retries "5"']  # A mirror may be slow to answer.
        words += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
        done = subprocess.run(
            [*words, _RELEASE, str(tar)], capture_output=True, text=True, timeout=1800, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr
        container = self.run("from", "scratch")
        self.run("add", container, tar, "/")
        self.run("commit", "--quiet", "--rm", "--timestamp", EPOCH, container, BASE)
        tar.unlink()

    def build(self, tag: str) -> str:
        """Build the Dockerfile, taking nothing from an earlier build but downloads; the image's id."""
        arguments = ("--build-arg", f"BASE={BASE}", "--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}")
        options = ("--isolation", "chroot", "--no-cache", "--timestamp", EPOCH, "--quiet")
        return self.run("build", *options, *arguments, *_secrets(), "--tag", tag, self._sources()).splitlines()[-1]

    def _sources(self) -> Path:
        """The build's context as it was at the first build, whoever edits the checkout meanwhile."""
        if not self.context.exists():
            ignored = shutil.ignore_patterns("__pycache__")
            for name in ("acme_ra", "config"):
                shutil.copytree(ROOT / name, self.context / name, ignore=ignored)
            for name in (".dockerignore", "Dockerfile", "LICENSE", "README.md", "pyproject.toml", "requirements.lock"):
                shutil.copyfile(ROOT / name, self.context / name)
        return self.context

    def describe(self, image: str) -> dict[str, Any]:
        """The image's configuration as OCI has it."""
        described: dict[str, Any] = json.loads(self.run("inspect", "--type", "image", image))["OCIv1"]
        return described

    def digests(self, image: str) -> list[str]:
        """Of the layers' uncompressed bytes, the base's first."""
        found: list[str] = self.describe(image)["rootfs"]["diff_ids"]
        return found

    def compressed_sizes(self, image: str) -> list[int]:
        """The bytes of each layer as a registry would keep it, the base's first."""
        target = self.folder / "oci"
        self.run("push", "--quiet", image, f"oci:{target}:image")
        index = json.loads((target / "index.json").read_text())
        manifest = json.loads((target / "blobs" / index["manifests"][0]["digest"].replace(":", "/")).read_text())
        shutil.rmtree(target)
        return [layer["size"] for layer in manifest["layers"]]

    def unpack(self, image: str) -> Path:
        """The root folder of a new container of the image. It is gone when the storage is."""
        return Path(self.run("mount", self.run("from", image)))

    def remove(self) -> None:
        """Nothing is mounted: this driver keeps plain folders."""
        shutil.rmtree(self.folder)


def _secrets() -> list[str]:
    """What this machine's pip needs to reach its package index: settings and certificates, never part of a layer."""
    found = []
    settings = Path(os.environ.get("PIP_CONFIG_FILE") or "/etc/pip.conf")
    if settings.is_file():
        found += ["--secret", f"id=pip.conf,src={settings}"]
    if bundle := os.environ.get("PIP_CERT"):
        found += ["--secret", f"id=ca-bundle,src={bundle}"]
    return found
