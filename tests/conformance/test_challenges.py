"""One suite over validation's registry: what every challenge type owes to whoever calls it (RFC 8555 §8)."""

import asyncio
import hashlib
import ipaddress
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import dns.rcode
import pytest
from cryptography import x509

from acme_ra.core.encoding import b64url
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.problems import ConnectionFailed, DNSFailed, IncorrectResponse, Problem, TLSFailed
from acme_ra.validation.service import ValidationAuthority
from tests.support.both_loops import on_both_loops
from tests.support.challenge_peers import (
    KEY_AUTHORIZATION,
    NAME,
    alpn_extension,
    certificate,
    http_peer,
    http_response,
    settings,
    target,
    tls_peer,
)
from tests.support.dns_server import FakeDNS, fake_dns
from tests.support.ports import free_port

OTHER = "tBx6.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def digest(key_authorization: str) -> str:
    return b64url(hashlib.sha256(key_authorization.encode()).digest())


class World(NamedTuple):
    """One name whose applicant answers with a key authorization; `record` is the DNS query that must succeed."""

    dns: FakeDNS
    port: int
    record: tuple[str, str]


@asynccontextmanager
async def http01(key_authorization: str, _folder: Any) -> AsyncIterator[World]:
    async with fake_dns() as server, http_peer(http_response(key_authorization)) as peer:
        server.records[NAME, "A"] = ["127.0.0.1"]
        yield World(server, peer.port, (NAME, "A"))


@asynccontextmanager
async def dns01(key_authorization: str, _folder: Any) -> AsyncIterator[World]:
    async with fake_dns() as server:
        server.records[f"_acme-challenge.{NAME}", "TXT"] = [f'"{digest(key_authorization)}"']
        yield World(server, free_port(), (f"_acme-challenge.{NAME}", "TXT"))


@asynccontextmanager
async def tlsalpn01(key_authorization: str, folder: Any) -> AsyncIterator[World]:
    pem = certificate(folder, [x509.DNSName(NAME)], [alpn_extension(key_authorization)])
    async with fake_dns() as server, tls_peer(pem) as peer:
        server.records[NAME, "A"] = ["127.0.0.1"]
        yield World(server, peer.port, (NAME, "A"))


WORLDS: dict[str, Callable[[str, Any], Any]] = {"http-01": http01, "dns-01": dns01, "tls-alpn-01": tlsalpn01}
DIALLING = ("http-01", "tls-alpn-01")


def authority(dns_server: str, port: int, **values: Any) -> ValidationAuthority:
    return ValidationAuthority(settings(dns_server, http_port=port, tls_alpn_port=port, **values))


def test_every_registered_type_is_in_this_suite() -> None:
    """A new challenge type joins here."""
    assert set(ValidationAuthority(settings()).types) == set(WORLDS)


@pytest.mark.parametrize("kind", WORLDS)
@on_both_loops
async def test_the_right_answer_proves_control(kind, tmp_path):
    """The applicant's answer is there: nothing is raised, and again nothing the second time."""
    async with WORLDS[kind](KEY_AUTHORIZATION, tmp_path) as world:
        va = authority(world.dns.address, world.port)

        await va.validate(kind, target())
        await va.validate(kind, target())


@pytest.mark.parametrize("kind", WORLDS)
@on_both_loops
async def test_another_accounts_answer_proves_nothing(kind, tmp_path):
    """incorrectResponse, with the name, what was found and what was expected."""
    async with WORLDS[kind](OTHER, tmp_path) as world:
        with pytest.raises(IncorrectResponse) as caught:
            await authority(world.dns.address, world.port).validate(kind, target())

    assert caught.value.detail.startswith(NAME)
    assert "expected" in caught.value.detail
    assert len(caught.value.detail) < 600


@pytest.mark.parametrize("kind", WORLDS)
@on_both_loops
async def test_a_name_that_does_not_exist_is_a_dns_problem(kind, tmp_path):
    """NXDOMAIN is told as such, with the name."""
    async with WORLDS[kind](KEY_AUTHORIZATION, tmp_path) as world:
        with pytest.raises(DNSFailed, match=r"gone\.test does not exist.*NXDOMAIN"):
            await authority(world.dns.address, world.port).validate(kind, target("gone.test"))


@pytest.mark.parametrize("kind", WORLDS)
@on_both_loops
async def test_a_failing_name_server_is_a_dns_problem(kind, tmp_path):
    """SERVFAIL is told with the server that said so, and is not mistaken for an absent record."""
    async with WORLDS[kind](KEY_AUTHORIZATION, tmp_path) as world:
        world.dns.rcodes[world.record] = dns.rcode.SERVFAIL
        with pytest.raises(DNSFailed, match=f"SERVFAIL from {world.dns.address}"):
            await authority(world.dns.address, world.port).validate(kind, target())


@pytest.mark.parametrize("kind", WORLDS)
@on_both_loops
async def test_a_silent_name_server_is_a_dns_problem_in_time(kind, tmp_path):
    """Silence ends with the look-up's timeout, well before the attempt's."""
    async with WORLDS[kind](KEY_AUTHORIZATION, tmp_path) as world:
        world.dns.silent |= {world.record, (NAME, "AAAA")}
        with pytest.raises(DNSFailed, match=r"no answer from .* within 0\.2 s"):
            await authority(world.dns.address, world.port, dns_timeout=200).validate(kind, target())


@pytest.mark.parametrize("kind", WORLDS)
@on_both_loops
async def test_the_deadline_covers_the_look_up(kind, tmp_path):
    """An attempt ends at its deadline whatever it is doing, and says what that was."""
    async with WORLDS[kind](KEY_AUTHORIZATION, tmp_path) as world:
        world.dns.silent |= {world.record, (NAME, "AAAA")}
        began = asyncio.get_running_loop().time()
        with pytest.raises(ConnectionFailed, match=r"within 0\.1 s; it ended while looking up"):
            await authority(world.dns.address, world.port, timeout=100, dns_timeout=120_000).validate(kind, target())

    assert asyncio.get_running_loop().time() - began < 50  # The first try of a look-up alone would take a minute.


@pytest.mark.parametrize("kind", DIALLING)
@on_both_loops
async def test_nobody_listening_is_a_connection_problem(kind):
    """Refused is told with address and port."""
    port = free_port()
    async with fake_dns() as server:
        server.records[NAME, "A"] = ["127.0.0.1"]
        with pytest.raises(ConnectionFailed, match=rf"127\.0\.0\.1:{port}: connection refused"):
            await authority(server.address, port).validate(kind, target())


@pytest.mark.parametrize("kind", DIALLING)
@on_both_loops
async def test_a_peer_that_says_nothing_costs_no_more_than_the_deadline(kind):
    """The attempt ends in time, the problem says where it waited, and the connection is closed."""
    closed = asyncio.Event()

    async def wait_for_the_end(reader, _writer, _request):
        try:
            await reader.read(-1)
        finally:
            closed.set()

    async with fake_dns() as server, http_peer(wait_for_the_end) as peer:
        server.records[NAME, "A"] = ["127.0.0.1"]
        for milliseconds in (100, 1000, 10_000, 100_000):
            with pytest.raises(ConnectionFailed) as caught:
                await authority(server.address, peer.port, timeout=milliseconds).validate(kind, target())
            if peer.requests:
                break  # A busy machine may need longer than the deadline to get as far as that.

        told = caught.value.detail
        assert re.search(rf"within {milliseconds / 1000:g} s; it ended while .*127\.0\.0\.1:{peer.port}", told), told
        await asyncio.wait_for(closed.wait(), 60)


@pytest.mark.parametrize("kind", DIALLING)
@on_both_loops
async def test_a_cancelled_attempt_lets_go_of_its_connection(kind):
    """Cancelling raises CancelledError, closes the socket and leaves no task."""
    reached, closed = asyncio.Event(), asyncio.Event()

    async def wait_for_the_end(reader, _writer, _request):
        reached.set()
        try:
            await reader.read(-1)
        finally:
            closed.set()

    async with fake_dns() as server, http_peer(wait_for_the_end) as peer:
        server.records[NAME, "A"] = ["127.0.0.1"]
        attempt = asyncio.create_task(authority(server.address, peer.port).validate(kind, target()))
        await asyncio.wait_for(reached.wait(), 60)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt

        await asyncio.wait_for(closed.wait(), 60)


@pytest.mark.parametrize("kind", WORLDS)
@on_both_loops
async def test_no_more_run_at_one_time_than_allowed_and_all_get_their_turn(kind, tmp_path):
    """The bound holds, and waiting costs nobody the deadline."""
    async with WORLDS[kind](KEY_AUTHORIZATION, tmp_path) as world:
        va = authority(world.dns.address, world.port, max_concurrent=2)
        running = most = 0
        inner = va._validators[kind].validate

        async def counted(asked: Any) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                await inner(asked)
            finally:
                running -= 1

        va._validators[kind].validate = counted  # type: ignore[method-assign]
        await asyncio.gather(*(va.validate(kind, target()) for _ in range(12)))

    assert most == 2


@pytest.mark.parametrize("kind", WORLDS)
@on_both_loops
async def test_many_attempts_of_mixed_fate_do_not_disturb_each_other(kind, tmp_path):
    """Fifty at once: each ends as it would alone."""
    async with WORLDS[kind](KEY_AUTHORIZATION, tmp_path) as world:
        va = authority(world.dns.address, world.port)
        names = [NAME if i % 2 else f"gone{i}.test" for i in range(50)]
        outcomes = await asyncio.gather(*(va.validate(kind, target(name)) for name in names), return_exceptions=True)

    assert [isinstance(outcome, DNSFailed) for outcome in outcomes] == [name != NAME for name in names]


@pytest.mark.parametrize("kind", WORLDS)
@on_both_loops
async def test_problems_are_for_clients_to_read(kind, tmp_path):
    """Printable ASCII, no Python names, no class names, no memory addresses."""
    details = []
    async with WORLDS[kind](OTHER, tmp_path) as world:
        world.dns.silent |= {("silent.test", "A"), ("_acme-challenge.silent.test", "TXT")}
        for name, milliseconds in ((NAME, 60_000), ("gone.test", 60_000), ("silent.test", 100)):
            with pytest.raises(Problem) as caught:
                await authority(world.dns.address, world.port, dns_timeout=milliseconds).validate(kind, target(name))
            details.append(caught.value.detail)

    for detail in details:
        assert detail.isprintable()
        assert not any(word in detail for word in ("Error(", "object at", "Errno", "None", "Traceback"))


@pytest.mark.parametrize("kind", WORLDS)
@on_both_loops
async def test_only_the_identifiers_that_it_can_prove_are_usable(kind):
    """The registry's own statement is what usable() goes by."""
    va = ValidationAuthority(settings())
    validator = va._validators[kind]
    for identifier in (Identifier(IdentifierType.DNS, NAME), Identifier(IdentifierType.IP, "192.0.2.1")):
        usable = va.usable(identifier, wildcard=False, allowed=(kind,)) == (kind,)
        assert usable is (identifier.type in validator.identifier_types)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@on_both_loops
async def test_addresses_are_proved_by_their_own_challenges(address, tmp_path):
    """http-01 and tls-alpn-01 on IPv4 and IPv6, without any look-up (RFC 8738)."""
    pem = certificate(tmp_path, [x509.IPAddress(ipaddress.ip_address(address))], [alpn_extension()])
    async with http_peer(http_response(KEY_AUTHORIZATION), host=address) as web:
        await authority("127.0.0.1:9", web.port).validate("http-01", target(address))
        shown = f"[{address}]" if ":" in address else address
        assert f"Host: {shown}:{web.port}\r\n".encode() in web.requests[0]
    async with tls_peer(pem) as peer:
        if address == "127.0.0.1":
            await authority("127.0.0.1:9", peer.port).validate("tls-alpn-01", target(address))


@pytest.mark.parametrize("kind", ["tls-alpn-01"])
@on_both_loops
async def test_a_peer_that_hangs_up_during_the_handshake_is_a_tls_problem(kind):
    """Closed at once, without a TLS record."""

    async def hang_up(_reader, writer, _request):
        writer.transport.abort()

    async with fake_dns() as server, http_peer(hang_up) as peer:
        server.records[NAME, "A"] = ["127.0.0.1"]
        with pytest.raises(TLSFailed, match="closed the connection during the TLS handshake"):
            await authority(server.address, peer.port).validate(kind, target())
