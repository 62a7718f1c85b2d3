"""The certificate identifier of renewal information (RFC 9773 §4.1)."""

from acme_ra.core.encoding import b64url


def ari_id(key_identifier: bytes, serial: int) -> str:
    """base64url(AKI keyIdentifier) "." base64url(serial as DER INTEGER content)."""
    return f"{b64url(key_identifier)}.{b64url(serial_content(serial))}"


def serial_content(serial: int) -> bytes:
    """The content octets of the DER INTEGER: a zero octet goes first where the top bit would make it negative."""
    return serial.to_bytes(serial.bit_length() // 8 + 1, "big")
