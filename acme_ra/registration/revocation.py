"""Revocation, and the list that makes it known (RFC 8555 §7.6, RFC 5280 §5)."""

import asyncio

from cryptography import x509

from acme_ra.audit import events
from acme_ra.audit.events import Subject
from acme_ra.core.clock import DAY, MINUTE, Clock, Instant
from acme_ra.core.objects import Certificate
from acme_ra.core.problems import AlreadyRevoked, BadRevocationReason, Malformed, NotFound, Problem, Unauthorized
from acme_ra.issuance.service import CertificateAuthority
from acme_ra.registration.accounts import Requester
from acme_ra.registration.directories import Directory
from acme_ra.registration.loading import stored
from acme_ra.storage.contract import Conflict as StoreConflict
from acme_ra.storage.contract import Store, Transaction

UNSPECIFIED = 0
KEY_COMPROMISE = 1
#: What a subscriber may say (RFC 5280 §5.3.1): the others are the CA's own, or not for end-entity certificates.
SUBSCRIBER_REASONS = {
    UNSPECIFIED: "unspecified",
    KEY_COMPROMISE: "keyCompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    9: "privilegeWithdrawn",
}
#: An entry stays in the list for one list past the certificate's notAfter (RFC 5280 §3.3).
CRL_MARGIN = 8 * DAY
CRL_REFRESH = 1 * MINUTE


class Revocation:
    def __init__(self, *, store: Store, clock: Clock, issuance: CertificateAuthority) -> None:
        self._store = store
        self._clock = clock
        self._issuance = issuance
        self._lists: dict[str, tuple[Instant, bytes]] = {}
        self._making = asyncio.Lock()

    async def revoke(
        self,
        directory: Directory,
        certificate_der: bytes,
        reason: int | None,
        *,
        requester: Requester | None,
        key_fingerprint: str | None,
    ) -> None:
        """Revoke by account (`requester`) or by the certificate's own key (`key_fingerprint`, SHA-256 of its SPKI).

        Raises AlreadyRevoked, BadRevocationReason, Malformed, NotFound, Unauthorized. Only a revocation signed by the
        certificate's key, for keyCompromise, blocks that key: nobody else has shown that it is known.
        """
        certificate = await self._find(certificate_der)
        chosen = UNSPECIFIED if reason is None else reason
        subject = Subject(
            directory=directory.name,
            account_id=None if requester is None else requester.account.id,
            order_id=certificate.order_id,
            serial=certificate.serial,
        )
        try:
            if chosen not in SUBSCRIBER_REASONS:
                accepted = ", ".join(f"{number} ({name})" for number, name in SUBSCRIBER_REASONS.items())
                raise BadRevocationReason(f"reason {chosen} is not accepted; use one of {accepted}")
            by = await self._entitled(certificate, requester, key_fingerprint)
        except Problem as problem:
            if requester is not None:  # a key that nobody knows is nobody: it must not fill the log that stays for good
                await self._record_refusal(subject, problem)
            raise
        now = self._clock.now()
        blocks = by == "key" and chosen == KEY_COMPROMISE

        def revoke(tx: Transaction) -> None:
            tx.revoke_certificate(certificate.id, reason=chosen, now=now)
            if blocks:
                tx.block_key(certificate.key_fingerprint, now=now)
            tx.append_event(events.CertificateRevoked(reason=chosen, by=by).record(now, subject))

        try:
            await self._store.transact(revoke)
        except StoreConflict as error:
            if blocks:
                await self._store.transact(lambda tx: tx.block_key(certificate.key_fingerprint, now=now))
            raise AlreadyRevoked("the certificate was revoked before") from error
        self._lists.pop(certificate.authority, None)

    async def crl(self, authority: str) -> bytes:
        """The authority's revocation list, DER; made at most once a minute unless this process revoked something.

        Its number is the instant in milliseconds, so that numbers grow across processes. Raises NotFound.
        """
        cached = self._fresh(authority)
        if cached is not None:
            return cached
        async with self._making:  # anybody may ask: one list is made at a time, and whoever waited gets that one
            return self._fresh(authority) or await self._make_list(authority)

    def _fresh(self, authority: str) -> bytes | None:
        cached = self._lists.get(authority)
        return cached[1] if cached is not None and cached[0] + CRL_REFRESH > self._clock.now() else None

    async def _make_list(self, authority: str) -> bytes:
        now = self._clock.now()
        revoked = await self._store.revoked(authority, not_after_since=now - CRL_MARGIN)
        try:
            crl = await self._issuance.crl(authority, revoked, number=now, now=now)
        except KeyError as error:
            raise NotFound("there is no such authority") from error
        self._lists[authority] = (now, crl)
        return crl

    def authority_certificate(self, authority: str) -> bytes:
        """The authority's own certificate, DER, for AIA caIssuers. Raises NotFound."""
        try:
            return self._issuance.authority_certificate(authority)
        except KeyError as error:
            raise NotFound("there is no such authority") from error

    async def _find(self, certificate_der: bytes) -> Certificate:
        try:
            serial = f"{x509.load_der_x509_certificate(certificate_der).serial_number:x}"
        except ValueError as error:
            raise Malformed("certificate is not the base64url of a DER certificate") from error
        certificate = await self._store.certificate_by_serial(serial)
        if certificate is None or certificate.leaf != certificate_der:
            raise NotFound("this server did not issue that certificate")
        return certificate

    async def _entitled(
        self, certificate: Certificate, requester: Requester | None, key_fingerprint: str | None
    ) -> str:
        if requester is None:
            if key_fingerprint is None or key_fingerprint != certificate.key_fingerprint:
                raise Unauthorized("the request is signed by neither an account nor the certificate's key")
            return "key"
        if requester.account.id == certificate.account_id:
            return "account"
        order = await self._store.order(certificate.order_id)
        if order is not None and order.directory == requester.directory.name:
            names = tuple(identifier.value for identifier in order.identifiers)
            if await self._store.covers(requester.account.id, names, now=self._clock.now()):
                return "authorizations"
        raise Unauthorized(
            "this account neither ordered the certificate nor holds authorizations for all of its names; "
            "sign with the certificate's key instead"
        )

    async def _record_refusal(self, subject: Subject, problem: Problem) -> None:
        record = events.RevocationRefused(error=stored(problem)).record(self._clock.now(), subject)
        await self._store.transact(lambda tx: tx.append_event(record))
