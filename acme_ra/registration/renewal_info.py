"""Renewal information: when a certificate should be replaced (RFC 9773)."""

import re

import msgspec

from acme_ra.core.clock import SECOND, Clock, Instant
from acme_ra.core.objects import Certificate
from acme_ra.core.problems import Malformed, NotFound
from acme_ra.registration.settings import OrderSettings
from acme_ra.storage.contract import Store

_CERTIFICATE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_-]{1,40}\Z")


class RenewalWindow(msgspec.Struct, frozen=True):
    """A suggested window; `retry_after` in seconds."""

    start: Instant
    end: Instant
    explanation_url: str | None
    retry_after: int


class RenewalInfo:
    def __init__(self, *, store: Store, clock: Clock, settings: OrderSettings) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings

    async def fetch(self, unverified_certificate_id: str) -> RenewalWindow:
        """The window of the certificate with this id (RFC 9773 §4.1). Raises Malformed, NotFound."""
        if not _CERTIFICATE_ID.match(unverified_certificate_id):
            raise Malformed("the certificate id is not base64url(AKI).base64url(serial) (RFC 9773 §4.1)")
        certificate = await self._store.certificate_by_ari_id(unverified_certificate_id)
        if certificate is None:
            raise NotFound("this server did not issue that certificate")
        start, end = suggested_window(certificate, self._clock.now())
        return RenewalWindow(start, end, None, self._settings.renewal_check_interval // SECOND)


def suggested_window(certificate: Certificate, now: Instant) -> tuple[Instant, Instant]:
    """From two thirds to three quarters of the lifetime; for a revoked certificate, a window that has just passed.

    cert-manager ignores a window that does not start after notBefore, and needs start before end.
    """
    lifetime = certificate.not_after - certificate.not_before
    if certificate.revoked_at is not None:
        end = max(min(now, certificate.not_after) - SECOND, certificate.not_before + 2 * SECOND)
        return max(end - 3600 * SECOND, certificate.not_before + SECOND), end
    return certificate.not_before + lifetime * 2 // 3, certificate.not_before + lifetime * 3 // 4
