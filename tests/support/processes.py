"""Processes of the tests: started with their output in files, stopped by their own pid, never by name."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

from tests.support.ports import free_port

__all__ = [
    "PATIENCE", "Process", "children", "descendants", "free_port", "listening", "wait_for",
]  # fmt: skip

T = TypeVar("T")

#: Seconds for what comes at once on an idle machine: a test waits for what happens, not for a clock, and only a broken
#: program, never a busy machine, makes it wait this long.
PATIENCE = 180.0


def wait_for(
    probe: Callable[[], T | None],
    *,
    what: str,
    seconds: float = PATIENCE,
    every: float = 0.05,
    log: Callable[[], str] | None = None,
) -> T:
    """Poll `probe` until it returns something true. AssertionError naming `what`, with the log, when it does not."""
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            seen = f"\n{log()}" if log else ""
            raise AssertionError(f"{what} did not happen within {seconds:g} s{seen}")
        time.sleep(every)


def listening(port: int) -> bool:
    """Whether something accepts TCP connections on the loopback port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def children(pid: int) -> list[int]:
    """The processes that it started itself, as /proc tells now."""
    return _by_parent().get(pid, [])


def descendants(pid: int) -> list[int]:
    """The process and everything below it, parents first, as /proc tells now."""
    below = _by_parent()
    found = [pid]
    for parent in found:
        found.extend(below.get(parent, ()))
    return found


def _by_parent() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            found.setdefault(int(after_name[1]), []).append(int(entry.name))
    return found


class Process:
    """One child process in a session of its own; its output goes to NAME.out and NAME.err in `logs`.

    At the end of a `with` block it is killed, with all that it started, if it still runs.
    """

    def __init__(
        self, argv: Sequence[str | Path], *, name: str, logs: Path, env: Mapping[str, str] | None = None
    ) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.out = logs / f"{name}.out"
        self.err = logs / f"{name}.err"
        # Appended, so that what was written before a restart is still there when a test fails.
        with self.out.open("ab") as out, self.err.open("ab") as err:
            self._child = subprocess.Popen(
                [str(part) for part in argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._child.pid

    def pids(self) -> list[int]:
        """This process and its workers."""
        return descendants(self.pid)

    def running(self) -> bool:
        return self._child.poll() is None

    def log(self, *, lines: int = 60) -> str:
        """The end of what it wrote, for the message of a failing test."""
        return "\n".join(f"--- {path.name}\n" + _tail(path, lines) for path in (self.out, self.err))

    def wait(self, seconds: float = PATIENCE) -> int:
        """The exit code. AssertionError with the log when it does not end in time."""
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} was still running after {seconds:g} s\n{self.log()}") from None

    def stop(self, *, seconds: float = PATIENCE) -> int:
        """SIGTERM, and wait for a clean end; kills and raises AssertionError when it does not come."""
        if self.running():
            self._child.send_signal(signal.SIGTERM)
        try:
            return self.wait(seconds)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to everything that this process started, and to itself: nothing gets a chance to tidy up."""
        for pid in self.pids() if self.running() else ():
            _kill(pid)
        # The session outlives its leader when the leader died first.
        for pid in _session(self.pid):
            _kill(pid)
        self._child.wait(PATIENCE)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _session(leader: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(after_name[3]) == leader and after_name[0] != "Z":
                yield int(entry.name)


def _tail(path: Path, lines: int) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
