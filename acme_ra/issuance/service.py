"""The certification authority as registration uses it: lint, sign, check, and the revocation list (RFC 5280).

`sign` is the one road to a certificate, and it takes an Approval.
"""

import asyncio
import secrets
from collections.abc import Iterable, Mapping

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from acme_ra.core.approval import Approval, ApprovedCertificate
from acme_ra.core.clock import Instant
from acme_ra.core.keys import KeyAlgorithm
from acme_ra.core.request import ProfileFacts
from acme_ra.issuance import ari
from acme_ra.issuance.builder import LeafBuilder, sign_leaf
from acme_ra.issuance.contract import (
    Authority,
    AuthorityDescription,
    AuthorityRefused,
    IssuedChain,
    IssuedMismatch,
    Revoked,
)
from acme_ra.issuance.lint import Linter, LintGate, LintRefused, objections
from acme_ra.issuance.profiles import Profile
from acme_ra.issuance.signers.memory import MemorySigner, generate_key
from acme_ra.issuance.verify import Verifier

SERIAL_BYTES = 16


class CertificateAuthority:
    """All authorities and profiles of this server, behind one door."""

    def __init__(
        self, *, authorities: Mapping[str, Authority], profiles: Mapping[str, Profile], linter: Linter
    ) -> None:
        self._authorities = dict(authorities)
        self._profiles = dict(profiles)
        self._linter = linter
        self._gate = LintGate()
        self._builders: dict[tuple[str, str], LeafBuilder] = {}
        self._verifiers: dict[tuple[str, str], Verifier] = {}
        self._throw_away: dict[KeyAlgorithm, MemorySigner] = {}
        self.authority_ends: dict[str, Instant] = {
            name: authority.issuer.not_after for name, authority in authorities.items()
        }
        self.profile_facts: dict[str, ProfileFacts] = {name: profile.facts for name, profile in profiles.items()}

    async def start(self) -> None:
        """Load the linter's rules in the background."""
        await self._linter.start()

    async def close(self) -> None:
        await self._linter.close()
        for authority in self._authorities.values():
            await authority.close()

    @staticmethod
    def new_serial() -> str:
        """128 random bits in lower-case hex without leading zeros: positive, at most 17 octets (RFC 5280 §4.1.2.2)."""
        while not (serial := int.from_bytes(secrets.token_bytes(SERIAL_BYTES), "big")):
            pass
        return f"{serial:x}"

    async def lint(self, approval: Approval) -> None:
        """Judge the certificate before it is signed.

        Raises LintRefused; AuthorityRefused when the authority could not sign it anyway; LinterUnavailable.
        """
        approved = approval.certificate
        profile, authority = self._profile(approved.profile), self._authority(approved.authority)
        if not self._gate.due(profile, approved):
            return
        builder = self._builder(profile, authority)
        signer = await self._signer_like(authority.issuer.algorithm)
        try:
            certificate = await asyncio.to_thread(_draft, builder, approved, signer)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise AuthorityRefused("the approved values cannot be put into a certificate") from error
        refused = objections(await self._linter.findings(certificate), profile.settings.lint.level)
        if refused:
            raise LintRefused(refused)
        self._gate.passed(approved)

    async def sign(self, approval: Approval) -> IssuedChain:
        """Have the authority sign, and check that what it signed is what was approved.

        Raises AuthorityRefused (final), AuthorityUnavailable (nothing was issued), IssuedMismatch (something else
        was issued, and comes with the exception).
        """
        approved = approval.certificate
        profile, authority = self._profile(approved.profile), self._authority(approved.authority)
        chain = await authority.issue(approval)
        key = (profile.name, authority.name)
        verifier = self._verifiers.get(key)
        if verifier is None:
            verifier = self._verifiers[key] = Verifier(profile, authority.issuer)
        differences = verifier.differences(chain, approved)
        if differences:
            raise IssuedMismatch(differences, chain)
        return chain

    def ari_id(self, approved: ApprovedCertificate) -> str:
        """RFC 9773 §4.1, of a certificate that `sign` returned: its issuer and serial are the approved ones."""
        return ari.ari_id(self._authority(approved.authority).issuer.key_identifier, int(approved.serial, 16))

    async def crl(self, authority: str, revoked: Iterable[Revoked], *, number: int, now: Instant) -> bytes:
        """A complete CRL in DER. The caller keeps an entry until one CRL after the certificate's notAfter.

        Raises KeyError for an unknown authority; AuthorityRefused where its certificate may not sign CRLs.
        """
        return await self._authorities[authority].sign_crl(revoked, number=number, now=now)

    def authority_certificate(self, authority: str) -> bytes:
        """The issuing certificate in DER, for caIssuers (RFC 5280 §4.2.2.1). Raises KeyError."""
        return self._authorities[authority].issuer.certificate.public_bytes(Encoding.DER)

    def describe(self) -> tuple[AuthorityDescription, ...]:
        return tuple(authority.describe() for authority in self._authorities.values())

    def _profile(self, name: str) -> Profile:
        try:
            return self._profiles[name]
        except KeyError as error:
            raise AuthorityRefused(f"there is no profile {name[:64]!a} on this server") from error

    def _authority(self, name: str) -> Authority:
        try:
            return self._authorities[name]
        except KeyError as error:
            raise AuthorityRefused(f"there is no authority {name[:64]!a} on this server") from error

    def _builder(self, profile: Profile, authority: Authority) -> LeafBuilder:
        key = (profile.name, authority.name)
        if key not in self._builders:
            self._builders[key] = LeafBuilder(profile, authority.issuer)
        return self._builders[key]

    async def _signer_like(self, algorithm: KeyAlgorithm) -> MemorySigner:
        """A throw-away key of the issuer's algorithm: what is to be signed then names the same signature algorithm."""
        signer = self._throw_away.get(algorithm)
        if signer is None:
            signer = MemorySigner(await asyncio.to_thread(generate_key, algorithm))
            signer = self._throw_away.setdefault(algorithm, signer)
        return signer


def _draft(builder: LeafBuilder, approved: ApprovedCertificate, signer: MemorySigner) -> bytes:
    """The certificate as it would be, under a signature that nobody trusts."""
    return sign_leaf(builder.build(approved), signer).public_bytes(Encoding.DER)
