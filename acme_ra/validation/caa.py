"""CAA: which authorities a domain's owner lets issue (RFC 8659), and for which account and method (RFC 8657)."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.problems import CAAForbids, ServiceUnavailable
from acme_ra.validation.contract import excerpt
from acme_ra.validation.dns_wire import CAARecord, Question, RecordType, encode_name
from acme_ra.validation.resolver import Resolver, Status

CAAMode = Literal["on", "required"]
#: Understood; a critical flag on any other property forbids (RFC 8659 §4.1). issuemail (RFC 9495) concerns no TLS name.
_KNOWN_TAGS = frozenset({b"issue", b"issuewild", b"issuemail", b"iodef"})
_CRITICAL = 0x80
_LEVELS_AT_ONCE = 8  # look-ups in one exchange while climbing
_NAMES_AT_ONCE = 16
_WSP = " \t"
_LABEL = r"[A-Za-z0-9](?:-*[A-Za-z0-9])*"
_ISSUER = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_TAG = re.compile(rf"{_LABEL}\Z")
_PARAMETER_VALUE = re.compile(r"[\x21-\x3a\x3c-\x7e]*\Z")
_MAX_VALUE = 1024


class Permission(NamedTuple):
    """What a CAA record must name to allow this request."""

    issuers: tuple[str, ...]
    account_url: str
    method: str  # the challenge type that proved the name; "" or "none" satisfies no validationmethods


class Refused(NamedTuple):
    detail: str


class Unknown(NamedTuple):
    detail: str


class CAA:
    """Looks up the relevant record set of every name, each by a look-up of its own (Let's Encrypt's bug of 2020)."""

    def __init__(self, resolver: Resolver, *, timeout: float) -> None:
        self._resolver = resolver
        self._timeout = timeout

    async def check(
        self,
        identifiers: Sequence[Identifier],
        *,
        mode: CAAMode,
        issuers: tuple[str, ...],
        account_url: str,
        proofs: Mapping[str, str],
    ) -> None:
        """Return when CAA lets us issue for every name; IP addresses have no CAA.

        Raises CAAForbids with a subproblem for each forbidden name, or ServiceUnavailable when none is forbidden and
        some record set could not be looked up: not knowing is never permission.
        """
        if mode not in ("on", "required"):
            raise ValueError(f"unknown CAA mode {mode!r}")
        names = [identifier for identifier in identifiers if identifier.type != IdentifierType.IP]
        outcomes = await self._check_all(names, mode, issuers, account_url, proofs)
        refused = [(name, outcome) for name, outcome in outcomes if isinstance(outcome, Refused)]
        if refused:
            detail = "; ".join(f"{name}: {outcome.detail}" for name, outcome in refused[:3])
            more = f"; and {len(refused) - 3} more" if len(refused) > 3 else ""
            subproblems = tuple(name.subproblem("caa", outcome.detail) for name, outcome in refused)
            raise CAAForbids(f"{detail}{more}", subproblems=subproblems)
        unknown = [(name, outcome) for name, outcome in outcomes if isinstance(outcome, Unknown)]
        if unknown:
            name, outcome = unknown[0]
            raise ServiceUnavailable(f"{name}: {outcome.detail}; nothing is issued until it can be looked up")

    async def _check_all(
        self,
        names: Sequence[Identifier],
        mode: CAAMode,
        issuers: tuple[str, ...],
        account_url: str,
        proofs: Mapping[str, str],
    ) -> list[tuple[Identifier, Refused | Unknown | None]]:
        slots = asyncio.Semaphore(_NAMES_AT_ONCE)

        async def check_one(name: Identifier) -> Refused | Unknown | None:
            permission = Permission(issuers, account_url, proofs.get(name.value) or proofs.get(name.base) or "")
            async with slots:
                return await self._check_name(name, mode, permission)

        try:
            async with asyncio.timeout(self._timeout):
                if len(names) == 1:
                    return [(names[0], await check_one(names[0]))]
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(check_one(name)) for name in names]
                return [(name, task.result()) for name, task in zip(names, tasks, strict=True)]
        except TimeoutError:
            return [(name, Unknown(f"the look-up of CAA took longer than {self._timeout:g} s")) for name in names]

    async def _check_name(self, name: Identifier, mode: CAAMode, permission: Permission) -> Refused | Unknown | None:
        relevant = await self._relevant_records(name.base)
        if isinstance(relevant, Unknown):
            return relevant
        owner, records = relevant
        return judge(owner, records, wildcard=name.wildcard, mode=mode, permission=permission)

    async def _relevant_records(self, name: str) -> tuple[str, tuple[CAARecord, ...]] | Unknown:
        """Climb to the first name with CAA records, the root left out (RFC 8659 §3). Levels share round trips."""
        labels = name.split(".")
        ancestors = [".".join(labels[i:]) for i in range(len(labels))]
        for start in range(0, len(ancestors), _LEVELS_AT_ONCE):
            levels = ancestors[start : start + _LEVELS_AT_ONCE]
            questions = [Question(encode_name(level), RecordType.CAA) for level in levels]
            answers = await self._resolver.resolve(questions)
            for level, answer in zip(levels, answers, strict=True):
                if answer.status is Status.FAILED:
                    return Unknown(f"the look-up of CAA at {level} failed ({answer.reason})")
                if answer.status is Status.FOUND:
                    return level, tuple(record for record in answer.records if isinstance(record, CAARecord))
        return "", ()


def judge(
    owner: str, records: Sequence[CAARecord], *, wildcard: bool, mode: CAAMode, permission: Permission
) -> Refused | None:
    """Whether the relevant record set lets us issue (RFC 8659 §4): pure, so that every row can be tested."""
    for record in records:
        if record.flags & _CRITICAL and record.tag not in _KNOWN_TAGS:
            return Refused(f"CAA at {owner} has the critical property {excerpt(record.tag)}, which is not understood")
    issue = [record for record in records if record.tag == b"issue"]
    issuewild = [record for record in records if record.tag == b"issuewild"]
    deciding = issuewild if wildcard and issuewild else issue
    ours = ", ".join(permission.issuers) or "none: the directory has no caa_identities"
    if not deciding:
        if mode == "required":
            where = f"CAA at {owner} has" if records else "there is"
            return Refused(f"{where} no issue record, and this directory requires one that names its CA ({ours})")
        return None
    reasons = [_objection(record.value, permission) for record in deciding]
    if None in reasons:
        return None
    shown = ", ".join(f"{record.tag.decode()} {excerpt(record.value)}" for record in deciding[:3])
    told = "; ".join(dict.fromkeys(reason for reason in reasons if reason))
    return Refused(f"CAA at {owner} does not allow it ({shown}): {told}. A record that does names the CA ({ours})")


def _objection(value: bytes, permission: Permission) -> str | None:
    """Why this issue or issuewild value does not allow the request; None when it does."""
    issuer, *parameters = value.decode("latin-1").split(";") if len(value) <= _MAX_VALUE else ("?",)
    issuer = issuer.strip(_WSP).lower()
    if issuer and not _ISSUER.match(issuer):
        return "a value breaks the grammar, which allows nobody (RFC 8659 §4.2)"
    if not issuer or issuer not in {name.lower() for name in permission.issuers}:
        return "this CA is not named"
    if len(parameters) == 1 and not parameters[0].strip(_WSP):
        parameters = []  # `ca.example;` is in the grammar, a final semicolon after a parameter is not.
    return _parameter_objection(parameters, permission)


def _parameter_objection(parameters: Sequence[str], permission: Permission) -> str | None:
    """RFC 8657. Names are compared without case and a repeated one allows nobody: the stricter reading of each."""
    found: dict[str, str] = {}
    for parameter in parameters:
        tag, equals, value = (part.strip(_WSP) for part in parameter.partition("="))
        if not equals or not _TAG.match(tag) or not _PARAMETER_VALUE.match(value):
            return "a parameter breaks the grammar, which allows nobody (RFC 8659 §4.2)"
        tag = tag.lower()
        if tag in found:
            return f"the parameter {tag[:40]} occurs twice"
        found[tag] = value
    if "accounturi" in found and found["accounturi"] != permission.account_url:
        return f"accounturi is not this account ({permission.account_url})"
    if "validationmethods" in found:
        methods = found["validationmethods"].split(",")
        if permission.method in ("", "none") or permission.method not in methods:
            return f"validationmethods does not name {permission.method or 'none'}"
    return None
