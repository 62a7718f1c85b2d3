"""Loopback ports for the servers of tests, which nobody else takes between the choice and the bind.

A port from bind(0) is one of those that the kernel hands out to every outgoing connection: under load somebody has it
before its server starts. These lie outside that range, and a lock on a file tells other test processes who has which.
"""

import fcntl
import os
import secrets
import socket
import tempfile
from pathlib import Path
from typing import IO

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000
_TRIES = 10_000
_taken: set[int] = set()
_locks: list[IO[bytes]] = []


def free_port(*, udp: bool = False) -> int:
    """A loopback port for this process until it ends, not listened on; with `udp` it is free for both TCP and UDP."""
    low, high = map(int, _RANGE.read_text().split())
    ports = (*range(_LOWEST, low), *range(high + 1, 65_536))
    for _ in range(_TRIES):
        port = secrets.choice(ports)
        if port not in _taken and _locked(port) and _bindable(port, udp=udp):
            _taken.add(port)
            return port
    raise AssertionError(f"no port outside {low} to {high} is free on 127.0.0.1")


def _locked(port: int) -> bool:
    """Whether this process has the port's byte of the file; the kernel gives it back when the process ends."""
    if not _locks:
        _locks.append((Path(tempfile.gettempdir()) / f"acme-ra-test-ports-{os.getuid()}").open("ab"))
    try:
        fcntl.lockf(_locks[0], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _bindable(port: int, *, udp: bool) -> bool:
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM) if udp else (socket.SOCK_STREAM,)
    for kind in kinds:
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
