"""Certificates and their alternate chains (RFC 8555 §7.4.2)."""

import binascii
from typing import Final

from acme_ra.acme.http.answer import Answer
from acme_ra.acme.problems import NotAcceptable
from acme_ra.acme.signed import SignedRequest
from acme_ra.acme.site import link
from acme_ra.core.problems import NotFound

_PEM: Final = ("Content-Type", "application/pem-certificate-chain")
_COMPATIBLE: Final = frozenset({"application/pem-certificate-chain", "application/*", "*/*"})


async def certificate(signed: SignedRequest) -> Answer:
    """The leaf and one chain; a Link for each other chain, in a header line of its own.

    No `up`: the issuer is in the body already, and a client that follows it by POST-as-GET throws the answer away.
    """
    signed.expect_post_as_get()
    _check_accept(signed.accept)
    site, wanted = signed.site, signed.parameters["certificate"]
    certificate, chains = await site.registration.certificates.fetch(signed.account, wanted)
    chosen = _alternate(signed.parameters.get("alternate"), len(chains))
    links = [
        link(site.urls.certificate(site.name, certificate.resource_id, alternate=other), "alternate")
        for other in range(len(chains))
        if other != chosen
    ]
    chain = chains[chosen] if chains else b""
    return site.answer(_pem(certificate.leaf) + chain, content_type=_PEM, links=tuple(links))


def _alternate(text: str | None, chains: int) -> int:
    if text is None:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 3 or text[0] == "0" or int(text) >= chains:
        raise NotFound("this certificate has no such alternate chain")
    return int(text)


def _check_accept(accept: str) -> None:
    """Most clients send nothing; only a header that plainly excludes PEM is taken seriously."""
    wanted = {part.partition(";")[0].strip().lower() for part in accept.split(",")} - {""}
    if wanted and not wanted & _COMPATIBLE:
        raise NotAcceptable("certificates are served as application/pem-certificate-chain only; accept that type")


def _pem(der: bytes) -> bytes:
    """RFC 7468: lines of 64 characters."""
    text = binascii.b2a_base64(der, newline=False)
    lines = b"\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    return b"-----BEGIN CERTIFICATE-----\n" + lines + b"\n-----END CERTIFICATE-----\n"
