"""From a cluster's settings to a connection: the server's URL, its CA, and who acme-ra is to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from acme_ra.kubernetes.credentials import Material, Tls, Token
from acme_ra.kubernetes.errors import ClusterMisconfigured
from acme_ra.kubernetes.kubeconfig import read_kubeconfig
from acme_ra.kubernetes.settings import ClusterSettings

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How to reach one API server. `server` has no final slash; `server_name` is what its certificate must name."""

    server: str
    tls: Tls
    token: Token | None
    server_name: str | None = None


def open_connection(
    settings: ClusterSettings, environment: Mapping[str, str], *, service_account: Path = SERVICE_ACCOUNT
) -> Connection:
    """Read everything once, so that what is wrong is told at the start. Raises ClusterMisconfigured."""
    if settings.kubeconfig is not None:
        user = read_kubeconfig(settings.kubeconfig, settings.context)
        made = Connection(
            server=check_server(user.server, f"{settings.kubeconfig}: server"),
            tls=Tls(ca=user.ca, certificate=user.certificate, key=user.key),
            token=None if user.token is None else Token(user.token),
            server_name=user.server_name,
        )
    elif settings.in_cluster:
        made = _in_cluster(environment, service_account)
    else:
        assert settings.server is not None
        assert settings.token_file is not None
        ca = None if settings.ca_bundle is None else Material(path=settings.ca_bundle)
        made = Connection(
            server=check_server(settings.server, "server"),
            tls=Tls(ca=ca),
            token=Token(Material(path=settings.token_file)),
        )
    made.tls.context()
    if made.token is not None:
        made.token.value()
    return made


def check_server(text: str, what: str) -> str:
    """An https URL, perhaps with a path (a proxy for several clusters). Raises ClusterMisconfigured."""
    try:
        parts = urlsplit(text)
        known = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known or parts.scheme != "https" or parts.query or parts.fragment or parts.username:
        raise ClusterMisconfigured(f"{what} {text!r} is no https URL; write it like https://10.0.0.1:6443")
    return text.rstrip("/")


def _in_cluster(environment: Mapping[str, str], folder: Path) -> Connection:
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    port = environment.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise ClusterMisconfigured(
            "in_cluster is set, but KUBERNETES_SERVICE_HOST and _PORT are not: this is no pod; use kubeconfig or server"
        )
    return Connection(
        server=check_server(f"https://{f'[{host}]' if ':' in host else host}:{port}", "KUBERNETES_SERVICE_HOST"),
        tls=Tls(ca=Material(path=folder / "ca.crt")),
        token=Token(Material(path=folder / "token")),
    )
