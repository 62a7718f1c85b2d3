"""Files that certificates point at: issuer certificates and revocation lists (RFC 5280 §4.2.1.13, §4.2.2.1)."""

from typing import Final

from acme_ra.acme.dispatch import HTTPHandler, Parameters
from acme_ra.acme.http.answer import Answer
from acme_ra.acme.http.request import Request
from acme_ra.registration.authority import RegistrationAuthority

_CERTIFICATE: Final = ("Content-Type", "application/pkix-cert")
_CRL: Final = ("Content-Type", "application/pkix-crl")


def bind_authority_certificate(registration: RegistrationAuthority) -> HTTPHandler:
    async def authority_certificate(_: Request, parameters: Parameters) -> Answer:
        body = registration.revocation.authority_certificate(parameters["authority"])
        return Answer(body, _CERTIFICATE)

    return authority_certificate


def bind_authority_crl(registration: RegistrationAuthority) -> HTTPHandler:
    async def authority_crl(_: Request, parameters: Parameters) -> Answer:
        authority = parameters["authority"]
        # Whether there is such an authority is known here at once; a CRL is only ever made for one that exists.
        registration.revocation.authority_certificate(authority)
        return Answer(await registration.revocation.crl(authority), _CRL)

    return authority_crl
