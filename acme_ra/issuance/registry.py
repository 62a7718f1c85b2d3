"""Every kind of authority, one line each; docs/adding-an-authority.md says how to add one."""

from collections.abc import Callable, Mapping

from acme_ra.core.urls import Urls
from acme_ra.issuance.authorities.local import open_local
from acme_ra.issuance.contract import Authority
from acme_ra.issuance.profiles import Profile
from acme_ra.issuance.settings import AuthoritySettings

AUTHORITIES: dict[str, Callable[..., Authority]] = {
    "local": open_local,
}


def open_authority(name: str, settings: AuthoritySettings, *, profiles: Mapping[str, Profile], urls: Urls) -> Authority:
    """The authority of these settings. Raises AuthorityMisconfigured with the fix.

    `urls` says where this server publishes the authority's CRL and certificate, for profiles that name no place.
    """
    return AUTHORITIES[settings.kind](
        name,
        settings,
        profiles=profiles,
        crl_url=urls.authority_crl(name),
        certificate_url=urls.authority_certificate(name),
    )


def open_authorities(
    settings: Mapping[str, AuthoritySettings], *, profiles: Mapping[str, Profile], urls: Urls
) -> dict[str, Authority]:
    """All authorities of the configuration, by name. Raises AuthorityMisconfigured for the first that is wrong."""
    return {name: open_authority(name, one, profiles=profiles, urls=urls) for name, one in settings.items()}
