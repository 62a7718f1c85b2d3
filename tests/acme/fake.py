"""A registration authority in memory, for tests of the edge alone: no policy, no validation, the same contract.

Orders are ready at once unless `pending`; finalize makes a certificate out of thin air.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import msgspec

from acme_ra.core.clock import DAY
from acme_ra.core.encoding import b64url
from acme_ra.core.identifiers import parse_identifier
from acme_ra.core.objects import (
    Account,
    Authorization,
    Binding,
    Certificate,
    Challenge,
    Credential,
    Order,
    ResourceId,
    StoredError,
)
from acme_ra.core.problems import (
    AccountDoesNotExist,
    AlreadyRevoked,
    Conflict,
    ExternalAccountRequired,
    NotFound,
    OrderNotReady,
    Problem,
    Unauthorized,
    UserActionRequired,
)
from acme_ra.core.status import AccountStatus, AuthorizationStatus, ChallengeStatus, OrderStatus
from acme_ra.core.urls import Urls
from acme_ra.registration.accounts import AccountKey, Requester
from acme_ra.registration.directories import Directory
from acme_ra.registration.orders import NewOrder
from acme_ra.registration.renewal_info import RenewalWindow
from acme_ra.registration.settings import DirectorySettings
from acme_ra.storage.contract import Page, ResourceRow

NOW = 1_800_000_000_000
BASE = "https://ra.example.test"
LEAF = b"not really DER"
CHAINS = (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",) * 3
PAGE = 2


def secret_of(row: int) -> str:
    return b64url(hashlib.sha256(b"%d" % row).digest())[:16]


@dataclass
class FakeRegistration:
    """Every part in one object; `fail` is raised by the next call of any part."""

    directories: dict[str, Directory]
    urls: Urls
    credentials: dict[str, tuple[Credential, bytes]] = field(default_factory=dict)
    stored_accounts: dict[int, Account] = field(default_factory=dict)
    stored_orders: dict[int, Order] = field(default_factory=dict)
    stored_authorizations: dict[int, Authorization] = field(default_factory=dict)
    stored_certificates: dict[int, Certificate] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    revocations: list[dict[str, Any]] = field(default_factory=list)
    new_orders: list[NewOrder] = field(default_factory=list)
    fail: BaseException | None = None
    pending: bool = False
    finalized_as: OrderStatus = OrderStatus.VALID

    def __post_init__(self) -> None:
        self.accounts = FakeAccounts(self)
        self.orders = FakeOrders(self)
        self.authorizations = FakeAuthorizations(self)
        self.finalizer = self.orders
        self.certificates = FakeCertificates(self)
        self.revocation = self.certificates
        self.renewal_info = self.certificates
        self._row = 0

    def row(self) -> int:
        self._row += 1
        return self._row

    def called(self, name: str) -> None:
        self.calls.append(name)
        if self.fail is not None:
            failure, self.fail = self.fail, None
            raise failure

    def own(self, table: dict[int, Any], requester: Requester, unverified_id: str) -> Any:
        wanted = ResourceId.parse(unverified_id)
        found = table.get(wanted.row)
        if found is None:
            raise NotFound("there is no such resource")
        wanted.check(found.secret)
        requester.check_owns(found.account_id)
        return found


@dataclass
class FakeAccounts:
    ra: FakeRegistration

    async def authenticate(self, directory: Directory, unverified_id: str) -> Requester:
        self.ra.called("authenticate")
        try:
            wanted = ResourceId.parse(unverified_id)
        except NotFound as error:
            raise AccountDoesNotExist("no such account") from error
        account = self.ra.stored_accounts.get(wanted.row)
        if account is None or account.secret != wanted.secret or account.directory != directory.name:
            raise AccountDoesNotExist("no such account")
        if account.status != AccountStatus.VALID:
            raise Unauthorized(f"this account is {account.status}")
        return Requester(directory, account, None)

    async def find(self, directory: Directory, thumbprint: str) -> Account | None:
        for account in self.ra.stored_accounts.values():
            if account.thumbprint == thumbprint and account.directory == directory.name:
                return account
        return None

    async def eab_secret(self, directory: Directory, kid: str) -> tuple[Credential, bytes]:
        if kid not in self.ra.credentials:
            raise Unauthorized("only the log may tell this")
        return self.ra.credentials[kid]

    async def register(
        self,
        directory: Directory,
        key: AccountKey,
        *,
        contacts: tuple[str, ...],
        terms_agreed: bool,
        credential: Credential | None,
        eab: bytes | None,
    ) -> tuple[Account, bool]:
        self.ra.called("register")
        if directory.settings.terms_of_service and not terms_agreed:
            raise UserActionRequired("agree to the terms of service first")
        if directory.settings.external_account_required and credential is None:
            raise ExternalAccountRequired("this directory needs an external account binding")
        row = self.ra.row()
        account = Account(
            id=row,
            secret=secret_of(row),
            directory=directory.name,
            thumbprint=key.thumbprint,
            jwk=key.jwk,
            status=AccountStatus.VALID,
            contacts=contacts,
            credential_id=None if credential is None else credential.id,
            eab=eab,
            created_at=NOW,
        )
        self.ra.stored_accounts[row] = account
        return account, True

    def _change(self, requester: Requester, **changes: Any) -> Account:
        account = msgspec.structs.replace(requester.account, **changes)
        self.ra.stored_accounts[account.id] = account
        return account

    async def update_contacts(self, requester: Requester, contacts: tuple[str, ...]) -> Account:
        self.ra.called("update_contacts")
        return self._change(requester, contacts=contacts)

    async def deactivate(self, requester: Requester) -> Account:
        self.ra.called("deactivate")
        return self._change(requester, status=AccountStatus.DEACTIVATED)

    async def change_key(self, requester: Requester, new: AccountKey) -> Account:
        self.ra.called("change_key")
        holder = await self.find(requester.directory, new.thumbprint)
        if holder is not None:
            raise Conflict("the new key already belongs to an account", account=holder.resource_id)
        return self._change(requester, thumbprint=new.thumbprint, jwk=new.jwk)

    async def orders(self, requester: Requester, *, after: int) -> Page:
        owned = [each for each in self.ra.stored_orders.values() if each.account_id == requester.account.id]
        rows = [ResourceRow(each.id, each.secret) for each in owned if each.id > after]
        more = len(rows) > PAGE
        return Page(tuple(rows[:PAGE]), rows[PAGE - 1].id if more else None)


@dataclass
class FakeOrders:
    ra: FakeRegistration

    async def create(self, requester: Requester, new: NewOrder) -> Order:
        self.ra.called("create")
        self.ra.new_orders.append(new)
        row = self.ra.row()
        identifiers = tuple(parse_identifier(kind, value) for kind, value in new.identifiers)
        authorizations = tuple(
            self.ra.authorizations.make(requester, each.type, each.value, order=row).resource_id for each in identifiers
        )
        order = Order(
            id=row,
            secret=secret_of(row),
            directory=requester.directory.name,
            account_id=requester.account.id,
            status=OrderStatus.PENDING if self.ra.pending else OrderStatus.READY,
            identifiers=identifiers,
            authorizations=authorizations,
            not_before=None,
            not_after=None,
            profile=new.profile or "",
            replaces=new.replaces or "",
            workload=None,
            created_at=NOW,
            expires_at=NOW + DAY,
        )
        self.ra.stored_orders[row] = order
        return order

    async def fetch(self, requester: Requester, unverified_id: str) -> Order:
        self.ra.called("fetch")
        order: Order = self.ra.own(self.ra.stored_orders, requester, unverified_id)
        return order

    async def finalize(self, requester: Requester, unverified_id: str, csr: bytes) -> Order:
        self.ra.called("finalize")
        order: Order = self.ra.own(self.ra.stored_orders, requester, unverified_id)
        if order.status != OrderStatus.READY:
            raise OrderNotReady("the order is not ready")
        changes: dict[str, Any] = {"status": self.ra.finalized_as}
        if self.ra.finalized_as == OrderStatus.VALID:
            changes["certificate"] = self.ra.certificates.make(order).resource_id
        if self.ra.finalized_as == OrderStatus.INVALID:
            changes["error"] = StoredError("caa", "CAA forbids", (("caa", "no", "dns", "a.test"),))
        order = msgspec.structs.replace(order, **changes)
        self.ra.stored_orders[order.id] = order
        return order


@dataclass
class FakeAuthorizations:
    ra: FakeRegistration

    def make(
        self, requester: Requester, kind: str, value: str, *, order: int | None, subdomains: bool = False
    ) -> Authorization:
        row = self.ra.row()
        identifier = parse_identifier(kind, value)
        authorization = Authorization(
            id=row,
            secret=secret_of(row),
            account_id=requester.account.id,
            order_id=order,
            identifier=msgspec.structs.replace(identifier, value=identifier.base),
            wildcard=identifier.wildcard,
            subdomains=subdomains,
            scope="",
            status=AuthorizationStatus.PENDING,
            token="token-" + secret_of(row),
            challenges=(Challenge("http-01"), Challenge("dns-01")),
            created_at=NOW,
            expires_at=NOW + DAY,
            due_at=None,
        )
        self.ra.stored_authorizations[row] = authorization
        return authorization

    async def create(
        self, requester: Requester, *, identifier_type: str, identifier_value: str, subdomains: bool
    ) -> tuple[Authorization, bool]:
        self.ra.called("create_authorization")
        for each in self.ra.stored_authorizations.values():
            if each.order_id is None and each.identifier.value == identifier_value:
                return each, False
        return self.make(requester, identifier_type, identifier_value, order=None, subdomains=subdomains), True

    async def fetch(self, requester: Requester, unverified_id: str) -> Authorization:
        self.ra.called("fetch_authorization")
        authorization: Authorization = self.ra.own(self.ra.stored_authorizations, requester, unverified_id)
        return authorization

    async def fetch_challenge(self, requester: Requester, unverified_id: str, challenge_type: str) -> Authorization:
        self.ra.called("fetch_challenge")
        authorization: Authorization = self.ra.own(self.ra.stored_authorizations, requester, unverified_id)
        if all(each.type != challenge_type for each in authorization.challenges):
            raise NotFound("there is no such challenge")
        return authorization

    async def deactivate(self, requester: Requester, unverified_id: str) -> Authorization:
        self.ra.called("deactivate_authorization")
        found: Authorization = self.ra.own(self.ra.stored_authorizations, requester, unverified_id)
        return self._store(msgspec.structs.replace(found, status=AuthorizationStatus.DEACTIVATED))

    async def respond(self, requester: Requester, unverified_id: str, challenge_type: str) -> Authorization:
        self.ra.called("respond")
        found = await self.fetch_challenge(requester, unverified_id, challenge_type)
        challenges = tuple(
            msgspec.structs.replace(each, status=ChallengeStatus.PROCESSING) if each.type == challenge_type else each
            for each in found.challenges
        )
        return self._store(msgspec.structs.replace(found, challenges=challenges))

    def _store(self, authorization: Authorization) -> Authorization:
        self.ra.stored_authorizations[authorization.id] = authorization
        return authorization


@dataclass
class FakeCertificates:
    """Certificates, revocation and renewal information."""

    ra: FakeRegistration

    def make(self, order: Order) -> Certificate:
        row = self.ra.row()
        certificate = Certificate(
            id=row,
            secret=secret_of(row),
            order_id=order.id,
            account_id=order.account_id,
            authority="intermediate",
            serial="01",
            ari_id="AAAA.AQ",
            key_fingerprint="",
            leaf=LEAF,
            chain_id="chain",
            not_before=NOW,
            not_after=NOW + DAY,
            created_at=NOW,
        )
        self.ra.stored_certificates[row] = certificate
        return certificate

    async def fetch(self, *arguments: Any) -> Any:
        if len(arguments) == 2:
            requester, unverified_id = arguments
            return self.ra.own(self.ra.stored_certificates, requester, unverified_id), CHAINS
        if arguments[0] != "AAAA.AQ":
            raise NotFound("this server did not issue that certificate")
        return RenewalWindow(NOW, NOW + DAY, "https://ra.example.test/why", 21600)

    async def revoke(
        self,
        directory: Directory,
        certificate_der: bytes,
        reason: int | None,
        *,
        requester: Requester | None,
        key_fingerprint: str | None,
    ) -> None:
        self.ra.called("revoke")
        if self.ra.revocations:
            raise AlreadyRevoked("the certificate was revoked before")
        if requester is not None:
            owner = next((each.account_id for each in self.ra.stored_certificates.values()), None)
            if owner is not None and owner != requester.account.id:
                raise Unauthorized("this account may not revoke the certificate")
        self.ra.revocations.append(
            {"der": certificate_der, "reason": reason, "requester": requester, "fingerprint": key_fingerprint}
        )

    async def crl(self, authority: str) -> bytes:
        return b"crl of " + authority.encode()

    def authority_certificate(self, authority: str) -> bytes:
        if authority != "intermediate":
            raise NotFound("there is no such authority")
        return b"certificate"


def credential(kid: str, *, row: int = 7) -> Credential:
    return Credential(
        id=row,
        kid=kid,
        name="test",
        binding=Binding(),
        sealed_secret=b"",
        created_at=NOW,
        expires_at=None,
        disabled_at=None,
        max_uses=None,
        uses=0,
    )


def fake_registration(**settings: Any) -> FakeRegistration:
    """Two directories: `internal` with these settings, `other` with the same."""
    plain: dict[str, Any] = {
        "authorities": ["intermediate"],
        "profiles": {"default": "for servers"},
        "external_account_required": False,
    }
    chosen = DirectorySettings(**(plain | settings))
    directories = {name: Directory(name, chosen, profiles=_Any(), authority_ends={}) for name in ("internal", "other")}
    return FakeRegistration(directories, Urls(BASE))


class _Any(dict[str, Any]):
    def __missing__(self, key: str) -> Any:
        return None


__all__ = ["BASE", "CHAINS", "LEAF", "NOW", "FakeRegistration", "Problem", "credential", "fake_registration"]
