"""Orders: newOrder, fetch, finalize (RFC 8555 §7.4, RFC 9444 §4.3, RFC 9773 §5, draft-ietf-acme-profiles)."""

from typing import Final

import msgspec

from acme_ra.acme.http.answer import Answer
from acme_ra.acme.rendering import render_order
from acme_ra.acme.signed import SignedRequest
from acme_ra.acme.site import Site
from acme_ra.acme.wire import decode_segment
from acme_ra.core.objects import Order
from acme_ra.core.status import OrderStatus
from acme_ra.registration.orders import NewOrder


class OrderIdentifier(msgspec.Struct, frozen=True, rename="camel"):
    type: str
    value: str
    ancestor_domain: str | None = None


class NewOrderPayload(msgspec.Struct, frozen=True, rename="camel"):
    """The payload of newOrder (RFC 8555 §7.4)."""

    identifiers: tuple[OrderIdentifier, ...]
    not_before: str | None = None
    not_after: str | None = None
    profile: str | None = None
    replaces: str | None = None


class FinalizePayload(msgspec.Struct, frozen=True):
    csr: str


#: The states in which asking again soon makes sense: after an action, and for who fetches the order to see its state.
_WORKING: Final = (OrderStatus.PROCESSING,)
_POLLED: Final = (OrderStatus.PENDING, OrderStatus.PROCESSING)


def order_answer(site: Site, order: Order, *, status: int = 200, waiting: tuple[OrderStatus, ...] = _WORKING) -> Answer:
    """An order with its URL in Location: finalize's answer needs it too, or clients lose sight of the order."""
    return site.answer(
        render_order(site.urls, order),
        status=status,
        location=site.urls.order(site.name, order.resource_id),
        retry_after=site.settings.poll_seconds if order.status in waiting else 0,
    )


async def new_order(signed: SignedRequest) -> Answer:
    site, payload = signed.site, signed.read(NewOrderPayload)
    wanted = NewOrder(
        identifiers=tuple((each.type, each.value) for each in payload.identifiers),
        ancestors={each.value: each.ancestor_domain for each in payload.identifiers if each.ancestor_domain},
        not_before=payload.not_before or None,
        not_after=payload.not_after or None,
        profile=payload.profile,
        replaces=payload.replaces,
    )
    return order_answer(site, await site.registration.orders.create(signed.account, wanted), status=201)


async def order(signed: SignedRequest) -> Answer:
    signed.expect_post_as_get()
    site = signed.site
    fetched = await site.registration.orders.fetch(signed.account, signed.parameters["order"])
    return order_answer(site, fetched, waiting=_POLLED)


async def finalize(signed: SignedRequest) -> Answer:
    site, payload = signed.site, signed.read(FinalizePayload)
    csr = decode_segment(payload.csr, field="the payload's csr")
    finalizer = site.registration.finalizer
    return order_answer(site, await finalizer.finalize(signed.account, signed.parameters["order"], csr))
