"""What every resource needs: the registration authority, the directory it belongs to, and how answers are made."""

from typing import Final, Protocol

from acme_ra.acme.http.answer import Answer
from acme_ra.acme.limits import InFlight, Rate
from acme_ra.acme.nonces import NonceService
from acme_ra.acme.settings import AcmeSettings
from acme_ra.core.urls import Urls
from acme_ra.registration.authority import RegistrationAuthority
from acme_ra.registration.directories import Directory

JSON: Final = ("Content-Type", "application/json")


class RequestObserver(Protocol):
    """Counts one answered request. `problem` is an ACME error token, or ""; `seconds` is the time taken."""

    def __call__(self, route: str, method: str, status: int, problem: str, seconds: float) -> None: ...


class Limits:
    """All throttles of this process."""

    def __init__(self, settings: AcmeSettings) -> None:
        after = settings.throttle_seconds
        self.total = InFlight(settings.in_flight_total, what="all clients", retry_after=after)
        self.address = InFlight(settings.in_flight_per_address, what="your address", retry_after=after)
        self.account = InFlight(settings.in_flight_per_account, what="this account", retry_after=after)
        self.address_rate = Rate(settings.requests_per_second_per_address, what="your address", retry_after=after)
        self.account_rate = Rate(settings.requests_per_second_per_account, what="this account", retry_after=after)

    def enter_address(self, address: str) -> None:
        """Raises RateLimited; otherwise `leave_address` must follow."""
        self.address_rate.take(address)
        self.total.enter("")
        try:
            self.address.enter(address)
        except BaseException:
            self.total.leave("")
            raise

    def leave_address(self, address: str) -> None:
        self.address.leave(address)
        self.total.leave("")

    def enter_account(self, account: str) -> None:
        """Raises RateLimited; otherwise `self.account.leave` must follow."""
        self.account_rate.take(account)
        self.account.enter(account)


class Site:
    """One directory as the edge serves it."""

    def __init__(
        self,
        directory: Directory,
        *,
        registration: RegistrationAuthority,
        nonces: NonceService,
        settings: AcmeSettings,
        limits: Limits,
    ) -> None:
        self.directory = directory
        self.name = directory.name
        self.registration = registration
        self.nonces = nonces
        self.settings = settings
        self.limits = limits
        self.urls: Urls = registration.urls
        self.account_prefix = self.urls.account(directory.name, "")
        self.index = ("Link", link(self.urls.directory(directory.name), "index"))

    def answer(
        self,
        body: bytes,
        *,
        status: int = 200,
        content_type: tuple[str, str] = JSON,
        location: str = "",
        links: tuple[str, ...] = (),
        retry_after: int = 0,
    ) -> Answer:
        """An answer with `Link: rel="index"`; each of `links` is a header line of its own."""
        answer = Answer(body, content_type, self.index, status=status)
        if location:
            answer.add("Location", location)
        for value in links:
            answer.add("Link", value)
        if retry_after:
            answer.add("Retry-After", str(retry_after))
        return answer


def link(url: str, relation: str) -> str:
    """One value of a Link header (RFC 8288)."""
    return f'<{url}>;rel="{relation}"'
