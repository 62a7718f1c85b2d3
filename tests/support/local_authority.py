"""A local authority for in-process tests: real keys and certificates, a linter that finds nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from acme_ra.core.clock import Clock
from acme_ra.core.urls import Urls
from acme_ra.issuance.contract import Authority
from acme_ra.issuance.lint import LintFinding
from acme_ra.issuance.profiles import Profile
from acme_ra.issuance.registry import open_authority
from acme_ra.issuance.service import CertificateAuthority
from acme_ra.issuance.settings import LocalAuthoritySettings, ProfileSettings
from acme_ra.issuance.setup import NewAuthority, init_authority

if TYPE_CHECKING:
    T = TypeVar("T", bound=Authority)
else:
    T = TypeVar("T")

PASSPHRASE = b"test passphrase"


class QuietLinter:
    """The linter's contract, for tests that are not about linting."""

    async def start(self) -> None:
        return None

    async def findings(self, certificate: bytes) -> tuple[LintFinding, ...]:
        return ()

    async def close(self) -> None:
        return None


def make_issuance(path: Path, clock: Clock, wrap: Callable[[Authority], T]) -> tuple[CertificateAuthority, T]:
    """A new root and intermediate under `path`; the authority is wrapped, so that a test can see its calls."""
    folder = path / "ca"
    folder.mkdir()
    files = init_authority(NewAuthority(directory=folder), passphrase=PASSPHRASE, now=clock.now())
    secret = folder / "passphrase"
    secret.write_bytes(PASSPHRASE)
    secret.chmod(0o600)
    profiles = {
        "default": Profile("default", ProfileSettings()),
        "short": Profile("short", ProfileSettings(validity="6d")),  # type: ignore[arg-type]
    }
    settings = LocalAuthoritySettings(
        kind="local", certificate=files.certificate, key=files.key, passphrase_file=secret
    )
    inner = open_authority("intermediate", settings, profiles=profiles, urls=Urls("https://ra.test"))
    authority = wrap(inner)
    issuance = CertificateAuthority(
        authorities={"intermediate": authority},
        profiles=profiles,
        linter=QuietLinter(),  # type: ignore[arg-type]
    )
    return issuance, authority
