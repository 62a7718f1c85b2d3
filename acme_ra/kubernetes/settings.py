"""Settings of clusters: where an API server is, and who acme-ra is to it."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from acme_ra.core.clock import SECOND
from acme_ra.core.settings import Duration, Settings


def _source(value: object) -> object:
    """`true` and `false` say the same."""
    return {True: "all", False: "none"}[value] if isinstance(value, bool) else value


PolicySource = Annotated[Literal["all", "namespaced", "none"], BeforeValidator(_source)]
"""Which policy resources of a cluster are applied."""


class ClusterSettings(Settings):
    """One cluster. Exactly one of `kubeconfig`, `in_cluster` and `server` says how it is reached."""

    kubeconfig: Path | None = Field(default=None, description="a kubeconfig file with a token or client certificate")
    context: str | None = Field(default=None, description="a context of the kubeconfig; absent: its current-context")
    in_cluster: bool = Field(default=False, description="this cluster runs acme-ra: use its pod's service account")
    server: str | None = Field(default=None, description="https://HOST:PORT of the API server, with token_file")
    ca_bundle: Path | None = Field(default=None, description="PEM of the API server's CA; absent: the system's")
    token_file: Path | None = Field(default=None, description="a bearer token, read again when it changes")
    events: bool = Field(default=False, description="write refusals as Events on the Certificate")
    policies: PolicySource = Field(
        default="none",
        description="all: ClusterIssuancePolicies, for this cluster's workloads, and IssuancePolicies; namespaced: the "
        "latter only; none",
    )
    timeout: Duration = Field(default=5 * SECOND, ge=100, le=60 * SECOND, description="for one call, queueing included")
    attribution_timeout: Duration = Field(
        default=10 * SECOND, ge=100, le=60 * SECOND, description="for all look-ups of one request"
    )
    max_concurrent: int = Field(default=32, ge=1, le=256, description="calls at one time, per worker; others wait")

    @model_validator(mode="after")
    def _check_one_way(self) -> Self:
        ways = [
            name
            for name, given in (
                ("kubeconfig", self.kubeconfig is not None),
                ("in_cluster", self.in_cluster),
                ("server", self.server is not None),
            )
            if given
        ]
        if len(ways) > 1:
            raise ValueError(f"has {' and '.join(ways)}; keep one of them")
        if not ways:
            raise ValueError("does not say how the cluster is reached; add kubeconfig, in_cluster: true, or server")
        self._check_companions(ways[0])
        return self

    def _check_companions(self, way: str) -> None:
        if self.context is not None and way != "kubeconfig":
            raise ValueError("has a context without a kubeconfig; remove it, or name the kubeconfig")
        if way != "server" and (self.ca_bundle is not None or self.token_file is not None):
            raise ValueError(f"has ca_bundle or token_file beside {way}; they belong to server, remove them")
        if way == "server" and self.token_file is None:
            raise ValueError("has a server without a token_file; add the file that holds the bearer token")
