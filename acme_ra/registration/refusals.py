"""Whoever wants to hear of refusals hears of them after they are durable; nobody waits for that."""

from typing import Protocol

from acme_ra.core.identifiers import Identifier, brief
from acme_ra.core.objects import Order
from acme_ra.core.problems import Problem, ServiceUnavailable
from acme_ra.core.refusals import RefusalNotice
from acme_ra.core.request import Workload


class RefusalListener(Protocol):
    """Somebody who is told of refusals."""

    def refused(self, notice: RefusalNotice) -> None:
        """Returns at once and never fails: the client's answer does not wait for it."""


class NoListener:
    """Nobody wants to know."""

    def refused(self, notice: RefusalNotice) -> None:
        return


def tell(
    listener: RefusalListener, workload: Workload | None, identifiers: tuple[Identifier, ...], problem: Problem
) -> None:
    """Pass a refusal on. What could not be evaluated is none, and one of an unknown workload concerns nobody."""
    if workload is not None and not isinstance(problem, ServiceUnavailable):
        names = tuple(identifier.value for identifier in identifiers)
        listener.refused(RefusalNotice(workload, names, problem.detail))


def tell_awaited(listener: RefusalListener, order: Order, awaited: str) -> None:
    """Pass on whom a pending order waits for: its client sees nothing but that it is pending."""
    if order.workload is not None:
        names = tuple(identifier.value for identifier in order.identifiers)
        detail = f"{brief(order.identifiers)}: {awaited}"
        listener.refused(RefusalNotice(order.workload, names, detail, awaited=True))
