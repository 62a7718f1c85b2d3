"""Runs a program behind an image's root, as restricted as the Deployment's security context says.

A mount namespace of its own, the image's root read-only, chosen folders over it, another user without capabilities and
without the means to get any. The network is the machine's, so that a test reaches what listens on loopback.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import Process
from tests.support.software import Ran, program, run

USER = 10001
_DEVICES = ("null", "zero", "full", "random", "urandom")


@dataclass(frozen=True)
class Mount:
    """A folder or file of this machine at a place behind the image's root."""

    source: Path
    target: str
    read_only: bool = False


class Sandbox:
    """An unpacked image. What a program may write is in `mounts` and /tmp."""

    def __init__(
        self, root: Path, *, environment: Mapping[str, str], mounts: Sequence[Mount], user: int = USER
    ) -> None:
        self._root = root
        self._environment = environment
        self._mounts = mounts
        self._user = user

    def run(self, *words: str, seconds: float = 600) -> Ran:
        return run(self._argv(words), env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, seconds=seconds)

    def start(self, *words: str, name: str, logs: Path) -> Process:
        return Process(self._argv(words), name=name, logs=logs)

    def _argv(self, words: Sequence[str]) -> list[str]:
        """unshare, mount, then chroot: each replaces the one before, so that signals reach the program itself."""
        root = str(self._root)
        lines = ["set -e", f"mount --bind {shlex.quote(root)} {shlex.quote(root)}"]
        lines += [f"mount -t proc proc {root}/proc", f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp"]
        for device in _DEVICES:
            lines += [f"touch {root}/dev/{device}", f"mount --bind /dev/{device} {root}/dev/{device}"]
        lines += [f"mkdir -p {root}/dev/shm", f"mount -t tmpfs -o mode=1777 tmpfs {root}/dev/shm"]
        for mount in self._mounts:
            target = shlex.quote(str(_behind(self._root, mount.target)))
            if mount.source.is_dir():
                lines.append(f"mkdir -p {target}")
            else:
                lines.append(f"mkdir -p $(dirname {target}); touch {target}")
            lines.append(f"mount --bind {shlex.quote(str(mount.source))} {target}")
            if mount.read_only:
                lines.append(f"mount -o remount,ro,bind {target}")
        lines.append(f"mount -o remount,ro,bind {root}")
        assigned = [f"{name}={value}" for name, value in self._environment.items()]
        inside = ["chroot", f"--userspec={self._user}:{self._user}", f"--groups={self._user}", root]
        inside += ["/usr/bin/env", "-i", *assigned, *words]
        # Another user has no capabilities, and without new privileges gets none from any file.
        lines.append("exec setpriv --no-new-privs " + shlex.join(inside))
        return [program("unshare"), "--mount", "--propagation", "private", "sh", "-c", "\n".join(lines)]


def _behind(root: Path, target: str) -> Path:
    """The place of a path as a program behind the root sees it: links there do not lead out (/var/run is /run)."""
    place = root
    for part in Path(target).parts[1:]:
        place = place / part
        if place.is_symlink():
            link = place.readlink()
            place = root / link.relative_to("/") if link.is_absolute() else place.parent / link
    return place
