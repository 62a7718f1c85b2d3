"""Approvals, CAs and chains for tests of issuance. Only tests go round policy/engine like this."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from acme_ra.core.approval import Approval, ApprovedCertificate
from acme_ra.core.clock import DAY, HOUR, Instant
from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.keys import KeyAlgorithm, SubjectKey, check_public_key
from acme_ra.issuance.authorities.local import LocalAuthority
from acme_ra.issuance.issuer import Issuer
from acme_ra.issuance.profiles import Profile
from acme_ra.issuance.settings import ProfileSettings
from acme_ra.issuance.setup import Constraints, _make_ca, _subject
from acme_ra.issuance.signers.contract import PrivateKey
from acme_ra.issuance.signers.memory import MemorySigner, generate_key
from acme_ra.policy import engine

NOW: Instant = 1_795_000_000_000  # 2026-11-18
PASSPHRASE = b"canary-7f3e passphrase"
CRL_URL = "http://ra.example.com/ca/main.crl"
AIA_URL = "http://ra.example.com/ca/main.cer"
YEAR = 365 * DAY

_serials = itertools.count(0x1A2B3C4D5E6F708192A3B4C5D6E7F809)


@lru_cache(maxsize=32)
def key_of(algorithm: KeyAlgorithm, which: str = "leaf") -> PrivateKey:
    """A key for the whole test run; RSA takes long to make."""
    return generate_key(algorithm)


def subject_key(algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA_P256, which: str = "leaf") -> SubjectKey:
    return check_public_key(key_of(algorithm, which).public_key())


def dns(*names: str) -> tuple[Identifier, ...]:
    return tuple(Identifier(IdentifierType.DNS, name) for name in names)


def ip(*addresses: str) -> tuple[Identifier, ...]:
    return tuple(Identifier(IdentifierType.IP, address) for address in addresses)


def approved(
    identifiers: Sequence[Identifier] = (), *, key: SubjectKey | None = None, **changes: Any
) -> ApprovedCertificate:
    """What policy might have allowed: 30 days from NOW for web.example.com, unless told otherwise."""
    key = key or subject_key()
    plain = ApprovedCertificate(
        decision="d-1",
        policy_digest="0" * 64,
        order_id=1,
        authority="main",
        profile="default",
        identifiers=tuple(identifiers) or dns("web.example.com"),
        algorithm=key.algorithm,
        spki=key.spki,
        key_fingerprint=key.fingerprint,
        serial=f"{next(_serials):x}",
        not_before=NOW,
        not_after=NOW + 30 * DAY,
    )
    return msgspec.structs.replace(plain, **changes)


def approval(certificate: ApprovedCertificate | None = None, **changes: Any) -> Approval:
    """An Approval from the mint, without a decision behind it."""
    return engine._mint(certificate or approved(**changes))


@dataclass
class TestCA:
    """A root and an intermediate below it, in memory."""

    __test__ = False

    key: PrivateKey
    root_key: PrivateKey
    certificate: x509.Certificate
    root: x509.Certificate
    profiles: dict[str, Profile] = field(default_factory=dict)

    @property
    def issuer(self) -> Issuer:
        return Issuer(self.certificate, chain=(self.root,), crl_url=CRL_URL, certificate_url=AIA_URL)

    def authority(self, name: str = "main", **profiles: ProfileSettings) -> LocalAuthority:
        made = {profile: Profile(profile, settings) for profile, settings in profiles.items()}
        return LocalAuthority(
            name,
            issuer=self.issuer,
            signer=MemorySigner(self.key),
            profiles=made or {"default": Profile("default", ProfileSettings())},
            chains=(self.certificate.public_bytes(Encoding.PEM),),
            crl_lifetime=7 * DAY,
        )

    def write(self, folder: Path) -> tuple[Path, Path]:
        """chain.pem and root.pem, for openssl."""
        chain, root = folder / "chain.pem", folder / "root.pem"
        chain.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        root.write_bytes(self.root.public_bytes(Encoding.PEM))
        return chain, root


def make_ca(
    algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA_P256,
    *,
    now: Instant = NOW,
    lifetime: int = 5 * YEAR,
    constraints: Constraints | None = None,
    which: str = "ca",
) -> TestCA:
    """A CA whose keys are made once a test run."""
    root_key, key = key_of(algorithm, f"{which} root"), key_of(algorithm, which)
    made = now - 2 * HOUR
    root = _make_ca(
        root_key.public_key(),
        subject=_subject("test", "root", root_key),
        lifetime=10 * YEAR,
        now=made,
        path_length=1,
        signed_by=root_key,
    )
    certificate = _make_ca(
        key.public_key(),
        subject=_subject("test", "main", key),
        lifetime=lifetime,
        now=made,
        path_length=0,
        signed_by=root_key,
        issuer=root,
        constraints=None if constraints is None else constraints.extension(),
    )
    return TestCA(key=key, root_key=root_key, certificate=certificate, root=root)
