"""The one resolver: asks recursive servers, and tells `no such name`, `no such record` and `no answer` apart.

Nothing is cached, so a validation sees what is published now. Every exchange has a socket and thus a random port of
its own, and random ids (RFC 5452 §9.2); several questions share one exchange and one round trip.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from acme_ra.validation.dns_wire import (
    BadMessage,
    ForeignMessage,
    Question,
    Record,
    Reply,
    ResponseCode,
    build_query,
    parse_reply,
)
from acme_ra.validation.servers import Server

_ROUNDS = 2  # each server is asked this often before a look-up fails for silence
_FOLLOWED = 8  # CNAMEs followed by asking again, where a server does not follow them itself
_RECEIVE = 4096
_AT_ONCE = 64  # datagrams read before the event loop gets its turn again
_WITHOUT_EDNS = (ResponseCode.FORMERR, ResponseCode.NOTIMP)  # what old servers say to EDNS (RFC 6891 §7)


class Status(StrEnum):
    """How a look-up ended."""

    FOUND = "found"
    NO_DATA = "no data"  # the name exists, such a record does not
    NO_NAME = "no such name"  # NXDOMAIN
    FAILED = "failed"  # nothing is known: SERVFAIL, REFUSED, silence, a broken answer


class Answer(NamedTuple):
    """The outcome for one question. `reason` says for a person what went wrong when it FAILED."""

    question: Question
    status: Status
    records: tuple[Record, ...] = ()
    reason: str = ""


class Resolver(Protocol):
    """What validators and CAA ask."""

    async def resolve(self, questions: Sequence[Question], *, any_found: bool = False) -> list[Answer]:
        """One answer per question, in order; never raises for what DNS says.

        With `any_found`, silence about one question is not waited for again once another one is FOUND.
        """
        ...


class RecursiveResolver:
    """Asks the configured recursive servers by UDP, and by TCP what does not fit."""

    def __init__(self, servers: Sequence[Server], *, timeout: float) -> None:
        """`timeout` in seconds covers all repetitions of one look-up."""
        self._servers = tuple(servers)
        self._timeout = timeout
        self._preferred = 0

    async def resolve(self, questions: Sequence[Question], *, any_found: bool = False) -> list[Answer]:
        answers = await self._ask(questions, any_found)
        for _ in range(_FOLLOWED):
            pending = [(i, answer.alias) for i, answer in enumerate(answers) if isinstance(answer, _Alias)]
            if not pending:
                break
            further = await self._ask([Question(alias, questions[i].type) for i, alias in pending], any_found)
            for (i, _alias), answer in zip(pending, further, strict=True):
                answers[i] = answer
        return [
            Answer(question, Status.FAILED, reason="the CNAMEs go in a circle, or there are too many")
            if isinstance(answer, _Alias)
            else (answer if answer.question is question else answer._replace(question=question))
            for question, answer in zip(questions, answers, strict=True)
        ]

    async def _ask(self, questions: Sequence[Question], any_found: bool) -> "list[Answer | _Alias]":
        """Ask server after server until every question has an answer that settles it."""
        settled: dict[int, Answer | _Alias] = {}  # by the question's place, like all below
        failures: dict[int, list[str]] = {}
        pending = dict(enumerate(questions))
        given_up: set[tuple[int, int]] = set()
        first, count = self._preferred, len(self._servers)
        for turn in range(_ROUNDS * count):
            index = (first + turn) % count
            asked = {at: question for at, question in pending.items() if (at, index) not in given_up}
            if not asked:
                continue
            server = self._servers[index]
            replies, silence = await self._exchange(server, asked, self._timeout / (_ROUNDS * count))
            for at, question in asked.items():
                reply = replies.get(at)
                outcome = silence if reply is None else _judge(question, reply, server)
                if not isinstance(outcome, str):
                    settled[at] = outcome
                    del pending[at]
                    continue
                failures.setdefault(at, []).append(outcome)
                if reply is not None:
                    given_up.add((at, index))  # It would only say the same again.
            if not replies:
                self._preferred = (index + 1) % count
            found = any_found and any(isinstance(a, Answer) and a.status is Status.FOUND for a in settled.values())
            if not pending or found:
                break
        for at, question in pending.items():
            reasons = dict.fromkeys(failures.get(at, ()))
            settled[at] = Answer(question, Status.FAILED, reason="; ".join(reasons))
        return [settled[at] for at in range(len(questions))]

    async def _exchange(
        self, server: Server, questions: dict[int, Question], seconds: float
    ) -> "tuple[dict[int, Reply | BadMessage], str]":
        """The replies that came in time, and in words why the others did not."""
        replies: dict[int, Reply | BadMessage] = {}
        try:
            async with asyncio.timeout(seconds):
                await _exchange_udp(server, questions, replies, edns=True)
                old = [at for at, r in replies.items() if isinstance(r, Reply) and r.code in _WITHOUT_EDNS]
                if old:
                    await _exchange_udp(server, {at: questions[at] for at in old}, replies, edns=False)
                for at, reply in list(replies.items()):
                    if isinstance(reply, BadMessage) or reply.truncated:
                        del replies[at]  # Until TCP has answered, there is no answer.
                        replies[at] = await _exchange_tcp(server, questions[at])
        except TimeoutError:
            return replies, f"no answer from {server.text} within {self._timeout:g} s"
        except EOFError:
            return replies, f"{server.text} closed the connection before it answered"
        except OSError as error:
            return replies, f"{server.text} cannot be asked ({os.strerror(error.errno) if error.errno else 'no route'})"
        return replies, f"no answer from {server.text}"


class _Alias(NamedTuple):
    """The server named a CNAME and did not follow it."""

    alias: bytes


def _judge(question: Question, reply: Reply | BadMessage, server: Server) -> Answer | _Alias | str:
    """What a reply means; a str says why it settles nothing."""
    if isinstance(reply, BadMessage):
        return f"{server.text} sent a broken answer: {reply}"
    if reply.truncated:
        return f"{server.text} sent only part of its answer"  # Never to be taken for an empty one.
    if reply.code == ResponseCode.NXDOMAIN:
        return Answer(question, Status.NO_NAME)
    if reply.code != ResponseCode.NOERROR:
        known = reply.code in ResponseCode.__members__.values()
        return f"{ResponseCode(reply.code).name if known else f'response code {reply.code}'} from {server.text}"
    if reply.records:
        return Answer(question, Status.FOUND, reply.records)
    return _Alias(reply.alias) if reply.alias is not None else Answer(question, Status.NO_DATA)


def _identities(count: int) -> list[int]:
    """Distinct unpredictable ids."""
    found: dict[int, None] = {}
    while len(found) < count:
        raw = os.urandom(2 * count)
        for i in range(0, 2 * count, 2):
            found[raw[i] << 8 | raw[i + 1]] = None
    return list(found)[:count]


async def _exchange_udp(
    server: Server, questions: dict[int, Question], replies: dict[int, Reply | BadMessage], *, edns: bool
) -> None:
    """Send all questions at once, and put the replies into `replies` as they come; the caller bounds the time."""
    waiting = dict(zip(_identities(len(questions)), questions, strict=True))
    with socket.socket(server.family, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        udp.connect(server.address)  # Connected: the kernel drops what others send.
        for identity, at in waiting.items():
            udp.send(build_query(identity, questions[at], edns=edns))
        exchange = _Datagrams(udp, questions, waiting, replies)
        await exchange.run()


class _Datagrams:
    """The receiving half of one UDP exchange: what the kernel holds is read in one turn, and once more at the end.

    So an answer that came in time counts, however late a busy process comes to look at its clock and its sockets.
    """

    def __init__(
        self,
        udp: socket.socket,
        questions: dict[int, Question],
        waiting: dict[int, int],
        replies: dict[int, Reply | BadMessage],
    ) -> None:
        """`waiting` leads from the id of a query to the place of its question."""
        self._udp = udp
        self._questions = questions
        self._waiting = waiting
        self._replies = replies
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Return when every question has its reply. Raises OSError when the server cannot be asked."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._udp, self._receive)
        try:
            await self._done
        except asyncio.CancelledError:
            self._receive()
            raise
        finally:
            loop.remove_reader(self._udp)

    def _receive(self) -> None:
        try:
            for _ in range(_AT_ONCE):
                self._take(self._udp.recv(_RECEIVE))
                if not self._waiting:
                    break
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            if not self._done.done():
                self._done.set_exception(error)
            return
        if not self._waiting and not self._done.done():
            self._done.set_result(None)

    def _take(self, message: bytes) -> None:
        identity = int.from_bytes(message[:2], "big")
        expected = self._waiting.get(identity)
        if expected is None:
            return
        try:
            self._replies[expected] = parse_reply(message, identity, self._questions[expected])
        except ForeignMessage:
            return
        except BadMessage as error:
            self._replies[expected] = error
        del self._waiting[identity]


async def _exchange_tcp(server: Server, question: Question) -> Reply | BadMessage:
    """RFC 7766: the same query with its length before it."""
    (identity,) = _identities(1)
    query = build_query(identity, question)
    tcp = socket.socket(server.family, socket.SOCK_STREAM)
    try:
        tcp.setblocking(False)
        await asyncio.get_running_loop().sock_connect(tcp, server.address)
        reader, writer = await asyncio.open_connection(sock=tcp)
    except BaseException:
        tcp.close()
        raise
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        size = int.from_bytes(await reader.readexactly(2), "big")
        return parse_reply(await reader.readexactly(size), identity, question)
    except BadMessage as error:
        return error
    finally:
        writer.transport.abort()
