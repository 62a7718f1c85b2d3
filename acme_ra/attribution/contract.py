"""What an attribution source is asked, and what it answers."""

from typing import Protocol

import msgspec

from acme_ra.core.identifiers import Identifier
from acme_ra.core.objects import Account, Credential, Order
from acme_ra.core.request import Workload


class AttributionQuery(msgspec.Struct, frozen=True):
    """What is known of a request: nothing in it was chosen by the requester but the order and the CSR."""

    directory: str
    account: Account
    credential: Credential | None  # the account's external account binding
    order: Order | None  # None at newOrder and newAuthz
    order_url: str
    csr: bytes | None  # at finalize
    account_url: str = ""
    clusters: tuple[str, ...] = ()  # that the directory is bound to; empty: those of its credentials


class AttributionSource(Protocol):
    """One way to learn the workload behind a request."""

    @property
    def name(self) -> str:
        """What `Workload.source` will say."""

    def concerns(self, query: AttributionQuery) -> bool:
        """Whether this is the source to ask. The first registered one that says so is asked, and no other."""

    async def attribute(self, query: AttributionQuery) -> tuple[Workload, ...] | None:
        """The workloads that the requester may speak for, at least one; policy is asked about each in turn.

        None: it cannot be known yet; asked again at the first authorization fetch and at finalize.
        Raises Unauthorized for a final refusal, which is told, and ServiceUnavailable when it cannot be looked up.
        """

    async def routes(self, workload: Workload, identifiers: tuple[Identifier, ...]) -> dict[str, str]:
        """What carries each name in the workload's own namespace: identifier value → `Ingress web`, or the like.

        `workload` is one that this source named. A name that nothing there carries is left out. Raises
        ServiceUnavailable when it cannot be looked up.
        """

    async def start(self) -> None:
        """Begin what runs beside the requests, in the loop that is running. Waits for nothing."""

    async def close(self) -> None:
        """End it."""


class StillSource:
    """A source that runs nothing beside the requests."""

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return
