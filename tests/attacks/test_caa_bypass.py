"""CAA: no name slips past it (THREATS: Let's Encrypt 2020, `issue ";"` and wildcards; RFC 8659, RFC 8657)."""

import asyncio
from collections import Counter

import pytest

from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.problems import CAAForbids, ServiceUnavailable
from acme_ra.validation.caa import CAA, Permission, judge
from acme_ra.validation.dns_wire import CAARecord, show_name
from acme_ra.validation.resolver import Answer, Status
from tests.support.cost import cheapest

OURS = "ca.example.test"
ACCOUNT = "https://ra.example.test/acme/internal/account/1.abc"


class Records:
    """A resolver with CAA records by name; every look-up is counted."""

    def __init__(self, records=None, *, failing=(), silent=()):
        self.records = records or {}
        self.failing = set(failing)
        self.silent = set(silent)
        self.asked = Counter()
        self.exchanges = []

    async def resolve(self, questions, *, any_found=False):
        self.exchanges.append([show_name(question.name) for question in questions])
        return [await self.one(question) for question in questions]

    async def one(self, question):
        name = show_name(question.name)
        self.asked[name] += 1
        if name in self.silent:
            await asyncio.sleep(3600)
        if name in self.failing:
            return Answer(question, Status.FAILED, reason="SERVFAIL from 192.0.2.53:53")
        if name in self.records:
            return Answer(question, Status.FOUND, tuple(CAARecord(*record) for record in self.records[name]))
        return Answer(question, Status.NO_DATA)


def names(*values):
    return tuple(Identifier(IdentifierType.DNS, value) for value in values)


async def check(resolver, *values, mode="on", proofs=None, issuers=(OURS,), timeout=5.0):
    proofs = proofs if proofs is not None else dict.fromkeys(values, "http-01")
    await CAA(resolver, timeout=timeout).check(
        names(*values), mode=mode, issuers=issuers, account_url=ACCOUNT, proofs=proofs
    )


def issue(value, tag=b"issue", flags=0):
    return (flags, tag, value.encode())


async def test_each_name_is_looked_up_and_none_twice():
    """The names looked up are exactly the names asked for."""
    wanted = [f"n{i}.z{i}" for i in range(40)]
    resolver = Records()

    await check(resolver, *wanted)

    first = [exchange[0] for exchange in resolver.exchanges]
    assert sorted(first) == sorted(wanted)
    assert all(resolver.asked[name] == 1 for name in wanted)


@pytest.mark.parametrize("denied", range(7))
async def test_denying_one_name_denies_the_request_and_names_it(denied):
    """For every k: only name k forbids, and only name k is told."""
    wanted = [f"n{i}.example.test" for i in range(7)]
    resolver = Records({wanted[denied]: [issue("other.test")]})

    with pytest.raises(CAAForbids) as caught:
        await check(resolver, *wanted)

    assert [problem.identifier_value for problem in caught.value.subproblems] == [wanted[denied]]
    assert wanted[denied] in caught.value.detail
    assert "other.test" in caught.value.detail


@pytest.mark.parametrize("unknown", range(4))
async def test_not_knowing_about_one_name_is_never_permission(unknown):
    """SERVFAIL for name k, at any level of its tree, stops the request with 503."""
    wanted = [f"n{i}.example{i}.test" for i in range(4)]
    for failing in (wanted[unknown], f"example{unknown}.test", "test"):
        resolver = Records({"test": [issue(OURS)]}, failing=[failing])

        with pytest.raises(ServiceUnavailable, match="SERVFAIL"):
            await check(resolver, *wanted)


async def test_silence_is_never_permission():
    """A name server that never answers costs the deadline and stops the request."""
    with pytest.raises(ServiceUnavailable, match="longer than"):
        await check(Records(silent=["b.test"]), "a.test", "b.test", timeout=0.1)


async def test_a_closer_record_wins_and_a_failure_above_it_does_not_matter():
    """Climbing ends at the first name with records (RFC 8659 §3)."""
    resolver = Records({"a.b.test": [issue(OURS)], "b.test": [issue("other.test")]}, failing=["test"])

    await check(resolver, "a.b.test")
    with pytest.raises(CAAForbids):
        await check(resolver, "c.b.test")


async def test_deep_names_are_climbed_to_the_top():
    """Every ancestor is asked, the root is not."""
    name = ".".join(f"l{i}" for i in range(30)) + ".test"
    resolver = Records({"test": [issue("other.test")]})

    with pytest.raises(CAAForbids, match="CAA at test"):
        await check(resolver, name)
    assert "." not in resolver.asked
    assert len(resolver.asked) == 31


async def test_addresses_have_no_caa_and_names_beside_them_do():
    """RFC 8738 says nothing of CAA for addresses: they are skipped, in either mode."""
    resolver = Records({"a.test": [issue(";")]})
    address = Identifier(IdentifierType.IP, "192.0.2.1")
    caa = CAA(resolver, timeout=1)

    await caa.check((address,), mode="required", issuers=(OURS,), account_url=ACCOUNT, proofs={})
    assert not resolver.asked
    with pytest.raises(CAAForbids):
        await caa.check((address, *names("a.test")), mode="on", issuers=(OURS,), account_url=ACCOUNT, proofs={})


OUR, OTHER, NOBODY, IODEF = issue(OURS), issue("other.test"), issue(";"), (0, b"iodef", b"mailto:x@y.test")


def wild(record):
    return (record[0], b"issuewild", record[2])


@pytest.mark.parametrize(
    ("records", "plain", "wildcard"),
    [
        ([], True, True),
        ([IODEF], True, True),
        ([OUR], True, True),
        ([OTHER], False, False),
        ([NOBODY], False, False),
        ([OTHER, OUR], True, True),
        ([NOBODY, OUR], True, True),
        ([wild(OUR)], True, True),
        ([wild(OTHER)], True, False),
        ([wild(NOBODY)], True, False),
        ([OUR, wild(OTHER)], True, False),
        ([OUR, wild(NOBODY)], True, False),
        ([OTHER, wild(OUR)], False, True),
        ([NOBODY, wild(OUR)], False, True),
        ([NOBODY, wild(NOBODY)], False, False),
        ([OUR, wild(OUR)], True, True),
        ([OUR, wild(OUR), wild(OTHER)], True, True),
        ([OUR, (0, b"future", b"x")], True, True),
        ([OUR, (1, b"future", b"x")], True, True),
        ([OUR, (128, b"future", b"x")], False, False),
        ([(128, b"future", b"x")], False, False),
        ([OUR, (255, b"issueother", b"x")], False, False),
        ([(128, *OUR[1:])], True, True),
        ([(128, *OTHER[1:])], False, False),
    ],
)
async def test_issue_and_issuewild(records, plain, wildcard):
    """The whole matrix: issuewild overrides issue for wildcards and only for them; unknown critical tags forbid."""
    resolver = Records({"a.test": records} if records else {})
    for name, allowed in (("a.test", plain), ("*.a.test", wildcard)):
        if allowed:
            await check(resolver, name)
        else:
            with pytest.raises(CAAForbids):
                await check(resolver, name)
        required = allowed and any(r[1] == b"issue" or (r[1] == b"issuewild" and "*" in name) for r in records)
        if required:
            await check(resolver, name, mode="required")
        else:
            with pytest.raises(CAAForbids):
                await check(resolver, name, mode="required")


async def test_a_wildcard_and_its_base_are_two_names():
    """One may be allowed and the other not, in one request."""
    resolver = Records({"a.test": [OUR, wild(NOBODY)]})

    with pytest.raises(CAAForbids) as caught:
        await check(resolver, "a.test", "*.a.test")

    assert [problem.identifier_value for problem in caught.value.subproblems] == ["*.a.test"]
    assert resolver.asked["a.test"] == 2


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        (OURS, True),
        (f" \t{OURS} ", True),
        (OURS.upper(), True),
        (f"{OURS};", True),
        (f"{OURS} ; ", True),
        (f"{OURS}; policy=ev", True),
        (f"{OURS}; accounturi={ACCOUNT}", True),
        (f"{OURS}; accounturi = {ACCOUNT} ; validationmethods=dns-01,http-01", True),
        (f"{OURS}; validationmethods=http-01", True),
        (f"{OURS}; validationmethods=dns-01", False),
        (f"{OURS}; validationmethods=", False),
        (f"{OURS}; validationmethods=http-01x,xhttp-01", False),
        (f"{OURS}; accounturi={ACCOUNT}x", False),
        (f"{OURS}; accounturi=", False),
        (f"{OURS}; AccountURI=https://else.test", False),
        (f"{OURS}; ACCOUNTURI={ACCOUNT}", True),
        (f"{OURS}; accounturi={ACCOUNT}; accounturi=https://else.test", False),
        (f"{OURS}; accounturi=https://else.test; accounturi={ACCOUNT}", False),
        (f"{OURS}; accounturi={ACCOUNT};", False),
        (f"{OURS}; accounturi", False),
        (f"{OURS};;", False),
        (f"{OURS} accounturi={ACCOUNT}", False),
        (f"{OURS}; a_b=c", False),
        (f"{OURS}; a=b c", False),
        (f"{OURS}\x00.evil.test", False),
        (f"{OURS}\n", False),
        (f"{OURS}.", False),
        (f".{OURS}", False),
        (f"x{OURS}", False),
        ("", False),
        (" ; ", False),
        ("%%%%", False),
        ("é", False),
        (f"{OURS}; a={'x' * 2000}", False),
    ],
)
async def test_values_and_parameters(value, allowed):
    """RFC 8659 §4.2 and RFC 8657, each broken value allowing nobody."""
    resolver = Records({"a.test": [(0, b"issue", value.encode())]})
    if allowed:
        await check(resolver, "a.test")
    else:
        with pytest.raises(CAAForbids):
            await check(resolver, "a.test")


@pytest.mark.parametrize("proof", ["none", "", "tls-alpn-01"])
async def test_a_name_without_the_named_proof_satisfies_no_validationmethods(proof):
    """A namespace that is its own proof is no validation method."""
    resolver = Records({"a.test": [issue(f"{OURS}; validationmethods=http-01,none")]})

    with pytest.raises(CAAForbids, match="validationmethods"):
        await check(resolver, "a.test", proofs={"a.test": proof} if proof else {})


async def test_a_wildcards_proof_may_be_told_by_its_base():
    """Authorizations carry the name without `*.`; either spelling finds the proof."""
    resolver = Records({"a.test": [issue(f"{OURS}; validationmethods=dns-01")]})

    await check(resolver, "*.a.test", proofs={"a.test": "dns-01"})
    await check(resolver, "*.a.test", proofs={"*.a.test": "dns-01"})


async def test_a_directory_without_identities_is_allowed_by_no_record():
    """No caa_identities means that no record can name us."""
    with pytest.raises(CAAForbids, match="no caa_identities"):
        await check(Records({"a.test": [OUR]}), "a.test", issuers=())
    await check(Records(), "a.test", issuers=())


async def test_an_unknown_mode_is_refused():
    """A mode that nobody wrote code for must not mean `off`."""
    with pytest.raises(ValueError, match="mode"):
        await check(Records(), "a.test", mode="maybe")


def test_hostile_values_are_judged_quickly():
    """The grammar cannot be made to backtrack."""
    permission = Permission((OURS,), ACCOUNT, "http-01")

    def judge_all() -> None:
        for value in (
            b" " * 1000 + b"!",
            b"a-" * 500,
            b"a" + b" " * 1000 + b"!",
            f"{OURS};{' ' * 900}=".encode(),
            b"a." * 500,
        ):
            assert judge("a.test", [CAARecord(0, b"issue", value)], wildcard=False, mode="on", permission=permission)

    assert cheapest(judge_all) < 0.05


async def test_what_a_record_says_is_told_harmlessly():
    """Control characters of a record reach no terminal."""
    with pytest.raises(CAAForbids) as caught:
        await check(Records({"a.test": [issue("\x1b[31m<script>")]}), "a.test")

    assert "\x1b" not in caught.value.detail
    assert "\\x1b" in caught.value.detail
