"""Every route of the edge, in one table (RFC 8555 §7.1). What is not here answers 404, another method 405."""

from collections.abc import Callable
from typing import Final, NamedTuple

from acme_ra.acme.dispatch import Endpoint, HTTPHandler, Table
from acme_ra.acme.endpoints import by_account, by_either, by_key, plain
from acme_ra.acme.resources import (
    account,
    authorization,
    certificate,
    challenge,
    directory,
    health,
    key_change,
    nonce,
    order,
    pki,
    renewal_info,
    revocation,
)
from acme_ra.acme.site import Site
from acme_ra.registration.authority import RegistrationAuthority


class Route(NamedTuple):
    """A route of a directory. `path` is relative to /acme/NAME/; core/urls.py makes the same paths."""

    name: str
    method: str
    path: str
    bind: Callable[[Site], HTTPHandler]


ROUTES: Final = (
    Route("directory", "GET", "directory", directory.bind_directory),
    Route("directory", "POST", "directory", by_account(directory.directory_by_post)),
    Route("newNonce", "GET", "new-nonce", plain(nonce.new_nonce)),
    Route("newNonce", "POST", "new-nonce", by_account(nonce.new_nonce_by_post)),
    Route("newAccount", "POST", "new-account", by_key(account.new_account)),
    Route("newOrder", "POST", "new-order", by_account(order.new_order)),
    Route("newAuthz", "POST", "new-authz", by_account(authorization.new_authz)),
    Route("revokeCert", "POST", "revoke-cert", by_either(revocation.revoke_cert)),
    Route("keyChange", "POST", "key-change", by_account(key_change.key_change)),
    Route("account", "POST", "account/{account}", by_account(account.account)),
    Route("orders", "POST", "account/{account}/orders", by_account(account.account_orders)),
    Route("order", "POST", "order/{order}", by_account(order.order)),
    Route("finalize", "POST", "order/{order}/finalize", by_account(order.finalize)),
    Route("authorization", "POST", "authz/{authorization}", by_account(authorization.authorization)),
    Route("challenge", "POST", "challenge/{authorization}/{challenge}", by_account(challenge.challenge)),
    Route("certificate", "POST", "cert/{certificate}", by_account(certificate.certificate)),
    Route("certificate", "POST", "cert/{certificate}/{alternate}", by_account(certificate.certificate)),
    Route("renewalInfo", "GET", "renewal-info/{certificate}", plain(renewal_info.renewal_info)),
)
#: Not throttled and not logged: somebody asks every few seconds.
HEALTH_ROUTES: Final = frozenset({"healthz", "readyz"})


def site_table(site: Site) -> Table:
    """A directory's routes, below /acme/NAME/."""
    return Table(Endpoint(route.name, route.method, route.path, route.bind(site)) for route in ROUTES)


def common_table(registration: RegistrationAuthority, *, ready: health.Readiness | None) -> Table:
    """The routes outside of any directory, below /."""
    certificate_of = pki.bind_authority_certificate(registration)
    crl_of = pki.bind_authority_crl(registration)
    return Table(
        (
            Endpoint("authorityCertificate", "GET", "ca/{authority}.cer", certificate_of),
            Endpoint("authorityCRL", "GET", "ca/{authority}.crl", crl_of),
            Endpoint("healthz", "GET", "healthz", health.healthz),
            Endpoint("readyz", "GET", "readyz", health.bind_readyz(ready)),
        )
    )
