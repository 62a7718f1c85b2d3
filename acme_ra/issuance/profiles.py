"""Profiles: what certificates of one kind hold, from configuration only (RFC 5280 §4.2)."""

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from acme_ra.core.identifiers import Identifier, IdentifierType
from acme_ra.core.keys import KeyAlgorithm
from acme_ra.core.request import ProfileFacts
from acme_ra.issuance.settings import ProfileSettings

USAGE_OIDS: dict[str, x509.ObjectIdentifier] = {
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
}
RSA_KEYS = frozenset({KeyAlgorithm.RSA_2048, KeyAlgorithm.RSA_3072, KeyAlgorithm.RSA_4096})
MAX_COMMON_NAME = 64


class Profile:
    """A named profile; immutable."""

    __slots__ = ("facts", "keys", "name", "settings", "usage_oids")

    def __init__(self, name: str, settings: ProfileSettings) -> None:
        self.name = name
        self.settings = settings
        self.keys = frozenset(settings.keys)
        self.usage_oids = tuple(USAGE_OIDS[usage] for usage in settings.usages)
        self.facts = ProfileFacts(
            validity=settings.validity, usages=tuple(settings.usages), keys=tuple(sorted(settings.keys))
        )

    def subject(self, identifiers: tuple[Identifier, ...]) -> x509.Name:
        """Empty, or the first DNS name that fits as the common name (RFC 5280 appendix A.1: 64 characters)."""
        if self.settings.include_common_name:
            for identifier in identifiers:
                if identifier.type == IdentifierType.DNS and len(identifier.value) <= MAX_COMMON_NAME:
                    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, identifier.value)])
        return NO_SUBJECT

    def enciphers_keys(self, algorithm: KeyAlgorithm) -> bool:
        """RSA key transport of TLS 1.2 needs the usage keyEncipherment (RFC 5246 §7.4.2)."""
        return algorithm in RSA_KEYS and "server auth" in self.settings.usages


NO_SUBJECT = x509.Name([])
