"""A signer over a key in this process: what a key file becomes, and what lint's throw-away keys are."""

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from acme_ra.core.keys import KeyAlgorithm
from acme_ra.issuance.signers.contract import PrivateKey


class MemorySigner:
    """Holds a private key. Its representation shows nothing of it."""

    __slots__ = ("_key", "slow")

    deterministic = True

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.slow = isinstance(key, rsa.RSAPrivateKey)  # 0.7 ms and more; P-256 0.05 ms, P-384 0.3 ms

    def __repr__(self) -> str:
        return "MemorySigner(…)"

    @property
    def private_key(self) -> PrivateKey:
        return self._key

    def close(self) -> None:
        """Nothing is held that could be closed; the key goes with the object."""


def generate_key(algorithm: KeyAlgorithm) -> PrivateKey:
    """A new key. RSA takes some tenths of a second."""
    match algorithm:
        case KeyAlgorithm.ECDSA_P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyAlgorithm.ECDSA_P384:
            return ec.generate_private_key(ec.SECP384R1())
        case KeyAlgorithm.ECDSA_P521:
            return ec.generate_private_key(ec.SECP521R1())
        case KeyAlgorithm.ED25519:
            return ed25519.Ed25519PrivateKey.generate()
        case KeyAlgorithm.RSA_2048 | KeyAlgorithm.RSA_3072 | KeyAlgorithm.RSA_4096:
            return rsa.generate_private_key(65537, int(algorithm.removeprefix("rsa-")))
