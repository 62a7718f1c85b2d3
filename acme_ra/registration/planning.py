"""Which authorizations an order needs, and which challenges prove each (RFC 8555 §7.1.3, RFC 9444)."""

import msgspec

from acme_ra.core.clock import Clock, Instant
from acme_ra.core.decision import Decision, Refusal
from acme_ra.core.encoding import random_secret, random_token
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.objects import Authorization, Challenge
from acme_ra.core.status import AuthorizationStatus
from acme_ra.registration.accounts import Requester
from acme_ra.registration.deciding import scope_of
from acme_ra.registration.settings import OrderSettings
from acme_ra.storage.contract import Store, Transaction
from acme_ra.validation.service import ValidationAuthority

_encode = msgspec.json.Encoder().encode


class Plan(msgspec.Struct, frozen=True):
    """One authorization that is to be made for an identifier, or an existing one that serves it."""

    identifier: Identifier  # as it will be stored: without "*."
    wildcard: bool
    subdomains: bool
    valid: bool
    challenges: tuple[Challenge, ...]
    expires_at: Instant
    existing: str = ""  # resource id of a pre-authorization that serves

    def insert(self, tx: Transaction, *, account_id: int, order_id: int | None, scope: str, now: Instant) -> str:
        """Make the row unless one exists; returns the resource id."""
        if self.existing:
            return self.existing
        secret = random_secret()
        row = tx.insert_authorization(
            secret=secret,
            account_id=account_id,
            order_id=order_id,
            identifier=self.identifier,
            wildcard=self.wildcard,
            subdomains=self.subdomains,
            scope=scope,
            status=AuthorizationStatus.VALID if self.valid else AuthorizationStatus.PENDING,
            token=random_token(),
            challenges=_encode(self.challenges),
            now=now,
            expires_at=self.expires_at,
        )
        return f"{row}.{secret}"


class Planner:
    def __init__(self, *, store: Store, clock: Clock, validation: ValidationAuthority, settings: OrderSettings) -> None:
        self._store = store
        self._clock = clock
        self._validation = validation
        self._settings = settings

    async def plan(
        self, requester: Requester, decision: Decision, ancestors: dict[Identifier, str]
    ) -> tuple[Plan, ...] | Refusal:
        """One plan per identifier of an allowed request, or a refusal where no permitted challenge can prove a name."""
        assert decision.terms is not None
        needed = decision.terms.challenges
        expires_at = self._clock.now() + self._settings.authorization_lifetime
        identifiers = decision.request.identifiers
        if not needed:
            return tuple(
                Plan(Identifier(one.type, one.base), one.wildcard, False, True, (), expires_at) for one in identifiers
            )
        reusable = await self._reusable(requester, decision)
        plans = []
        for identifier in identifiers:
            proved = _serving(identifier, reusable, needed)
            if proved is not None:
                plans.append(_reuse(identifier, proved))
                continue
            ancestor = ancestors.get(identifier)
            target = Identifier(identifier.type, ancestor or identifier.base)
            # A web server at a name proves nothing about the names below it; its zone does.
            whole = identifier.wildcard or ancestor is not None
            challenges = self.challenges(target, wildcard=whole, needed=needed)
            if not challenges:
                return _unprovable(identifier, decision.terms.grant, needed)
            wildcard = identifier.wildcard and ancestor is None
            plans.append(Plan(target, wildcard, ancestor is not None, False, challenges, expires_at))
        return tuple(plans)

    def unattributed(
        self, requester: Requester, identifiers: tuple[Identifier, ...], ancestors: dict[Identifier, str]
    ) -> tuple[Plan, ...]:
        """Authorizations without any challenge yet: who asks is told at their first fetch, and policy then."""
        expires_at = self._clock.now() + self._settings.authorization_lifetime
        return tuple(
            Plan(
                Identifier(one.type, ancestors.get(one) or one.base),
                one.wildcard and one not in ancestors,
                one in ancestors,
                False,
                (),
                expires_at,
            )
            for one in identifiers
        )

    def challenges(self, target: Identifier, *, wildcard: bool, needed: tuple[str, ...]) -> tuple[Challenge, ...]:
        """The permitted challenges that can prove control of a name at all (RFC 8555 §7.1.3, RFC 8738 §7)."""
        usable = self._validation.usable(target, wildcard=wildcard, allowed=needed)
        return tuple(Challenge(kind) for kind in usable)

    async def _reusable(self, requester: Requester, decision: Decision) -> tuple[Authorization, ...]:
        names: set[str] = set()
        for identifier in decision.request.identifiers:
            names.update(_self_and_ancestors(identifier))
        scope = scope_of(requester, decision.request.workload, decision.policy_digest)
        return await self._store.reusable_authorizations(
            requester.account.id, scope, tuple(sorted(names)), now=self._clock.now()
        )


def _self_and_ancestors(identifier: Identifier) -> list[str]:
    if identifier.type != IdentifierType.DNS:
        return [identifier.value]
    labels = identifier.base.split(".")
    return [".".join(labels[start:]) for start in range(max(1, len(labels) - 1))]


def _serving(
    identifier: Identifier, reusable: tuple[Authorization, ...], needed: tuple[str, ...]
) -> Authorization | None:
    """A pre-authorization of this name, or of an ancestor for subdomains; a wildcard needs dns-01 (RFC 9444 §4)."""
    for authorization in reusable:
        if authorization.proof not in needed or authorization.identifier.type != identifier.type:
            continue
        if identifier.wildcard and not (authorization.subdomains and authorization.proof == "dns-01"):
            continue
        value = authorization.identifier.value
        below = authorization.subdomains and authorization.proof == "dns-01" and identifier.base.endswith("." + value)
        if value == identifier.base or below:
            return authorization
    return None


def _reuse(identifier: Identifier, proved: Authorization) -> Plan:
    return Plan(
        proved.identifier, identifier.wildcard, proved.subdomains, True, (), proved.expires_at, proved.resource_id
    )


def _unprovable(identifier: Identifier, grant: str, needed: tuple[str, ...]) -> Refusal:
    kind = "a wildcard needs dns-01" if identifier.wildcard else "an IP address needs http-01 or tls-alpn-01"
    why = f"{kind}, but policy {grant} accepts {', '.join(needed)}"
    return Refusal(
        f"no accepted challenge can prove {identifier}: {why}",
        (identifier.subproblem("rejectedIdentifier", why),),
    )
