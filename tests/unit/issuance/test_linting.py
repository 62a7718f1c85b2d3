"""Linting before signing: clean certificates pass, bad ones are not signed, and silence is not consent."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from acme_ra.core.clock import DAY
from acme_ra.core.keys import LEAF_ALGORITHMS, KeyAlgorithm
from acme_ra.core.problems import ServiceUnavailable
from acme_ra.issuance import lint as lint_module
from acme_ra.issuance.builder import LeafBuilder, sign_leaf
from acme_ra.issuance.contract import AuthorityRefused
from acme_ra.issuance.lint import Linter, LinterUnavailable, LintFinding, LintGate, LintRefused, objections
from acme_ra.issuance.profiles import Profile
from acme_ra.issuance.service import CertificateAuthority, _draft
from acme_ra.issuance.settings import LintSettings, ProfileSettings
from acme_ra.issuance.setup import Constraints
from acme_ra.issuance.signers.memory import MemorySigner, generate_key
from tests.support.issuing import NOW, approval, approved, dns, ip, make_ca, subject_key

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHAPES = {
    "one name": dns("web.example.com"),
    "wildcard": dns("*.example.com", "example.com"),
    "one label": dns("db"),
    "localhost": dns("localhost"),
    "cluster": dns("web.shop.svc.cluster.local"),
    "addresses": ip("10.0.0.1", "2001:db8::1"),
    "everything": (*dns("a.example.com", "xn--mnchen-3ya.example", "*.b.example.com"), *ip("192.0.2.7")),
    "long": dns("a" * 63 + "." + "b" * 63 + ".example.com"),
    "a hundred": dns(*(f"n{number}.example.com" for number in range(100))),
}
PROFILES = {
    "default": ProfileSettings(),
    "client": ProfileSettings(usages=["client auth"], include_common_name=True),
    "full": ProfileSettings(
        usages=["server auth", "client auth"], include_common_name=True, policies=["2.23.140.1.2.1"]
    ),
    "one-label URLs": ProfileSettings(
        crl_url="http://ra:8080/ca/main.crl", aia_url="https://localhost:14000/ca/main.cer"
    ),
    "bare": ProfileSettings(crl_url="", aia_url="", backdate=0),
}


class ScriptedLinter(Linter):
    """Answers with given findings, and keeps what it was shown."""

    def __init__(self, *findings):
        super().__init__()
        self.answer = findings
        self.seen = []

    async def start(self):
        pass

    async def findings(self, certificate):
        self.seen.append(certificate)
        return self.answer


def service(linter, settings=None, ca=None):
    profiles = {"default": settings or ProfileSettings()}
    authority = (ca or make_ca()).authority(**profiles)
    made = {name: Profile(name, one) for name, one in profiles.items()}
    return CertificateAuthority(authorities={"main": authority}, profiles=made, linter=linter)


@pytest.mark.parametrize("profile", list(PROFILES))
@pytest.mark.parametrize("shape", list(SHAPES))
async def test_each_profile_and_shape_is_clean(linter, profile, shape):
    """Not even a warning: so an operator may set any level."""
    settings = PROFILES[profile].model_copy(update={"lint": LintSettings(level="warning")})
    ca = service(linter, settings)

    await ca.lint(approval(identifiers=SHAPES[shape]))


@pytest.mark.parametrize("algorithm", sorted(LEAF_ALGORITHMS - {KeyAlgorithm.RSA_3072, KeyAlgorithm.RSA_4096}))
@pytest.mark.parametrize("issuer", [KeyAlgorithm.ECDSA_P256, KeyAlgorithm.ECDSA_P384, KeyAlgorithm.RSA_2048])
async def test_each_key_under_each_issuer_is_clean(linter, algorithm, issuer):
    """The linter looks at key usages and at signature algorithms."""
    ca = service(linter, ProfileSettings(lint=LintSettings(level="warning")), make_ca(issuer))

    await ca.lint(approval(key=subject_key(algorithm)))


async def test_what_is_linted_is_what_is_signed():
    """The draft differs from the certificate in its signature only, though another key of the same kind made it."""
    ca, wanted = make_ca(KeyAlgorithm.ECDSA_P384), approved()
    builder = LeafBuilder(Profile("default", ProfileSettings()), ca.issuer)

    draft = x509.load_der_x509_certificate(_draft(builder, wanted, MemorySigner(generate_key(KeyAlgorithm.ECDSA_P384))))

    signed = sign_leaf(builder.build(wanted), MemorySigner(ca.key))
    assert draft.tbs_certificate_bytes == signed.tbs_certificate_bytes
    with pytest.raises(InvalidSignature):
        draft.verify_directly_issued_by(ca.certificate)


async def test_a_bad_certificate_is_found(linter):
    """A certificate with a broken rule gets an error with a code and the place."""
    builder = LeafBuilder(Profile("default", ProfileSettings()), make_ca().issuer).build(approved())
    builder = builder.add_extension(x509.SubjectInformationAccess([]), critical=True)

    findings = await linter.findings(sign_leaf(builder, MemorySigner(make_ca().key)).public_bytes(Encoding.DER))

    assert objections(findings, "error")
    assert all(one.code and one.text for one in findings)


async def test_nonsense_is_a_fatal_finding(linter):
    """What the linter cannot read does not pass, and does not harm it."""
    for content in (b"", b"nonsense", b"\x30\x80", b"\x30\x03\x02\x01"):
        findings = await linter.findings(content)
        assert objections(findings, "error"), content


async def test_findings_at_the_level_refuse_with_their_texts():
    """The refusal tells code and text; a warning passes where the level is error."""
    finding = LintFinding("warning", "pkix.some_rule", "something is odd (extensions.3)")

    await service(ScriptedLinter(finding)).lint(approval())
    with pytest.raises(LintRefused) as caught:
        await service(ScriptedLinter(finding), ProfileSettings(lint=LintSettings(level="warning"))).lint(approval())

    assert caught.value.findings == (finding,)
    assert "warning pkix.some_rule: something is odd (extensions.3)" in caught.value.detail


@pytest.mark.parametrize("level", ["error", "warning", "notice"])
async def test_levels_order_severities_and_the_unknown_is_the_worst(level):
    """fatal < error < warning < notice; a severity from a later linter refuses."""
    severities = ["fatal", "error", "warning", "notice", "info", "debug", "apocalyptic"]
    expected = {"error": 2, "warning": 3, "notice": 4}[level]

    found = [one.severity for one in objections(tuple(LintFinding(one, "c", "t") for one in severities), level)]

    assert found == [*severities[:expected], "apocalyptic"]


async def test_the_first_of_each_shape_is_linted_and_then_a_share():
    """A share of nothing: one look per shape. A share of a half: about half, and by the serial alone."""
    linter = ScriptedLinter()
    ca = service(linter)
    for _ in range(3):
        await ca.lint(approval())
        await ca.lint(approval(identifiers=dns("*.example.com")))
    assert len(linter.seen) == 2

    gate, profile = LintGate(), Profile("default", ProfileSettings(lint=LintSettings(share=0.5)))
    gate.passed(approved())
    many = [approved(serial=CertificateAuthority.new_serial()) for _ in range(2000)]
    due = [gate.due(profile, one) for one in many]
    assert 800 < sum(due) < 1200
    assert due == [gate.due(profile, one) for one in many]


async def test_a_full_share_lints_every_certificate():
    linter = ScriptedLinter()
    ca = service(linter, ProfileSettings(lint=LintSettings(share=1.0)))
    for _ in range(5):
        await ca.lint(approval(serial=CertificateAuthority.new_serial()))
    assert len(linter.seen) == 5


async def test_a_refused_shape_is_linted_again():
    """Failure is not remembered: the next of the shape may be good, and is looked at."""
    linter = ScriptedLinter(LintFinding("error", "c", "t"))
    ca = service(linter)
    with pytest.raises(LintRefused):
        await ca.lint(approval())

    linter.answer = ()
    await ca.lint(approval())

    assert len(linter.seen) == 2


async def test_what_the_ca_would_not_sign_is_not_even_linted():
    """Name constraints, unknown profiles and unknown authorities are final answers."""
    linter = ScriptedLinter()
    ca = service(linter, ca=make_ca(constraints=Constraints(permitted_dns=("example.com",))))
    for bad in (approval(identifiers=dns("example.org")), approval(profile="x"), approval(authority="x")):
        with pytest.raises(AuthorityRefused):
            await ca.lint(bad)
    assert linter.seen == []


async def test_a_killed_linter_is_started_again(linter):
    """A crash between two certificates costs time, not certificates."""
    await linter.findings(b"nonsense")
    process = linter._process
    os.kill(process.pid, signal.SIGKILL)

    findings = await linter.findings(b"nonsense")

    assert findings[0].severity == "fatal"
    assert linter._process.pid != process.pid


async def test_a_linter_that_cannot_start_is_unavailable_and_never_a_pass(monkeypatch):
    """The answer is 503, and no certificate."""
    monkeypatch.setattr(lint_module.sys, "executable", "/bin/false")
    linter = Linter()
    with pytest.raises(LinterUnavailable) as caught:
        await service(linter).lint(approval())
    await linter.close()

    assert isinstance(caught.value, ServiceUnavailable)


async def test_a_linter_that_hangs_is_ended(monkeypatch, tmp_path):
    """Nobody waits for longer than the timeout, and the process is gone."""
    script = tmp_path / "hang"
    script.write_text("#!/bin/sh\nprintf '\\0\\0\\0\\005ready'\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setattr(lint_module.sys, "executable", str(script))
    linter = Linter(timeout=0.2)

    with pytest.raises(LinterUnavailable):
        await linter.findings(b"x")

    assert linter._process is None


async def test_a_cancelled_request_leaves_no_late_answer_behind(linter):
    """The answer to a certificate that nobody waits for is not given to the next one."""
    waiting = asyncio.create_task(linter.findings(b"nonsense"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    good = sign_leaf(
        LeafBuilder(Profile("p", ProfileSettings()), make_ca().issuer).build(approved()), MemorySigner(make_ca().key)
    )

    findings = await linter.findings(good.public_bytes(Encoding.DER))

    assert objections(findings, "warning") == ()


async def test_the_linter_gets_no_secret_from_the_environment(monkeypatch, tmp_path):
    """A passphrase in the server's environment stays there."""
    monkeypatch.setenv("CA_PASSPHRASE", "canary-7f3e")
    script = tmp_path / "tell"
    script.write_text(
        f"#!/bin/sh\nenv > {tmp_path}/environment\nprintf '\\0\\0\\0\\005ready\\0\\0\\0\\002[]'\nexec sleep 5\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(lint_module.sys, "executable", str(script))
    linter = Linter()

    await linter.findings(b"x")
    await linter.close()

    assert "canary" not in (tmp_path / "environment").read_text()


async def test_the_end_of_utctime_is_a_shape_of_its_own():
    """A notAfter past 2049 is encoded differently (RFC 5280 §4.1.2.5)."""
    gate, profile = LintGate(), Profile("default", ProfileSettings())
    gate.passed(approved())

    assert gate.due(profile, approved(not_after=NOW + 30 * 365 * DAY))


async def test_no_linter_outlives_a_killed_server(tmp_path):
    """Its input ends with the server, whatever ended the server."""
    program = (
        "import asyncio, time\n"
        "from acme_ra.issuance.lint import Linter\n"
        "async def main():\n"
        "    linter = Linter()\n"
        "    await linter.findings(b'x')\n"
        "    print(linter._process.pid, flush=True)\n"
        "    time.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    try:
        worker = int(await server.stdout.readline())
        os.kill(worker, 0)
    finally:
        server.kill()
        await server.wait()

    async with asyncio.timeout(60):
        while is_running(worker):
            await asyncio.sleep(0.05)


def is_running(pid):
    """Neither gone nor waiting for somebody to read its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
