"""Accounts, their keys and their external credentials (RFC 8555 §7.3)."""

import re

import msgspec
import structlog

from acme_ra.audit import events
from acme_ra.audit.events import Subject
from acme_ra.core.clock import Clock, Instant
from acme_ra.core.credential_seal import CredentialSeals, open_credential
from acme_ra.core.encoding import random_secret
from acme_ra.core.objects import Account, Credential, ResourceId, StoredError
from acme_ra.core.problems import (
    AccountDoesNotExist,
    Conflict,
    ExternalAccountRequired,
    InvalidContact,
    NotFound,
    ServiceUnavailable,
    Unauthorized,
    UnsupportedContact,
    UserActionRequired,
)
from acme_ra.core.sealing import SealBroken, Sealer
from acme_ra.core.status import AccountStatus, OrderStatus
from acme_ra.registration.directories import Directory
from acme_ra.storage.contract import Conflict as StoreConflict
from acme_ra.storage.contract import Page, Store, Transaction

log = structlog.get_logger(__name__)

MAX_CONTACTS = 10
ORDERS_PER_PAGE = 100
_CANCELLED_AT_ONCE = 100
_CANCELLED = StoredError("unauthorized", "the account of this order was deactivated")
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$&'*+/=^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})\Z")
_EAB_REFUSED = "the external account credential is unknown, or its MAC does not match; ask for a new credential"


class AccountKey(msgspec.Struct, frozen=True):
    """An account's public key: RFC 7638 thumbprint, and canonical JSON of the JWK's required members."""

    thumbprint: str
    jwk: bytes


class Requester(msgspec.Struct, frozen=True):
    """Who signed a request, and where."""

    directory: Directory
    account: Account
    credential: Credential | None

    def subject(self, **more: object) -> Subject:
        """An event's subject that is about this account."""
        plain = Subject(directory=self.directory.name, account_id=self.account.id)
        return msgspec.structs.replace(plain, **more)

    def check_owns(self, account_id: int) -> None:
        """Raises NotFound for what belongs to another account: not even its existence is told."""
        if account_id != self.account.id:
            raise NotFound("there is no such resource in this account")


class Accounts:
    def __init__(self, *, store: Store, clock: Clock, sealer: Sealer) -> None:
        self._store = store
        self._clock = clock
        self._sealer = sealer
        self._seals = CredentialSeals(sealer)

    async def authenticate(self, directory: Directory, unverified_id: str) -> Requester:
        """Find the account that a `kid` names. Raises AccountDoesNotExist, or Unauthorized when it may not act.

        ServiceUnavailable when its credential is not what it was made as: then nothing can be said about it.
        """
        try:
            wanted = ResourceId.parse(unverified_id)
            found = await self._store.account(wanted.row)
            if found is None:
                raise NotFound("there is no such account")
            account, credential = found
            wanted.check(account.secret)
            if account.directory != directory.name:
                raise NotFound("the account belongs to another directory")
        except NotFound as error:
            raise AccountDoesNotExist("the account in kid does not exist in this directory; register first") from error
        if account.status != AccountStatus.VALID:
            raise Unauthorized(f"this account is {account.status}; register a new one with another key")
        if credential is not None and credential.disabled_at is not None:
            raise Unauthorized(f"the credential {credential.kid} of this account was disabled; ask for a new one")
        if credential is not None:
            try:
                self._seals.check(credential)
            except SealBroken as error:
                raise _unverifiable(credential) from error
        return Requester(directory, account, credential)

    async def find(self, directory: Directory, thumbprint: str) -> Account | None:
        """The account that holds a key in this directory, whatever its status."""
        return await self._store.account_by_key(directory.name, thumbprint)

    async def eab_secret(self, directory: Directory, kid: str) -> tuple[Credential, bytes]:
        """The credential and its MAC key. Raises Unauthorized when there is none, ServiceUnavailable as above."""
        credential = await self._store.credential(kid)
        if credential is None:
            raise Unauthorized(_EAB_REFUSED)
        try:
            return credential, open_credential(self._sealer, credential)
        except SealBroken as error:
            raise _unverifiable(credential) from error

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
        """Create the key's account, or find it: `(account, created)`.

        `credential` is one whose MAC was verified. Raises ExternalAccountRequired, UserActionRequired, InvalidContact,
        UnsupportedContact, or Unauthorized when the account is deactivated or the credential may not be used.
        """
        existing = await self.find(directory, key.thumbprint)
        if existing is not None:
            return self._usable(existing), False
        settings = directory.settings
        if settings.terms_of_service and not terms_agreed:
            raise UserActionRequired(f"agree to the terms of service first: {settings.terms_of_service}")
        check_contacts(contacts)
        if credential is None and settings.external_account_required:
            raise ExternalAccountRequired(
                "this directory needs an external account binding; ask its operators for a key id and HMAC key"
            )
        now = self._clock.now()
        if credential is not None:
            await self._check_credential(directory, credential)

        def create(tx: Transaction) -> Account:
            if credential is not None:
                tx.use_credential(credential.id, now=now)
            account = tx.insert_account(
                secret=random_secret(),
                directory=directory.name,
                thumbprint=key.thumbprint,
                jwk=key.jwk,
                contacts=contacts,
                credential_id=None if credential is None else credential.id,
                eab=eab,
                now=now,
            )
            event = events.AccountCreated(
                thumbprint=key.thumbprint, contacts=contacts, credential="" if credential is None else credential.kid
            )
            tx.append_event(event.record(now, Subject(directory=directory.name, account_id=account.id)))
            return account

        try:
            return await self._store.transact(create), True
        except StoreConflict as error:
            existing = await self.find(directory, key.thumbprint)
            if existing is not None:
                return self._usable(existing), False
            raise Unauthorized("the external account credential was used up, disabled or expired just now") from error

    async def update_contacts(self, requester: Requester, contacts: tuple[str, ...]) -> Account:
        """Replace the contacts. Raises InvalidContact, UnsupportedContact."""
        check_contacts(contacts)
        account, now = requester.account, self._clock.now()

        def update(tx: Transaction) -> None:
            tx.update_contacts(account.id, contacts)
            tx.append_event(events.AccountUpdated(contacts=contacts).record(now, requester.subject()))

        await self._store.transact(update)
        return msgspec.structs.replace(account, contacts=contacts)

    async def deactivate(self, requester: Requester) -> Account:
        """Deactivate for good, and with it every order that is not being signed (RFC 8555 §7.3.6)."""
        account = requester.account
        try:
            await deactivate_account(self._store, account, self._clock.now())
        except StoreConflict as error:
            raise Unauthorized("the account is not valid any more") from error
        return msgspec.structs.replace(account, status=AccountStatus.DEACTIVATED)

    async def change_key(self, requester: Requester, new: AccountKey) -> Account:
        """Roll the account's key over (RFC 8555 §7.3.5). Raises Conflict with the account that holds the new key."""
        account, now = requester.account, self._clock.now()
        if new.thumbprint == account.thumbprint:
            raise Conflict("the new key is the account's present key", account=account.resource_id)

        def change(tx: Transaction) -> None:
            tx.change_key(account.id, expected=account.thumbprint, thumbprint=new.thumbprint, jwk=new.jwk)
            event = events.AccountKeyChanged(previous=account.thumbprint, thumbprint=new.thumbprint)
            tx.append_event(event.record(now, requester.subject()))

        try:
            await self._store.transact(change)
        except StoreConflict as error:
            holder = await self.find(requester.directory, new.thumbprint)
            if holder is None:
                raise Unauthorized("the account's key was changed by another request") from error
            raise Conflict("the new key already belongs to an account", account=holder.resource_id) from error
        return msgspec.structs.replace(account, thumbprint=new.thumbprint, jwk=new.jwk)

    async def orders(self, requester: Requester, *, after: int) -> Page:
        """One page of the account's orders (RFC 8555 §7.1.2.1)."""
        return await self._store.orders_of(requester.account.id, after=after, limit=ORDERS_PER_PAGE)

    def _usable(self, account: Account) -> Account:
        if account.status != AccountStatus.VALID:
            raise Unauthorized(f"the account of this key is {account.status}; use another key")
        return account

    async def _check_credential(self, directory: Directory, credential: Credential) -> None:
        """Say why a credential whose MAC was right may not be used; told only to someone who knows its secret."""
        reason = ""
        if credential.disabled_at is not None:
            reason = "is disabled"
        elif credential.expires_at is not None and credential.expires_at <= self._clock.now():
            reason = "has expired"
        elif credential.max_uses is not None and credential.uses >= credential.max_uses:
            reason = f"was used for {credential.uses} of {credential.max_uses} accounts"
        elif credential.binding.directories and directory.name not in credential.binding.directories:
            reason = f"is not for the directory {directory.name}"
        if not reason:
            return
        now = self._clock.now()
        event = events.AccountRefused(credential=credential.kid, reason=reason)
        record = event.record(now, Subject(directory=directory.name))
        await self._store.transact(lambda tx: tx.append_event(record))
        raise Unauthorized(f"the external account credential {credential.kid} {reason}; ask for a new one")


async def deactivate_account(store: Store, account: Account, now: Instant) -> None:
    """Deactivate, then cancel what is pending or ready, in small transactions. Conflict if it is not valid any more.

    A crash in between leaves orders that nobody can use, and that expire.
    """
    subject = Subject(directory=account.directory, account_id=account.id)

    def deactivate(tx: Transaction) -> None:
        tx.move_account(account.id, expected=AccountStatus.VALID, to=AccountStatus.DEACTIVATED)
        tx.append_event(events.AccountDeactivated().record(now, subject))

    def cancel(tx: Transaction) -> int:
        orders = tx.orders_to_cancel(account.id, limit=_CANCELLED_AT_ONCE)
        for order in orders:
            namespace = "" if order.workload is None else order.workload.namespace
            about = msgspec.structs.replace(subject, order_id=order.id, namespace=namespace)
            tx.move_order(order.id, expected=order.status, to=OrderStatus.INVALID, error=_CANCELLED)
            tx.append_event(events.OrderInvalid(error=_CANCELLED).record(now, about))
        return len(orders)

    await store.transact(deactivate)
    while await store.transact(cancel) == _CANCELLED_AT_ONCE:
        pass


def _unverifiable(credential: Credential) -> ServiceUnavailable:
    """Somebody changed it in the database, or the master key is another one: that is for the operators to find out."""
    log.error("credential.seal_broken", credential=credential.kid)
    return ServiceUnavailable(f"the credential {credential.kid} cannot be verified; tell the operators of this server")


def check_contacts(contacts: tuple[str, ...]) -> None:
    """mailto URLs with one plain address each (RFC 8555 §7.3). Raises InvalidContact, UnsupportedContact."""
    if len(contacts) > MAX_CONTACTS:
        raise InvalidContact(f"{len(contacts)} contacts were given; at most {MAX_CONTACTS} are accepted")
    for contact in contacts:
        scheme, colon, address = contact.partition(":")
        if not colon or scheme.lower() != "mailto":
            raise UnsupportedContact(f"contact {contact[:100]!a} is not a mailto: URL")
        if not _ADDRESS.match(address):
            raise InvalidContact(f"contact {contact[:100]!a} is not one plain mail address")
