"""The contract of a signer: it holds an issuing key. A PKCS#11 token is a signer, not an authority."""

from typing import Any, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


class Signer(Protocol):
    """A key that X.509 builders can sign with."""

    @property
    def private_key(self) -> PrivateKey:
        """The key, or an object of the same class that forwards `sign` to where the key is."""
        ...

    @property
    def deterministic(self) -> bool:
        """Whether ECDSA signatures follow RFC 6979, so that the same Approval gives the same bytes again."""
        ...

    @property
    def slow(self) -> bool:
        """Whether a signature takes so long (about half a millisecond) that it belongs off the event loop."""
        ...

    def close(self) -> None: ...


def signature_options(signer: Signer) -> dict[str, Any]:
    """Keyword arguments for `sign` of a certificate or CRL builder: the hash that fits the key (RFC 5758, RFC 8410)."""
    key = signer.private_key
    if isinstance(key, ec.EllipticCurvePrivateKey):
        by_size = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
        return {"algorithm": by_size[key.curve.key_size], "ecdsa_deterministic": signer.deterministic}
    if isinstance(key, rsa.RSAPrivateKey):
        return {"algorithm": hashes.SHA256()}
    return {"algorithm": None}
