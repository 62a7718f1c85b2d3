"""Linting before signing: what a certificate would look like is judged first, and never signed if it fails (RFC 9925).

The certificate to be judged is signed with a throw-away key, so that its to-be-signed part is the final one.
"""

import asyncio
import contextlib
import os
import sys

import msgspec

from acme_ra.core.approval import ApprovedCertificate
from acme_ra.core.identifiers import IdentifierType
from acme_ra.core.problems import RejectedIdentifier, ServiceUnavailable
from acme_ra.issuance.profiles import Profile

SEVERITIES = ("fatal", "error", "warning", "notice", "info", "debug")
READY = b"ready"
_MAX_ANSWER = 1024 * 1024
#: The worker gets no secret that the server's environment may hold.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")

Shape = tuple[object, ...]


class LintFinding(msgspec.Struct, frozen=True, array_like=True):
    """One objection of the linter: severity is one of SEVERITIES; the text tells the place in the certificate."""

    severity: str
    code: str
    text: str


class LintRefused(RejectedIdentifier):
    """The certificate would break a rule at the profile's level. Nothing was signed."""

    def __init__(self, findings: tuple[LintFinding, ...]) -> None:
        shown = "; ".join(f"{finding.severity} {finding.code}: {finding.text}" for finding in findings[:3])
        super().__init__(shown[:1000])
        self.findings = findings


class LinterUnavailable(ServiceUnavailable):
    """The linter could not be asked, and what was not linted is not signed."""


class Linter:
    """Asks the linter's process (lint_worker), which is started at need, one certificate after the other."""

    def __init__(self, *, start_timeout: float = 60.0, timeout: float = 15.0) -> None:
        """Timeouts in seconds: for loading the rules, and for one certificate."""
        self._start_timeout = start_timeout
        self._timeout = timeout
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._warming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the rules in the background, so that the first certificate need not wait for it."""
        if self._warming is None:
            self._warming = asyncio.create_task(self._warm())

    async def findings(self, certificate: bytes) -> tuple[LintFinding, ...]:
        """All that the linter has to say of a certificate in DER. Raises LinterUnavailable after a second attempt."""
        async with self._lock:
            try:
                return await self._ask(certificate)
            except (OSError, EOFError, TimeoutError, msgspec.DecodeError):
                await self._stop()
            try:
                return await self._ask(certificate)
            except (OSError, EOFError, TimeoutError, msgspec.DecodeError) as error:
                await self._stop()
                raise LinterUnavailable("the linter is not available just now; nothing was signed") from error

    async def close(self) -> None:
        """End the process. The linter may be used again afterwards."""
        if self._warming is not None:
            self._warming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._warming
            self._warming = None
        async with self._lock:
            await self._stop()

    async def _warm(self) -> None:
        async with self._lock:
            # A failure is told by the first certificate that needs the linter, which tries again.
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                await self._running()

    async def _ask(self, certificate: bytes) -> tuple[LintFinding, ...]:
        process = await self._running()
        answered = False
        try:
            assert process.stdin is not None
            process.stdin.write(len(certificate).to_bytes(4, "big") + certificate)
            async with asyncio.timeout(self._timeout):
                await process.stdin.drain()
                answer = await _read_frame(process)
            answered = True
        finally:
            if not answered:  # also when cancelled: the late answer must not be taken for that of the next certificate
                await self._stop()
        return msgspec.json.decode(answer, type=tuple[LintFinding, ...])

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "acme_ra.issuance.lint_worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            start_new_session=True,  # a Ctrl-C in the terminal is the server's; it then closes the worker's input
        )
        ready = False
        try:
            async with asyncio.timeout(self._start_timeout):
                ready = await _read_frame(process) == READY
        finally:
            if not ready:
                await self._stop()
        return process

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _read_frame(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    length = int.from_bytes(await process.stdout.readexactly(4), "big")
    if length > _MAX_ANSWER:
        raise EOFError("the linter's answer is no frame")
    return await process.stdout.readexactly(length)


class LintGate:
    """Which certificates are linted: the first of each shape that passes, then a share of them.

    Only success is remembered. A shape that failed once is linted every time, so that one bad name spoils nothing
    for the names of others.
    """

    def __init__(self) -> None:
        self._passed: set[Shape] = set()

    def due(self, profile: Profile, approved: ApprovedCertificate) -> bool:
        """Always the same answer for one serial, so that a repeat after a crash is treated alike."""
        if shape_of(approved) not in self._passed:
            return True
        return int(approved.serial[-8:], 16) < profile.settings.lint.share * 2**32

    def passed(self, approved: ApprovedCertificate) -> None:
        self._passed.add(shape_of(approved))


def shape_of(approved: ApprovedCertificate) -> Shape:
    """What certificates have in common when the linter would look at the same rules."""
    kinds = [one.type for one in approved.identifiers]
    values = [one.value for one in approved.identifiers]
    return (
        approved.authority,
        approved.profile,
        approved.algorithm,
        min(kinds.count(IdentifierType.DNS), 2),
        min(kinds.count(IdentifierType.IP), 2),
        any(":" in value for value in values),
        any(one.wildcard for one in approved.identifiers),
        any("xn--" in value for value in values),
        max(map(len, values), default=0) > 64,
        any("." not in value and ":" not in value for value in values),
        # UTCTime ends with 2049 (RFC 5280 §4.1.2.5).
        approved.not_after >= 2_524_608_000_000,
    )


def objections(findings: tuple[LintFinding, ...], level: str) -> tuple[LintFinding, ...]:
    """The findings at or above the level. A severity that is not known is taken for the worst."""
    worst = SEVERITIES.index(level)
    return tuple(one for one in findings if one.severity not in SEVERITIES or SEVERITIES.index(one.severity) <= worst)
