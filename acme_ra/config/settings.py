"""The whole configuration file: the sections of the packages, composed, and those of the process itself."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from acme_ra.acme.settings import AcmeSettings
from acme_ra.core.clock import SECOND
from acme_ra.core.endpoint import Endpoint, EndpointText, parse_endpoint
from acme_ra.core.settings import Duration, Settings
from acme_ra.issuance.settings import AuthoritySettings, ProfileSettings
from acme_ra.kubernetes.settings import ClusterSettings
from acme_ra.registration.settings import DirectorySettings, OrderSettings
from acme_ra.storage.settings import StorageSettings
from acme_ra.telemetry import LoggingSettings, MetricsSettings
from acme_ra.validation.settings import ValidationSettings


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
        raise ValueError(f"{text!r} is not an https origin; write it like https://ra.example.com (RFC 8555 §6.1)")
    return text.rstrip("/")


Origin = Annotated[str, AfterValidator(_origin)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""What directories, authorities, profiles and clusters are called: it appears in URLs."""


Person = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x20\x7f]+$")]
"""A login, or what people are called with `--as`."""


class TLSSettings(Settings):
    """The server's own certificate (PEM, leaf first) and key; read again on SIGHUP."""

    certificate: Path
    key: Path


class ServerSettings(Settings):
    """The listener and its processes."""

    listen: EndpointText = Field(default="127.0.0.1:14000", description="HOST:PORT")
    external_url: Origin | None = Field(
        default=None, description="the origin that clients use; absent means https:// and the listener's address"
    )
    tls: TLSSettings
    workers: int = Field(default=0, ge=0, le=64, description="processes; 0 means one for each core but one, at most 4")
    shutdown_timeout: Duration = Field(default=10 * SECOND, description="how long requests may take to finish at stop")

    watch_files: Duration = Field(
        default=0, ge=0, description="how often to look for changed policy and TLS files; 0: they are read at SIGHUP"
    )

    @property
    def endpoint(self) -> Endpoint:
        return parse_endpoint(self.listen)


class SecretsSettings(Settings):
    key_file: Path = Field(description="32 random bytes in base64, readable by the server's user only")


class PoliciesSettings(Settings):
    path: Path = Field(description="a policy file, or a folder of *.yaml")


class Configuration(Settings):
    """One configuration file."""

    server: ServerSettings
    storage: StorageSettings
    secrets: SecretsSettings
    policies: PoliciesSettings
    logging: LoggingSettings = LoggingSettings()
    metrics: MetricsSettings = MetricsSettings()
    acme: AcmeSettings = AcmeSettings()
    validation: ValidationSettings = ValidationSettings()
    authorities: dict[Name, AuthoritySettings] = Field(min_length=1, description="NAME: {kind: local, …}")
    profiles: dict[Name, ProfileSettings] = Field(min_length=1, description="NAME: {validity: 90d, …}")
    directories: dict[Name, DirectorySettings] = Field(min_length=1, description="NAME: {authorities: […], …}")
    orders: OrderSettings = OrderSettings()
    clusters: dict[Name, ClusterSettings] = Field(
        default={}, description="Kubernetes clusters, NAME: {kubeconfig: …} or {in_cluster: true}"
    )
    approvers: dict[Name, Annotated[list[Person], Field(min_length=1)]] = Field(
        default={}, description="GROUP: [names]: who may approve orders where a policy has require.approval: GROUP"
    )
