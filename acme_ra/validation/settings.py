"""Settings of validation: which resolver, which ports, which networks, and how long (RFC 8555 §8)."""

from typing import Annotated

from pydantic import AfterValidator, Field

from acme_ra.core.clock import SECOND
from acme_ra.core.settings import Duration, Network, Settings
from acme_ra.validation.servers import parse_server

Port = Annotated[int, Field(ge=1, le=65535)]


def _checked_server(text: str) -> str:
    parse_server(text)
    return text


class ValidationSettings(Settings):
    """How control of a name or address is checked. The ports are 80 and 443 on the Internet (RFC 8555 §8.3)."""

    resolvers: list[Annotated[str, AfterValidator(_checked_server)]] = Field(
        default=[],
        description="recursive resolvers, ADDRESS:PORT, asked in this order; empty: the system's from /etc/resolv.conf",
    )
    http_port: Port = Field(default=80, description="where http-01 connects to")
    https_port: Port = Field(default=443, description="where redirects to https lead")
    tls_alpn_port: Port = Field(default=443, description="where tls-alpn-01 connects to")
    allowed_networks: list[Network] = Field(
        default=[], description="private networks that validation may connect to; everything public is allowed"
    )
    timeout: Duration = Field(default=10 * SECOND, ge=100, description="for one attempt, look-ups included")
    dns_timeout: Duration = Field(default=5 * SECOND, ge=100, description="for one look-up, repetitions included")
    max_redirects: int = Field(default=10, ge=0, le=10)
    max_body: int = Field(default=4096, ge=256, le=65536, description="bytes read of an http-01 answer")
    max_header: int = Field(default=16384, ge=1024, le=65536, description="bytes of header read of an http-01 answer")
    max_concurrent: int = Field(default=256, ge=1, description="validations at one time; others wait")
    caa_timeout: Duration = Field(default=15 * SECOND, ge=100, description="for all CAA look-ups of one request")
