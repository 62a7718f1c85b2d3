"""The only outbound dialer: a host's addresses are looked up once, checked, and the checked one is connected to.

There is no second look-up between check and use, so a name that changes its answer (DNS rebinding) gains nothing.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.problems import ConnectionFailed, DNSFailed, TLSFailed
from acme_ra.validation.contract import ValidationTarget
from acme_ra.validation.dns_wire import Question, RecordType, encode_name
from acme_ra.validation.guard import CheckedAddress, check_address
from acme_ra.validation.resolver import Answer, Resolver, Status

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)


class Attempt:
    """One try to validate: its deadline, where it may go, and what it is doing when the deadline passes.

    Used as `async with Attempt(target, seconds=10) as attempt:`; whatever takes longer ends in ConnectionFailed.
    """

    __slots__ = ("_seconds", "_target", "_timeout", "deadline", "networks", "step")

    def __init__(self, target: ValidationTarget, *, seconds: float) -> None:
        self._target = target
        self._seconds = seconds
        self.networks = target.networks
        self.step = "starting"

    async def __aenter__(self) -> Self:
        self.deadline = asyncio.get_running_loop().time() + self._seconds
        self._timeout = asyncio.timeout_at(self.deadline)
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as timeout:
            raise ConnectionFailed(
                f"{self._target.identifier}: no success within {self._seconds:g} s; it ended while {self.step}. "
                "Check that the address is right and that no firewall drops the connection"
            ) from timeout


class TLS(NamedTuple):
    """How to speak TLS on a connection; `server_name` is what SNI names."""

    context: ssl.SSLContext
    server_name: str


class Connection(NamedTuple):
    """An open connection, owned by whoever dialled; close it with `transport.abort()`."""

    transport: asyncio.Transport
    address: CheckedAddress


class Dialer:
    """Opens connections to hosts that an applicant names, and to nothing that the guard refuses."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def connect(
        self,
        factory: Callable[[], ProtocolT],
        host: Identifier,
        port: int,
        attempt: Attempt,
        *,
        tls: TLS | None = None,
    ) -> tuple[Connection, ProtocolT]:
        """Connect by IPv6 where there is an address, and once more by IPv4 if that fails (RFC 8305 §4, simplified).

        Raises DNSFailed, ConnectionFailed (refused by the guard, or nobody answers) and TLSFailed.
        """
        addresses = await self._permitted(host, attempt)
        failures: list[str] = []
        for address in addresses:
            attempt.step = f"connecting to {place(address, port)}" + (" with TLS" if tls else "")
            try:
                return await self._open(factory, address, port, attempt, tls, last=address == addresses[-1])
            except ssl.SSLError as error:
                raise TLSFailed(
                    f"{host}: the TLS handshake with {place(address, port)} failed ({_ssl_reason(error)})"
                ) from error
            except (ConnectionResetError, ConnectionAbortedError, BrokenPipeError) as error:
                if tls is not None:
                    raise TLSFailed(
                        f"{host}: {place(address, port)} closed the connection during the TLS handshake"
                    ) from error
                failures.append(f"{place(address, port)} reset the connection")
            except TimeoutError:
                failures.append(f"{place(address, port)} does not answer")
            except OSError as error:
                failures.append(f"{place(address, port)}: {_os_reason(error)}")
        raise ConnectionFailed(
            f"{host}: no connection to port {port} ({'; '.join(failures)}). "
            "Check that the server listens there and that no firewall is in between"
        )

    async def _open(
        self,
        factory: Callable[[], ProtocolT],
        address: CheckedAddress,
        port: int,
        attempt: Attempt,
        tls: TLS | None,
        *,
        last: bool,
    ) -> tuple[Connection, ProtocolT]:
        loop = asyncio.get_running_loop()
        context, server_name = tls or (None, None)
        dial = loop.create_connection(factory, address, port, ssl=context, server_hostname=server_name)
        if last:
            transport, protocol = await dial
        else:
            # A first address that swallows packets must leave time for the second.
            async with asyncio.timeout_at((loop.time() + attempt.deadline) / 2):
                transport, protocol = await dial
        return Connection(transport, address), protocol

    async def _permitted(self, host: Identifier, attempt: Attempt) -> tuple[CheckedAddress, ...]:
        """The addresses to try, best first: at most one of each family."""
        refused: ConnectionFailed | None = None
        permitted: dict[bool, CheckedAddress] = {}
        for address in await self._addresses(host, attempt):
            try:
                permitted.setdefault(":" in address, check_address(address, attempt.networks))
            except ConnectionFailed as problem:
                refused = refused or problem
        if not permitted:
            assert refused is not None
            which = "" if host.type == IdentifierType.IP else f"{host}: its address "
            raise ConnectionFailed(f"{which}{refused.detail}") from refused
        return tuple(permitted[six] for six in (True, False) if six in permitted)

    async def _addresses(self, host: Identifier, attempt: Attempt) -> tuple[str, ...]:
        """Every address of the host; never empty. Raises DNSFailed."""
        if host.type == IdentifierType.IP:
            return (host.value,)
        attempt.step = f"looking up the addresses of {host}"
        name = encode_name(host.value)
        questions = (Question(name, RecordType.AAAA), Question(name, RecordType.A))
        answers = await self._resolver.resolve(questions, any_found=True)
        found = tuple(str(record) for answer in answers for record in answer.records)
        if not found:
            raise DNSFailed(_no_address(host, answers))
        return found


def _no_address(host: Identifier, answers: Sequence[Answer]) -> str:
    failed = [answer for answer in answers if answer.status is Status.FAILED]
    if failed:
        what = "; ".join(f"{answer.question.type.name}: {answer.reason}" for answer in failed)
        return f"{host}: the look-up of its addresses failed ({what})"
    if any(answer.status is Status.NO_NAME for answer in answers):
        return f"{host} does not exist in DNS (NXDOMAIN); publish an A or AAAA record for it"
    return f"{host} has neither an A nor an AAAA record in DNS; publish one"


def place(address: str, port: int) -> str:
    """`192.0.2.1:80` or `[2001:db8::1]:80`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _os_reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    text = (error.strerror or "no route").lower()
    return text if text.isascii() and len(text) < 80 else "no connection"


def _ssl_reason(error: ssl.SSLError) -> str:
    return (error.reason or "no common protocol").replace("_", " ").lower()[:80]
