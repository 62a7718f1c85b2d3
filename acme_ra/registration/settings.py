"""Settings of directories and of how long orders and authorizations live."""

from typing import Literal

from pydantic import Field

from acme_ra.core.clock import DAY, HOUR, MINUTE, SECOND
from acme_ra.core.settings import Duration, Network, Settings

ChallengeType = Literal["http-01", "dns-01", "tls-alpn-01"]


class DirectorySettings(Settings):
    """One ACME directory, served at /acme/NAME/directory."""

    authorities: list[str] = Field(min_length=1, description="authorities that may sign; the first is the default")
    profiles: dict[str, str] = Field(
        min_length=1, description="offered profile → what it is for; the first is the default"
    )
    policies: list[str] = Field(default=["*"], description="names of grants that apply, as globs; guards always hold")
    challenges: list[ChallengeType] = Field(default=["http-01", "dns-01", "tls-alpn-01"], min_length=1)
    external_account_required: bool = True
    clusters: list[str] = Field(
        default=[], description="the only clusters whose orders are served here; empty: those of the credentials"
    )
    terms_of_service: str | None = None
    website: str | None = None
    caa: Literal["off", "on", "required"] = "off"
    caa_identities: list[str] = []
    allowed_networks: list[Network] | None = Field(
        default=None,
        description="private networks that validation may connect to; instead of validation.allowed_networks",
    )


class OrderSettings(Settings):
    """Lifetimes and limits of what a client creates."""

    order_lifetime: Duration = 7 * DAY
    authorization_lifetime: Duration = 7 * DAY
    max_identifiers: int = Field(default=100, ge=1, le=100)
    pending_orders_per_account: int = Field(default=1000, ge=1)
    own_authorizations_per_account: int = Field(
        default=1000, ge=1, description="made by newAuthz and not ended; those of orders do not count"
    )
    inline_validation: Duration = Field(
        default=200, description="how long a challenge answer waits for a quick validation"
    )
    validations_per_account: int = Field(default=32, ge=1, description="attempts at one time, per worker; others wait")
    validation_attempts: int = Field(default=4, ge=1, le=20)
    validation_backoff: Duration = Field(default=1 * SECOND, description="before the second attempt; doubles each time")
    validation_backoff_limit: Duration = 5 * MINUTE
    finalize_timeout: Duration = Field(
        default=30 * SECOND, description="after which an unfinished signature is taken up again"
    )
    approval_timeout: Duration = Field(
        default=1 * DAY, description="how long an order waits for the approval that a policy asks for"
    )
    renewal_check_interval: Duration = Field(default=6 * HOUR, description="Retry-After of renewal information")
