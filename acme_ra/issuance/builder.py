"""Leaf certificates (RFC 5280 §4): built from an Approval, a profile and an issuer, never from a CSR."""

import ipaddress
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509.oid import AuthorityInformationAccessOID

from acme_ra.core.approval import ApprovedCertificate
from acme_ra.core.clock import Instant, to_datetime
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.keys import PublicKey
from acme_ra.core.problems import Subproblem
from acme_ra.issuance.contract import AuthorityRefused
from acme_ra.issuance.issuer import Issuer
from acme_ra.issuance.profiles import NO_SUBJECT, Profile
from acme_ra.issuance.signers.contract import Signer, signature_options

SKI_BYTES = 20
MAX_SERIAL_BITS = 159
AnyExtension = x509.Extension[x509.ExtensionType]


class LeafBuilder:
    """Makes the leaf certificates of one profile under one issuer. What they share is prepared once."""

    def __init__(self, profile: Profile, issuer: Issuer) -> None:
        """Raises AuthorityRefused when the issuer's own usages do not cover the profile's."""
        allowed = issuer.extended_usages
        if allowed is not None and not allowed.issuperset(profile.usage_oids):
            raise AuthorityRefused(f"the CA's own certificate is not good for every usage of profile {profile.name}")
        self._profile = profile
        self._issuer = issuer
        self._shared = {enciphers: self._shared_extensions(enciphers) for enciphers in (False, True)}

    def build(self, approved: ApprovedCertificate) -> x509.CertificateBuilder:
        """The certificate, ready to be signed. Raises AuthorityRefused with what stands against it."""
        self._check(approved)
        subject = self._profile.subject(approved.identifiers)
        if subject is not NO_SUBJECT and any(one.directory_names for one in self._issuer.constraints):
            subject = NO_SUBJECT  # the constraint is on subjects; without one there is nothing to violate
        public_key = load_der_public_key(approved.spki)
        assert isinstance(public_key, PublicKey)
        extensions = [
            *self._shared[self._profile.enciphers_keys(approved.algorithm)],
            _extension(subject_alternative_name(approved.identifiers), critical=subject is NO_SUBJECT),
        ]
        if self._profile.settings.include_subject_key_identifier:
            identifier = x509.SubjectKeyIdentifier(bytes.fromhex(approved.key_fingerprint)[:SKI_BYTES])
            extensions.append(_extension(identifier, critical=False))
        # Given at once: each step of the builder's chain copies and checks all that was given before, 60 µs in sum.
        return x509.CertificateBuilder(
            issuer_name=self._issuer.name,
            subject_name=subject,
            public_key=public_key,
            serial_number=int(approved.serial, 16),
            not_valid_before=_naive(not_before_of(approved, self._profile, self._issuer)),
            not_valid_after=_naive(approved.not_after),
            extensions=extensions,
        )

    def _check(self, approved: ApprovedCertificate) -> None:
        issuer = self._issuer
        if approved.algorithm not in self._profile.keys:
            raise AuthorityRefused(f"profile {self._profile.name} does not accept {approved.algorithm} keys")
        if not 0 < int(approved.serial, 16) < 1 << MAX_SERIAL_BITS:
            raise AuthorityRefused("the serial is not positive, or longer than 20 octets (RFC 5280 §4.1.2.2)")
        if not approved.identifiers:
            raise AuthorityRefused("a certificate needs at least one name")
        if approved.not_after > issuer.not_after:
            raise AuthorityRefused("the certificate would outlive its issuer; ask for a shorter validity")
        if approved.not_after <= max(approved.not_before, issuer.not_before):
            raise AuthorityRefused("the certificate would end before it starts")
        check_names(approved.identifiers, issuer)

    def _shared_extensions(self, enciphers: bool) -> list[AnyExtension]:
        settings, issuer = self._profile.settings, self._issuer
        extensions = [
            _extension(key_usage(enciphers=enciphers), critical=True),
            _extension(x509.ExtendedKeyUsage(self._profile.usage_oids), critical=False),
            _extension(x509.BasicConstraints(ca=False, path_length=None), critical=True),
            _extension(x509.AuthorityKeyIdentifier(issuer.key_identifier, None, None), critical=False),
        ]
        if settings.policies:
            policies = [x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in settings.policies]
            extensions.append(_extension(x509.CertificatePolicies(policies), critical=False))
        if aia := issuer.certificate_url if settings.aia_url is None else settings.aia_url:
            where = x509.UniformResourceIdentifier(aia)
            access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, where)
            extensions.append(_extension(x509.AuthorityInformationAccess([access]), critical=False))
        if crl := issuer.crl_url if settings.crl_url is None else settings.crl_url:
            point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl)], None, None, None)
            extensions.append(_extension(x509.CRLDistributionPoints([point]), critical=False))
        return extensions


def _extension(value: x509.ExtensionType, *, critical: bool) -> AnyExtension:
    return x509.Extension(value.oid, critical, value)


def _naive(instant: Instant) -> datetime:
    """Whole seconds in UTC, without the zone, as the constructor of the builder keeps them."""
    return to_datetime(instant).replace(tzinfo=None)


def sign_leaf(builder: x509.CertificateBuilder, signer: Signer) -> x509.Certificate:
    """Sign with the hash that fits the signer's key."""
    return builder.sign(signer.private_key, **signature_options(signer))


def not_before_of(approved: ApprovedCertificate, profile: Profile, issuer: Issuer) -> Instant:
    """The approved start, put back for slow clocks unless it was asked for, and never before the issuer's own."""
    back = profile.settings.backdate if approved.backdated else 0
    return max(approved.not_before - back, issuer.not_before)


def key_usage(*, enciphers: bool) -> x509.KeyUsage:
    """digitalSignature, and keyEncipherment where a TLS server's RSA key needs it."""
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=enciphers,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def subject_alternative_name(identifiers: tuple[Identifier, ...]) -> x509.SubjectAlternativeName:
    """The approved names, in their order."""
    names: list[x509.GeneralName] = [
        x509.DNSName(one.value) if one.type == IdentifierType.DNS else x509.IPAddress(ipaddress.ip_address(one.value))
        for one in identifiers
    ]
    return x509.SubjectAlternativeName(names)


def check_names(identifiers: tuple[Identifier, ...], issuer: Issuer) -> None:
    """Raises AuthorityRefused with a subproblem for each name that the issuer's name constraints leave out."""
    refused: list[Subproblem] = []
    for constraints in issuer.constraints:
        for identifier in identifiers:
            if why := constraints.objection(identifier):
                refused.append(identifier.subproblem("rejectedIdentifier", why))
    if refused:
        detail = f"{refused[0].identifier_value}: {refused[0].detail} (name constraint of the issuing CA)"
        raise AuthorityRefused(detail, subproblems=tuple(dict.fromkeys(refused)))
