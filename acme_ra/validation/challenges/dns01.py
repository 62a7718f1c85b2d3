"""The dns-01 challenge (RFC 8555 §8.4)."""

import hashlib

from acme_ra.core.encoding import b64url
from acme_ra.core.identifiers import IdentifierType
from acme_ra.core.problems import DNSFailed, IncorrectResponse
from acme_ra.validation.contract import ValidationTarget, excerpt
from acme_ra.validation.dns_wire import Question, RecordType, encode_name
from acme_ra.validation.egress import Attempt
from acme_ra.validation.resolver import Resolver, Status
from acme_ra.validation.settings import ValidationSettings

_SHOWN = 3  # records told in a problem


class DNS01:
    """Looks for the key authorization's digest among the TXT records of `_acme-challenge.NAME`, CNAMEs followed."""

    type = "dns-01"
    identifier_types = frozenset({IdentifierType.DNS})
    proves_wildcards = True

    def __init__(self, settings: ValidationSettings, resolver: Resolver) -> None:
        self._settings = settings
        self._resolver = resolver

    async def validate(self, target: ValidationTarget) -> None:
        """See ChallengeValidator. One right record among several is enough: wildcard and name may share the place."""
        name = f"_acme-challenge.{target.identifier}"
        expected = b64url(hashlib.sha256(target.key_authorization.encode("ascii")).digest())
        try:
            question = Question(encode_name(name), RecordType.TXT)
        except ValueError as error:
            raise DNSFailed(f"{target.identifier}: the name is too long for dns-01; use another challenge") from error
        async with Attempt(target, seconds=self._settings.timeout / 1000) as attempt:
            attempt.step = f"looking up the TXT records of {name}"
            (answer,) = await self._resolver.resolve([question])
        if answer.status is Status.FAILED:
            raise DNSFailed(f"{target.identifier}: the look-up of TXT at {name} failed ({answer.reason})")
        if answer.status is Status.NO_NAME:
            raise DNSFailed(f"{target.identifier}: {name} does not exist (NXDOMAIN); publish a TXT record {expected}")
        if expected.encode("ascii") in answer.records:
            return
        if answer.status is Status.NO_DATA:
            raise IncorrectResponse(f"{target.identifier}: {name} has no TXT record; publish one with {expected}")
        found = [record for record in answer.records if isinstance(record, bytes)]
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise IncorrectResponse(
            f"{target.identifier}: TXT at {name} is {', '.join(excerpt(record) for record in found[:_SHOWN])}{more}; "
            f"expected {expected}. Check that the record is this challenge's and that it reached every name server"
        )
