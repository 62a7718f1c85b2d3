"""An approval: the only thing an authority signs. Only policy/engine can make one.

The class cannot be constructed, copied or unpickled without the mint, which policy/engine takes when it is imported
and which is handed out once. Whatever goes round the constructor lacks the mint's stamp, a MAC over the certificate
under a key of this process, and gives no certificate away. tests/attacks keep it so.
"""

import hashlib
import hmac
import os
from collections.abc import Callable
from typing import Any, Final, Never

import msgspec

from acme_ra.core.clock import Instant
from acme_ra.core.identifiers import Identifier
from acme_ra.core.keys import KeyAlgorithm


class ApprovedCertificate(msgspec.Struct, frozen=True):
    """The certificate that policy allowed, to the last value. `serial` is a positive integer in lower-case hex."""

    decision: str
    policy_digest: str
    order_id: int
    authority: str
    profile: str
    identifiers: tuple[Identifier, ...]
    algorithm: KeyAlgorithm
    spki: bytes
    key_fingerprint: str
    serial: str
    not_before: Instant
    not_after: Instant
    backdated: bool = True  # the profile's backdating applies


class Approval:
    """A sealed permission to sign `certificate` and nothing else."""

    __slots__ = ("_certificate", "_stamp")
    _certificate: ApprovedCertificate
    _stamp: bytes

    def __init__(self, *_: Never) -> None:
        raise TypeError("an Approval is made by policy/engine only")

    def __init_subclass__(cls, **_: Any) -> None:
        raise TypeError("Approval cannot be subclassed")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("an Approval cannot be changed")

    def __reduce__(self) -> Never:
        raise TypeError("an Approval cannot be copied or pickled")

    @property
    def certificate(self) -> ApprovedCertificate:
        """What may be signed. Raises TypeError for an object that did not come from the mint, or was changed."""
        certificate = self._certificate
        if not hmac.compare_digest(self._stamp, _stamp(certificate)):
            raise TypeError("this approval was not made by policy/engine")
        return certificate


Mint = Callable[[ApprovedCertificate], Approval]
_encode = msgspec.msgpack.Encoder().encode
_stamping = hashlib.blake2b(key=os.urandom(32), digest_size=16)


def _stamp(certificate: ApprovedCertificate) -> bytes:
    stamp = _stamping.copy()
    stamp.update(_encode(certificate))
    return stamp.digest()


def _strike(certificate: ApprovedCertificate) -> Approval:
    if type(certificate) is not ApprovedCertificate:
        raise TypeError("only an ApprovedCertificate can be approved")
    approval = object.__new__(Approval)
    object.__setattr__(approval, "_certificate", certificate)
    object.__setattr__(approval, "_stamp", _stamp(certificate))
    return approval


_unclaimed: list[Mint] = [_strike]
del _strike


def claim_mint() -> Mint:
    """Hand out the way to make approvals, once in a process. policy/engine calls it at import."""
    if not _unclaimed:
        raise RuntimeError("the approval mint belongs to policy/engine")
    return _unclaimed.pop()


__all__: Final = ["Approval", "ApprovedCertificate", "Mint", "claim_mint"]
