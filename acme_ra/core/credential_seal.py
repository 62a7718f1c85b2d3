"""The seal of a credential: its secret, and beside it what it may speak for (RFC 8555 §7.3.4). No I/O.

Who can write the database, but has no master key, can then neither bind a credential to other namespaces, nor prolong
it, nor allow it more accounts: it would not open any more.
"""

import msgspec

from acme_ra.core.clock import Instant
from acme_ra.core.encoding import canonical_json
from acme_ra.core.objects import Binding, Credential
from acme_ra.core.sealing import Sealer

_PURPOSE = "credential"
_REMEMBERED = 4096


class CredentialRights(msgspec.Struct, frozen=True):
    """What is sealed with the secret: all that stays as it is for a credential's life, rotation included."""

    kid: str
    name: str
    binding: Binding
    expires_at: Instant | None
    max_uses: int | None

    @classmethod
    def of(cls, credential: Credential) -> "CredentialRights":
        one = credential
        return cls(one.kid, one.name, one.binding, one.expires_at, one.max_uses)

    @property
    def context(self) -> str:
        return canonical_json(msgspec.to_builtins(self)).decode()


def seal_credential(sealer: Sealer, secret: bytes, rights: CredentialRights) -> bytes:
    return sealer.seal(secret, purpose=_PURPOSE, context=rights.context)


def open_credential(sealer: Sealer, credential: Credential) -> bytes:
    """The secret. Raises SealBroken when the credential is not what it was made as, or the key is another one."""
    rights = CredentialRights.of(credential)
    return sealer.open(credential.sealed_secret, purpose=_PURPOSE, context=rights.context)


class CredentialSeals:
    """Checks credentials on every request, and remembers what it found unbroken."""

    __slots__ = ("_sealer", "_unbroken")

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._unbroken: dict[str, tuple[bytes, CredentialRights]] = {}

    def check(self, credential: Credential) -> None:
        """Raises SealBroken."""
        seen = credential.sealed_secret, CredentialRights.of(credential)
        if self._unbroken.get(credential.kid) == seen:
            return
        open_credential(self._sealer, credential)
        if len(self._unbroken) >= _REMEMBERED:
            self._unbroken.clear()
        self._unbroken[credential.kid] = seen
