"""The recursive resolvers to ask: from the settings, or the system's (resolv.conf(5))."""

import ipaddress
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_SERVER = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]:]+))(?::([0-9]{1,5}))?\Z")
_SYSTEM_LIMIT = 3  # as in resolv.conf(5)


class Server(NamedTuple):
    """A resolver's address as the socket module takes it, and as a person reads it."""

    family: socket.AddressFamily
    address: tuple[str, int] | tuple[str, int, int, int]
    text: str


def parse_server(text: str) -> Server:
    """Parse `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT`. Raises ValueError that shows the accepted form."""
    bare_ipv6 = text.count(":") > 1 and not text.startswith("[")
    match = _SERVER.match(f"[{text}]" if bare_ipv6 else text)
    host, port = (match[1] or match[2], int(match[3] or 53)) if match else ("", 0)
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        ip = None
    if ip is None or not 0 < port < 65536:
        raise ValueError(f"{text!r} is not a resolver; write an address and port, like 10.0.0.53:53 or [fd00::53]:53")
    # A scope (fe80::1%eth0) becomes a number here; a numeric look-up asks nobody.
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0]
    shown = f"[{host}]:{port}" if ip.version == 6 else f"{host}:{port}"
    return Server(family, address, shown)  # type: ignore[arg-type]


def system_servers(path: Path = Path("/etc/resolv.conf")) -> tuple[Server, ...]:
    """The system's resolvers; the local host where none is named, as resolv.conf(5) says."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    servers = []
    for line in lines:
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            servers.append(parse_server(f"[{words[1]}]:53"))
        except (ValueError, OSError):
            continue  # The C library passes over such a line too.
    return tuple(servers[:_SYSTEM_LIMIT]) or (parse_server("127.0.0.1:53"),)


def configured_servers(resolvers: Sequence[str]) -> tuple[Server, ...]:
    """The servers to ask: those of the settings, or the system's when there are none."""
    return tuple(parse_server(text) for text in resolvers) or system_servers()
