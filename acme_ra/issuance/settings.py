"""Settings of authorities and certificate profiles (RFC 5280 §4.2)."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from acme_ra.core.clock import DAY, MINUTE, SECOND
from acme_ra.core.keys import LEAF_ALGORITHMS, KeyAlgorithm
from acme_ra.core.settings import Duration, Settings

_OID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,9})){1,30}\Z")
_URL_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{1,512}\Z")


def is_http_url(text: str) -> bool:
    """An absolute http or https URL (RFC 3986) with a host, of printable ASCII, without user or fragment."""
    if not _URL_CHARACTERS.match(text):
        return False
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises ValueError when it is not a port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc and not parts.fragment


def _url(text: str) -> str:
    if text and not is_http_url(text):
        raise ValueError(f"{text[:80]!a} is not an http or https URL; write it like http://ra.example.com/ca/main.crl")
    return text


def _oid(text: str) -> str:
    if not _OID.match(text) or (text[0] in "01" and int(text.split(".")[1]) > 39):
        raise ValueError(f"{text[:80]!a} is not an object identifier; write it like 2.23.140.1.2.1")
    return text


def _leaf_key(key: KeyAlgorithm) -> KeyAlgorithm:
    if key not in LEAF_ALGORITHMS:
        raise ValueError(f"certificates for {key} keys are not issued; use {', '.join(sorted(LEAF_ALGORITHMS))}")
    return key


Usage = Literal["server auth", "client auth"]
"""Extended key usages, in the words of cert-manager and of policy documents."""

LintLevel = Literal["error", "warning", "notice"]


class LintSettings(Settings):
    """Which certificates are linted before they are signed, and what is refused."""

    level: LintLevel = Field(default="error", description="findings at this level or above refuse the certificate")
    share: float = Field(
        default=0.0, ge=0.0, le=1.0, description="of certificates of a known shape; the first of each is always linted"
    )


class ProfileSettings(Settings):
    """What a certificate of this profile holds, besides the names and the key of its order."""

    validity: Duration = Field(
        default=90 * DAY, ge=5 * MINUTE, le=3650 * DAY, description="unless the order or policy asks for less"
    )
    backdate: Duration = Field(
        default=60 * SECOND,
        ge=0,
        le=DAY,
        description="notBefore lies this far back, for slow clocks; a replacement's does not",
    )
    usages: list[Usage] = Field(default=["server auth"], min_length=1, max_length=2)
    keys: list[Annotated[KeyAlgorithm, AfterValidator(_leaf_key)]] = Field(
        default=sorted(LEAF_ALGORITHMS), min_length=1, description="accepted subject keys"
    )
    include_common_name: bool = Field(
        default=False, description="the first name that fits 64 characters becomes the subject's common name"
    )
    include_subject_key_identifier: bool = True
    policies: list[Annotated[str, AfterValidator(_oid)]] = Field(
        default=[], max_length=8, description="object identifiers for the certificatePolicies extension"
    )
    crl_url: Annotated[str, AfterValidator(_url)] | None = Field(
        default=None, description='where the CRL is; absent: this server\'s own; "": not told'
    )
    aia_url: Annotated[str, AfterValidator(_url)] | None = Field(
        default=None, description="where the issuer's certificate is; absent: this server's own; \"\": not told"
    )
    lint: LintSettings = LintSettings()

    @model_validator(mode="after")
    def _check_uniqueness(self) -> Self:
        for field in ("usages", "keys", "policies"):
            values = getattr(self, field)
            if len(set(values)) != len(values):
                raise ValueError(f"{field} has an entry twice; remove one")
        if self.backdate % SECOND or self.validity % SECOND:
            raise ValueError("validity and backdate are whole seconds")
        return self


class LocalAuthoritySettings(Settings):
    """An issuing CA whose key this server holds. Name constraints and path length are in its certificate."""

    kind: Literal["local"]
    certificate: Path = Field(description="PEM: the issuing certificate; others of its chain may follow")
    chain: Path | None = Field(default=None, description="PEM: the rest of the chain up to its root, in any order")
    key: Path = Field(description="PEM: PKCS#8, encrypted or readable by the server's user only")
    passphrase_file: Path | None = Field(default=None, description="a file that holds the key's passphrase")
    passphrase_env: str | None = Field(default=None, description="an environment variable that holds the passphrase")
    alternates: list[Path] = Field(
        default=[], max_length=8, description="PEM: further chains, each from a cross-signed issuing certificate upward"
    )
    serve_root: bool = Field(default=False, description="end the chains that clients get with the root certificate")
    crl_lifetime: Duration = Field(default=7 * DAY, ge=MINUTE, le=366 * DAY, description="nextUpdate after thisUpdate")

    @model_validator(mode="after")
    def _check_passphrase(self) -> Self:
        if self.passphrase_file is not None and self.passphrase_env is not None:
            raise ValueError("passphrase_file and passphrase_env exclude each other; keep one")
        return self


AuthoritySettings = LocalAuthoritySettings
"""Every kind of authority; a second one makes this `Annotated[A | B, Field(discriminator="kind")]`."""
