"""The local authority: an issuing CA whose key a signer of this process holds."""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from acme_ra.core.approval import Approval
from acme_ra.core.clock import Instant
from acme_ra.issuance.builder import LeafBuilder, sign_leaf
from acme_ra.issuance.contract import AuthorityDescription, AuthorityRefused, IssuedChain, Revoked
from acme_ra.issuance.crl import build_crl
from acme_ra.issuance.issuer import (
    AuthorityMisconfigured,
    Issuer,
    check_issuer,
    is_self_signed,
    load_certificates,
    order_chain,
    signed_by,
)
from acme_ra.issuance.profiles import Profile
from acme_ra.issuance.settings import LocalAuthoritySettings
from acme_ra.issuance.signers.contract import Signer
from acme_ra.issuance.signers.file import open_file_signer, read_file, read_passphrase


class LocalAuthority:
    """Signs leaf certificates of its profiles, and its revocation list."""

    def __init__(
        self,
        name: str,
        *,
        issuer: Issuer,
        signer: Signer,
        profiles: Mapping[str, Profile],
        chains: tuple[bytes, ...],
        crl_lifetime: int,
    ) -> None:
        """`chains` is PEM of what follows a leaf, the default first; `crl_lifetime` in milliseconds."""
        self.name = name
        self.issuer = issuer
        self._signer = signer
        self._profiles = profiles
        self._chains = chains
        self._crl_lifetime = crl_lifetime
        self._chain_id = f"{name}-{hashlib.sha256(b''.join(chains)).hexdigest()[:16]}"
        self._builders: dict[str, LeafBuilder] = {}

    async def issue(self, approval: Approval) -> IssuedChain:
        """Sign the Approval; again, and the bytes are the same (RFC 6979 for ECDSA). Raises AuthorityRefused."""
        if type(approval) is not Approval:
            raise TypeError("an authority signs an Approval only")
        approved = approval.certificate
        if approved.authority != self.name:
            raise AuthorityRefused(f"the certificate was approved for authority {approved.authority[:64]}")
        try:
            builder = self._builder(approved.profile).build(approved)
            if self._signer.slow:
                certificate = await asyncio.to_thread(sign_leaf, builder, self._signer)
            else:
                certificate = sign_leaf(builder, self._signer)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise AuthorityRefused("the approved values cannot be put into a certificate") from error
        return IssuedChain(certificate.public_bytes(Encoding.DER), self._chain_id, self._chains)

    async def sign_crl(self, revoked: Iterable[Revoked], *, number: int, now: Instant) -> bytes:
        """A complete CRL in DER, made in a thread. Raises AuthorityRefused without the key usage cRLSign."""
        if not self.issuer.signs_crls:
            raise AuthorityRefused(f"the certificate of authority {self.name} lacks the key usage cRLSign")
        entries = list(revoked)
        return await asyncio.to_thread(
            build_crl, self.issuer, self._signer, entries, number=number, now=now, lifetime=self._crl_lifetime
        )

    def describe(self) -> AuthorityDescription:
        return describe_issuer(self.name, "local", self.issuer)

    async def close(self) -> None:
        self._signer.close()

    def _builder(self, profile: str) -> LeafBuilder:
        builder = self._builders.get(profile)
        if builder is None:
            if profile not in self._profiles:
                raise AuthorityRefused(f"there is no profile {profile[:64]!a}")
            builder = self._builders[profile] = LeafBuilder(self._profiles[profile], self.issuer)
        return builder


def open_local(
    name: str,
    settings: LocalAuthoritySettings,
    *,
    profiles: Mapping[str, Profile],
    crl_url: str = "",
    certificate_url: str = "",
) -> LocalAuthority:
    """Read the files and check that they belong together. Raises AuthorityMisconfigured with the fix.

    Expiry is not checked: an expired CA refuses what it is asked to sign, and its CRL must still be served.
    """
    first, *pool = load_certificates(
        read_file(settings.certificate, what="certificate"), what=str(settings.certificate)
    )
    if settings.chain is not None:
        pool += load_certificates(read_file(settings.chain, what="chain"), what=str(settings.chain))
    chain = order_chain(first, pool)
    passphrase = read_passphrase(file=settings.passphrase_file, variable=settings.passphrase_env)
    signer = open_file_signer(settings.key, passphrase=passphrase)
    check_issuer(first, chain, signer.private_key.public_key())
    issuer = Issuer(first, chain=chain, crl_url=crl_url, certificate_url=certificate_url)
    chains = [_served((first, *chain), root=settings.serve_root)]
    for path in settings.alternates:
        cross = load_certificates(read_file(path, what="alternate chain"), what=str(path))
        chains.append(_served(_check_alternate(cross, issuer, what=str(path)), root=settings.serve_root))
    return LocalAuthority(
        name,
        issuer=issuer,
        signer=signer,
        profiles=profiles,
        chains=tuple(chains),
        crl_lifetime=settings.crl_lifetime,
    )


def describe_issuer(name: str, kind: str, issuer: Issuer) -> AuthorityDescription:
    """The facts of an issuing certificate; for authorities of every kind."""
    certificate = issuer.certificate
    return AuthorityDescription(
        name=name,
        kind=kind,
        subject=issuer.subject,
        issuer=certificate.issuer.rfc4514_string(),
        serial=f"{certificate.serial_number:x}",
        key=issuer.algorithm.value,
        not_before=issuer.not_before,
        not_after=issuer.not_after,
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        permitted=tuple(tree for one in issuer.constraints for tree in one.permitted),
        excluded=tuple(tree for one in issuer.constraints for tree in one.excluded),
        path_length=issuer.path_length,
        chain=tuple(one.subject.rfc4514_string() for one in issuer.chain),
    )


def _check_alternate(cross: list[x509.Certificate], issuer: Issuer, *, what: str) -> tuple[x509.Certificate, ...]:
    """The alternate chain from its cross-signed issuing certificate upward; it may end below its root."""
    first, *rest = cross
    public_key = first.public_key()
    if first.subject != issuer.name or public_key != issuer.public_key:
        raise AuthorityMisconfigured(
            f"{what} does not begin with a certificate for the subject and key of the authority",
            "put the cross-signed issuing certificate first",
        )
    current = first
    for parent in rest:
        if not signed_by(current, parent):
            message = f"{what} is out of order: '{current.subject.rfc4514_string()}' is not signed by the next one"
            raise AuthorityMisconfigured(message, "order the file from the issuing certificate upward")
        current = parent
    check_issuer(first, rest, issuer.public_key)
    return (first, *rest)


def _served(certificates: tuple[x509.Certificate, ...], *, root: bool) -> bytes:
    """PEM for clients. The root is left out unless wanted: whoever trusts it has it. A lone root must be served."""
    kept = [one for one in certificates if root or not is_self_signed(one)] or [certificates[0]]
    return b"".join(one.public_bytes(Encoding.PEM) for one in kept)
