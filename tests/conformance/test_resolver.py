"""What the resolver owes to validators and to CAA, against a real DNS server on loopback."""

import asyncio
import hashlib
import socket
import threading
import time
from contextlib import contextmanager

import dns.message
import dns.rcode
import dns.rrset
import pytest

from acme_ra.core.encoding import b64url
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.problems import CAAForbids, ServiceUnavailable
from acme_ra.validation.dns_wire import CAARecord, Question, RecordType, encode_name
from acme_ra.validation.resolver import RecursiveResolver, Status
from acme_ra.validation.servers import parse_server
from acme_ra.validation.service import ValidationAuthority
from tests.support.both_loops import on_both_loops
from tests.support.challenge_peers import KEY_AUTHORIZATION, NAME, settings, target
from tests.support.dns_server import fake_dns
from tests.support.ports import free_port


def question(name, kind="A"):
    return Question(encode_name(name), RecordType[kind])


def resolver(*servers, timeout=60):
    return RecursiveResolver([parse_server(server) for server in servers], timeout=timeout)


async def one(server, name, kind="A", **options):
    (answer,) = await resolver(server.address, **options).resolve([question(name, kind)])
    return answer


@on_both_loops
async def test_the_four_outcomes_are_told_apart():
    """Found, no such record, no such name, and not known."""
    async with fake_dns() as server:
        server.records["a.test", "A"] = ["192.0.2.1"]
        server.rcodes["refused.test", "A"] = dns.rcode.REFUSED
        server.rcodes["odd.test", "A"] = dns.rcode.NOTAUTH

        assert (await one(server, "a.test"))[1:3] == (Status.FOUND, ("192.0.2.1",))
        assert (await one(server, "a.test", "TXT")).status is Status.NO_DATA
        assert (await one(server, "b.test")).status is Status.NO_NAME
        assert (await one(server, "refused.test")).reason == f"REFUSED from {server.address}"
        assert (await one(server, "odd.test")).reason == f"response code 9 from {server.address}"


@on_both_loops
async def test_several_questions_share_one_exchange():
    """Answers come in the order of the questions, each asked once."""
    async with fake_dns() as server:
        for i in range(8):
            server.records[f"n{i}.test", "A"] = [f"192.0.2.{i}"]

        answers = await resolver(server.address).resolve([question(f"n{i}.test") for i in range(8)])

        assert [answer.records for answer in answers] == [(f"192.0.2.{i}",) for i in range(8)]
        assert len(server.queries) == 8


@on_both_loops
async def test_what_does_not_fit_comes_by_tcp():
    """A truncated answer is asked for again over TCP, and only that one."""
    async with fake_dns() as server:
        long = [f'"{"x" * 200}" "{i}"' for i in range(60)]
        server.records["a.test", "TXT"] = long
        server.truncated.add(("a.test", "TXT"))

        answer = await one(server, "a.test", "TXT")

        assert sorted(answer.records) == sorted(b"x" * 200 + str(i).encode() for i in range(60))
        assert [query[2] for query in server.queries] == ["udp", "tcp"]


@on_both_loops
async def test_a_truncated_answer_without_tcp_is_not_known():
    """A partial answer is never taken for an empty one: for CAA that would be permission."""

    def only_truncated(wire):
        response = dns.message.make_response(dns.message.from_wire(wire))
        response.flags |= dns.flags.TC
        return response.to_wire()

    async with fake_dns() as server:
        server.raw["a.test", "CAA"] = only_truncated

        answer = await one(server, "a.test", "CAA")

        assert answer.status is Status.FAILED
        assert "part of its answer" in answer.reason


@on_both_loops
async def test_a_server_that_fails_is_passed_over_for_the_next():
    """Silence, refusal and rubbish from the first server; the second one answers."""
    async with fake_dns() as bad, fake_dns() as good:
        good.records["a.test", "A"] = good.records["b.test", "A"] = good.records["c.test", "A"] = ["192.0.2.1"]
        bad.silent.add(("a.test", "A"))
        bad.rcodes["b.test", "A"] = dns.rcode.SERVFAIL
        bad.raw["c.test", "A"] = lambda wire: wire[:2] + b"\x81\x80\x00\x01\x00\x09\x00\x00\x00\x00" + wire[12:24]
        for name, timeout in (("b.test", 60), ("c.test", 60), ("a.test", 8)):
            (answer,) = await resolver(bad.address, good.address, timeout=timeout).resolve([question(name)])

            assert answer.status is Status.FOUND, name
        dead = resolver(f"127.0.0.1:{free_port()}", good.address)
        assert [a.status for a in await dead.resolve([question("a.test")])] == [Status.FOUND]


@on_both_loops
async def test_a_silent_server_is_not_asked_first_again():
    """One look-up pays for a dead server, the next ones do not."""
    async with fake_dns() as silent, fake_dns() as good:
        silent.silent.add(("a.test", "A"))
        good.records["a.test", "A"] = ["192.0.2.1"]
        both = resolver(silent.address, good.address, timeout=12)

        for _ in range(3):
            await both.resolve([question("a.test")])

        assert len(silent.queries) == 1


@on_both_loops
async def test_a_lost_packet_is_sent_again():
    """UDP loses packets; one repetition comes before silence is told."""
    async with fake_dns() as server:
        lost = []

        def second_time(wire):
            lost.append(wire)
            response = dns.message.make_response(dns.message.from_wire(wire))
            if len(lost) > 1:
                response.answer.append(dns.rrset.from_text("a.test.", 60, "IN", "A", "192.0.2.1"))
                return response.to_wire()
            return bytes([wire[0] ^ 255]) + response.to_wire()[1:]  # another id: not ours

        server.raw["a.test", "A"] = second_time

        assert (await one(server, "a.test", timeout=4)).records == ("192.0.2.1",)


@on_both_loops
async def test_an_answer_that_came_in_time_counts_however_late_it_is_read():
    """The process was away (stopped, swapped out) until after the deadline: what the kernel kept is the answer."""
    with answering_thread() as (address, answered):
        looked_up = asyncio.create_task(resolver(address, timeout=0.2).resolve([question("a.test")]))
        await asyncio.sleep(0)  # The query is sent.
        assert answered.acquire(timeout=60)
        time.sleep(0.3)  # Longer than the time of one try; the loop sees neither clock nor socket meanwhile.
        (answer,) = await looked_up

    assert (answer.status, answer.records) == (Status.FOUND, ("192.0.2.1",))
    assert not answered.acquire(blocking=False)


@contextmanager
def answering_thread():
    """A name server that needs no turn of the event loop; the semaphore counts its answers."""
    answered = threading.Semaphore(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))

        def serve():
            while True:
                wire, asker = udp.recvfrom(4096)
                if not wire:
                    return
                response = dns.message.make_response(dns.message.from_wire(wire))
                response.answer.append(dns.rrset.from_text("a.test.", 60, "IN", "A", "192.0.2.1"))
                udp.sendto(response.to_wire(), asker)
                answered.release()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{udp.getsockname()[1]}", answered
        finally:
            udp.sendto(b"", udp.getsockname())
            thread.join()


@on_both_loops
async def test_all_servers_dead_is_told_within_the_time():
    """Nobody listens: told at once, not after the timeout."""
    began = time.perf_counter()
    (answer,) = await resolver(f"127.0.0.1:{free_port()}", timeout=600).resolve([question("a.test")])

    assert answer.status is Status.FAILED
    assert "cannot be asked (Connection refused)" in answer.reason
    assert time.perf_counter() - began < 100


@on_both_loops
async def test_a_server_without_edns_is_asked_again_without():
    """FORMERR for the OPT record is an old server's habit (RFC 6891 §7)."""
    async with fake_dns() as server:
        server.understands_edns = False
        server.records["a.test", "A"] = ["192.0.2.1"]

        assert (await one(server, "a.test")).records == ("192.0.2.1",)


@pytest.mark.parametrize("follows", [True, False])
@on_both_loops
async def test_aliases_are_followed_whoever_follows_them(follows):
    """By the recursive server's answer, or by asking again where it names only the CNAME."""
    async with fake_dns() as server:
        server.follows_aliases = follows
        server.records["a.test", "CNAME"] = ["b.test"]
        server.records["b.test", "CNAME"] = ["c.test"]
        server.records["c.test", "TXT"] = ['"found"']
        server.records["d.test", "CNAME"] = ["nowhere.invalid"]

        assert (await one(server, "a.test", "TXT"))[:3] == (question("a.test", "TXT"), Status.FOUND, (b"found",))
        assert (await one(server, "a.test", "A")).status is Status.NO_DATA
        assert (await one(server, "d.test", "A")).status is Status.NO_NAME


@on_both_loops
async def test_aliases_in_a_circle_are_not_known():
    """A circle that shows only over several answers ends too."""
    async with fake_dns() as server:
        server.follows_aliases = False
        server.records["a.test", "CNAME"] = ["b.test"]
        server.records["b.test", "CNAME"] = ["a.test"]

        answer = await one(server, "a.test")

        assert answer.status is Status.FAILED
        assert "circle" in answer.reason
        assert len(server.queries) < 15


@on_both_loops
async def test_nothing_is_cached():
    """A record published after a look-up is seen by the next one; a cache's memory of NXDOMAIN would not."""
    async with fake_dns() as server:
        asked = resolver(server.address)
        (before,) = await asked.resolve([question("a.test", "TXT")])
        server.records["a.test", "TXT"] = ['"now"']
        (after,) = await asked.resolve([question("a.test", "TXT")])

        assert (before.status, after.records) == (Status.NO_NAME, (b"now",))


@on_both_loops
async def test_one_silent_family_does_not_hold_up_the_other():
    """Servers that drop AAAA queries exist: with an A record at hand they cost one share of the time."""
    async with fake_dns() as server:
        server.records["a.test", "A"] = ["192.0.2.1"]
        server.silent.add(("a.test", "AAAA"))
        questions = [question("a.test", "AAAA"), question("a.test", "A")]

        answers = await resolver(server.address, timeout=4).resolve(questions, any_found=True)

        assert [answer.status for answer in answers] == [Status.FAILED, Status.FOUND]
        assert server.asked("a.test", "AAAA") == 1


@on_both_loops
async def test_a_cancelled_look_up_leaves_nothing():
    """Neither a task nor a socket outlives it."""
    async with fake_dns() as server:
        server.silent.add(("a.test", "A"))
        task = asyncio.create_task(one(server, "a.test", timeout=600))
        while not server.queries:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@on_both_loops
async def test_caa_records_come_whole():
    """c-ares would cut this value at its NUL and make it name us."""
    async with fake_dns() as server:
        server.records["a.test", "CAA"] = ['0 issue "ca.test\\000.evil.test"']
        authority = ValidationAuthority(settings(server.address))

        assert (await one(server, "a.test", "CAA")).records == (CAARecord(0, b"issue", b"ca.test\x00.evil.test"),)
        with pytest.raises(CAAForbids):
            await caa(authority, "a.test")


async def caa(authority, *names, issuers=("ca.test",), mode="on"):
    identifiers = tuple(Identifier(IdentifierType.DNS, name) for name in names)
    await authority.check_caa(identifiers, mode=mode, issuers=issuers, account_url="https://ra.test/1", proofs={})


@on_both_loops
async def test_caa_goes_over_the_wire_like_everything_else():
    """Climbing, aliases, absent names, unreadable records and failing servers, end to end."""
    async with fake_dns() as server:
        server.records["example.test", "CAA"] = ['0 issue "ca.test"']
        server.records["www.example.test", "CNAME"] = ["cdn.test"]
        server.records["cdn.test", "CAA"] = ['0 issue "other.test"']
        server.rcodes["broken.test", "CAA"] = dns.rcode.SERVFAIL
        server.raw["rubbish.test", "CAA"] = lambda wire: (
            wire[:2] + b"\x81\x80" + wire[4:6] + b"\x00\x01" + bytes(4) + wire[12:-11] + b"\xff"
        )
        server.silent.add(("silent.test", "CAA"))
        authority = ValidationAuthority(settings(server.address, caa_timeout=60_000))
        hasty = ValidationAuthority(settings(server.address, dns_timeout=150))

        await caa(authority, "example.test", "shop.example.test", "unknown.test")
        await caa(authority, "shop.example.test", mode="required")
        with pytest.raises(CAAForbids, match=r"www\.example\.test: CAA at www\.example\.test"):
            await caa(authority, "example.test", "www.example.test")
        for asked, name in (
            (authority, "broken.test"),
            (authority, "rubbish.test"),
            (hasty, "silent.test"),
            (hasty, "below.silent.test"),
        ):
            with pytest.raises(ServiceUnavailable, match=name):
                await caa(asked, name)


@on_both_loops
async def test_dns_01_finds_its_record_through_aliases_and_among_others():
    """Delegation by CNAME (RFC 8555 §8.4), several records, strings in several parts."""
    digest = b64url(hashlib.sha256(KEY_AUTHORIZATION.encode()).digest())
    async with fake_dns() as server:
        authority = ValidationAuthority(settings(server.address))
        server.records[f"_acme-challenge.{NAME}", "CNAME"] = ["x.acme-dns.test"]
        server.records["x.acme-dns.test", "TXT"] = ['"old"', f'"{digest[:10]}" "{digest[10:]}"', '"v=spf1"']
        for follows in (True, False):
            server.follows_aliases = follows
            await authority.validate("dns-01", target())
