"""The registration authority: its parts, put together once by the composition root and handed to the edges."""

from collections.abc import Mapping
from dataclasses import dataclass

from acme_ra.core.clock import Clock
from acme_ra.core.urls import Urls
from acme_ra.registration.accounts import Accounts
from acme_ra.registration.authorizations import Authorizations
from acme_ra.registration.certificates import Certificates
from acme_ra.registration.directories import Directory
from acme_ra.registration.finalize import Finalizer
from acme_ra.registration.orders import Orders
from acme_ra.registration.renewal_info import RenewalInfo
from acme_ra.registration.revocation import Revocation


@dataclass(frozen=True, kw_only=True)
class RegistrationAuthority:
    """What the acme edge calls; each part raises core.problems.Problem only."""

    directories: Mapping[str, Directory]
    accounts: Accounts
    orders: Orders
    authorizations: Authorizations
    finalizer: Finalizer
    certificates: Certificates
    revocation: Revocation
    renewal_info: RenewalInfo
    urls: Urls
    clock: Clock
