"""A small DNS server on loopback (UDP and TCP on one port) that says what a test tells it to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.support.ports import free_port


class FakeDNS:
    """`records[name, type]` holds rdata as text; a list of lists gives another answer each time, the last one for ever.

    `rcodes`, `silent`, `truncated` and `raw` are keyed by (name, type) too. Names have no final dot.
    """

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[Any]] = {}
        self.rcodes: dict[tuple[str, str], dns.rcode.Rcode] = {}
        self.silent: set[tuple[str, str]] = set()
        self.truncated: set[tuple[str, str]] = set()
        self.raw: dict[tuple[str, str], Callable[[bytes], bytes]] = {}
        self.follows_aliases = True
        self.understands_edns = True
        self.queries: list[tuple[str, str, str]] = []  # name, type, transport
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def asked(self, name: str, kind: str) -> int:
        return sum(1 for query in self.queries if query[:2] == (name, kind))

    def answer(self, wire: bytes, transport: str) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        key = (name, kind)
        self.queries.append((name, kind, transport))
        if key in self.silent:
            return None
        if key in self.raw:
            return self.raw[key](wire)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if not self.understands_edns and query.edns >= 0:
            response.set_rcode(dns.rcode.FORMERR)
            return response.to_wire()
        if key in self.truncated and transport == "udp":
            response.flags |= dns.flags.TC
            return response.to_wire()
        response.set_rcode(self.rcodes.get(key, self._fill(response, name, kind)))
        return response.to_wire(max_size=65535)

    def _fill(self, response: dns.message.Message, name: str, kind: str) -> dns.rcode.Rcode:
        for _ in range(20):
            if (name, kind) in self.records:
                texts = self.records[name, kind]
                if texts and isinstance(texts[0], list):
                    texts = texts.pop(0) if len(texts) > 1 else texts[0]
                if texts:
                    response.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", kind, *texts))
                return dns.rcode.NOERROR
            if (name, "CNAME") not in self.records:
                exists = any(owner == name or owner.endswith(f".{name}") for owner, _ in self.records)
                return dns.rcode.NOERROR if exists or response.answer else dns.rcode.NXDOMAIN
            (target,) = self.records[name, "CNAME"]
            response.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "CNAME", f"{target}."))
            if not self.follows_aliases:
                return dns.rcode.NOERROR
            name = target
        return dns.rcode.SERVFAIL


class _UDP(asyncio.DatagramProtocol):
    def __init__(self, server: FakeDNS) -> None:
        self.server = server

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if (answer := self.server.answer(data, "udp")) is not None:
            self.transport.sendto(answer, addr)


class _TCP(asyncio.Protocol):
    def __init__(self, server: FakeDNS) -> None:
        self.server = server
        self.buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        size = int.from_bytes(self.buffer[:2], "big")
        if len(self.buffer) >= size + 2 > 2 and (answer := self.server.answer(self.buffer[2:], "tcp")) is not None:
            self.transport.write(len(answer).to_bytes(2, "big") + answer)


@asynccontextmanager
async def fake_dns() -> AsyncIterator[FakeDNS]:
    """A running server, on a port that is free for UDP and TCP."""
    loop = asyncio.get_running_loop()
    server = FakeDNS()
    server.port = free_port(udp=True)
    transport, _ = await loop.create_datagram_endpoint(lambda: _UDP(server), local_addr=("127.0.0.1", server.port))
    listener = await loop.create_server(lambda: _TCP(server), "127.0.0.1", server.port)
    try:
        yield server
    finally:
        transport.close()
        listener.close()
        await asyncio.sleep(0)
