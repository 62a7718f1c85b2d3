"""The validation authority: proves control of identifiers, and asks CAA, within limits (RFC 8555 §8, RFC 8659)."""

import asyncio
from collections.abc import Mapping

from acme_ra.core.identifiers import Identifier
from acme_ra.core.problems import Malformed, ServiceUnavailable
from acme_ra.validation.caa import CAA, CAAMode
from acme_ra.validation.contract import ChallengeValidator, ValidationTarget
from acme_ra.validation.egress import Dialer
from acme_ra.validation.registry import build_validators
from acme_ra.validation.resolver import RecursiveResolver, Resolver
from acme_ra.validation.servers import configured_servers
from acme_ra.validation.settings import ValidationSettings


class ValidationAuthority:
    """What registration asks. It starts no task that outlives the call, so whoever calls owns all of the work."""

    def __init__(self, settings: ValidationSettings, *, resolver: Resolver | None = None) -> None:
        """`resolver` takes the place of the configured servers, for tests and for a resolver of one's own."""
        resolver = resolver or RecursiveResolver(
            configured_servers(settings.resolvers), timeout=settings.dns_timeout / 1000
        )
        self._validators = build_validators(settings, resolver=resolver, dialer=Dialer(resolver))
        self._caa = CAA(resolver, timeout=settings.caa_timeout / 1000)
        self._slots = asyncio.Semaphore(settings.max_concurrent)
        self._closed = False

    @property
    def types(self) -> tuple[str, ...]:
        """Every challenge type that can be validated."""
        return tuple(self._validators)

    def usable(self, identifier: Identifier, *, wildcard: bool, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `allowed`, in its order, that can prove control of `identifier`; unknown types are left out."""
        return tuple(
            name
            for name in allowed
            if (validator := self._validators.get(name)) is not None and _fits(validator, identifier, wildcard)
        )

    async def validate(self, challenge_type: str, target: ValidationTarget) -> None:
        """Return when the challenge is fulfilled.

        Raises ConnectionFailed, DNSFailed, IncorrectResponse or TLSFailed when it is not; Malformed for a challenge
        type that is unknown or cannot prove such an identifier; ServiceUnavailable while shutting down.
        """
        validator = self._validators.get(challenge_type)
        if validator is None or target.identifier.wildcard or not _fits(validator, target.identifier, False):
            raise Malformed(f"{target.identifier}: {challenge_type} cannot prove control of this identifier")
        self._check_open()
        async with self._slots:
            await validator.validate(target)

    async def check_caa(
        self,
        identifiers: tuple[Identifier, ...],
        *,
        mode: CAAMode,
        issuers: tuple[str, ...],
        account_url: str,
        proofs: Mapping[str, str],
    ) -> None:
        """Return when CAA allows every name. Raises CAAForbids, or ServiceUnavailable when that cannot be known."""
        self._check_open()
        await self._caa.check(identifiers, mode=mode, issuers=issuers, account_url=account_url, proofs=proofs)

    async def close(self) -> None:
        """Begin nothing any more. Sockets belong to the calls under way and go with them."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise ServiceUnavailable("the server is shutting down; try again")


def _fits(validator: ChallengeValidator, identifier: Identifier, wildcard: bool) -> bool:
    return identifier.type in validator.identifier_types and (validator.proves_wildcards or not wildcard)
