"""Settings of the protocol's edge: caps, throttling, and how soon clients are asked to come back."""

from pydantic import Field

from acme_ra.core.clock import SECOND
from acme_ra.core.settings import Duration, Settings


class AcmeSettings(Settings):
    """Limits are per worker process; 0 switches a limit off."""

    max_body: int = Field(default=64 * 1024, ge=1024, le=1024 * 1024, description="bytes of a request; more is a 413")
    body_timeout: Duration = Field(default=10 * SECOND, description="how long a request's body may take to arrive")
    in_flight_total: int = Field(default=4096, ge=0, description="requests at once; more are answered 503")
    in_flight_per_address: int = Field(default=1024, ge=0, description="requests at once from one address")
    in_flight_per_account: int = Field(default=512, ge=0, description="requests at once of one account")
    requests_per_second_per_address: int = Field(default=0, ge=0, description="sustained; twice that in one burst")
    requests_per_second_per_account: int = Field(default=0, ge=0, description="sustained; twice that in one burst")
    throttle_retry_after: Duration = Field(default=5 * SECOND, description="Retry-After of a throttled request")
    poll_interval: Duration = Field(
        default=1 * SECOND, description="Retry-After of what is being processed; rounded up to whole seconds"
    )

    @property
    def poll_seconds(self) -> int:
        return max(1, -(-self.poll_interval // SECOND))

    @property
    def throttle_seconds(self) -> int:
        return max(1, -(-self.throttle_retry_after // SECOND))
