"""revokeCert (RFC 8555 §7.6): signed by an account, or by the certificate's own key."""

import msgspec

from acme_ra.acme.http.answer import Answer
from acme_ra.acme.signed import SignedRequest
from acme_ra.acme.wire import decode_segment


class RevokePayload(msgspec.Struct, frozen=True):
    certificate: str
    reason: int | None = None


async def revoke_cert(signed: SignedRequest) -> Answer:
    site, payload = signed.site, signed.read(RevokePayload)
    await site.registration.revocation.revoke(
        site.directory,
        decode_segment(payload.certificate, field="the payload's certificate"),
        payload.reason,
        requester=signed.requester,
        key_fingerprint=signed.key.fingerprint if signed.requester is None else None,
    )
    return site.answer(b"")
