"""A state machine over orders: whatever clients do in whatever order, invariants 1 to 5 of the design hold."""

import asyncio
import tempfile
from collections import deque
from pathlib import Path

import hypothesis.strategies as st
import msgspec
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from acme_ra.core.clock import DAY, MINUTE
from acme_ra.core.events import StoredEvent
from acme_ra.core.objects import Order
from acme_ra.core.problems import ConnectionFailed, Problem
from acme_ra.core.status import ORDER_MOVES, OrderStatus
from acme_ra.issuance.contract import AuthorityUnavailable
from acme_ra.registration.accounts import Requester
from acme_ra.registration.approving import Decided, Person
from acme_ra.storage.contract import Conflict, EventFilter
from tests.support.ra import POLICIES, RA, FakeClock, make_ra
from tests.support.stores import open_test_store

VARIANTS = {
    "plain": POLICIES,
    "strict": POLICIES.replace("challenges: none", "challenges: [dns-01]"),
    "people": POLICIES.replace("challenges: none", "challenges: none, approval: security"),
}
INTERNAL = ["web.shop.svc", "api.shop.svc", "*.shop.svc"]
PUBLIC = ["a.example.test", "b.example.test", "*.c.example.test"]
SELDOM = st.sampled_from([False, False, False, True])
#: Mostly what one grant gives to one of the two.
NAMED = st.one_of(
    *(
        st.lists(st.sampled_from(names), min_size=1, max_size=3)
        for names in (INTERNAL, PUBLIC, [*INTERNAL, *PUBLIC, "pay.pay.svc"])
    )
)


class OrderMachine(RuleBasedStateMachine):
    """Rules act as clients, operators and failures; invariants look at the store and the audit log."""

    orders = Bundle("orders")

    @initialize(kind=st.sampled_from(sorted(VARIANTS)))
    def start(self, kind: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name)
        clock = FakeClock(1_800_000_000_000)
        self.store = self.run(open_test_store(path, clock))
        self.ra: RA = self.run(make_ra(path, self.store, clock))
        self.people: list[Requester] = [self.run(self.ra.requester("shop")), self.run(self.ra.requester("pay"))]
        self.seen: dict[int, OrderStatus] = {}
        self.handed_out: dict[int, str] = {}
        self.asking: set[str] = set()  # digests of policy sets that ask people about internal names
        self.use(kind)

    def run(self, awaitable):  # type: ignore[no-untyped-def]
        return self.loop.run_until_complete(awaitable)

    @rule(target=orders, who=st.sampled_from([0, 0, 1]), names=NAMED)
    def new_order(self, who: int, names: list[str]) -> object:
        """Those that are refused at once are no orders."""
        try:
            return who, self.run(self.ra.order(self.people[who], *names))
        except Problem:
            return multiple()

    @rule(order=orders, fail=SELDOM)
    def respond(self, order: tuple[int, Order], fail: bool) -> None:
        who, placed = order
        if fail:
            for identifier in placed.identifiers:
                self.ra.validation.outcomes[identifier.base] = deque([ConnectionFailed("down")] * 3)
        try:
            self.run(self.ra.prove(self.people[who], placed))
        except Problem:
            return
        finally:
            self.ra.validation.outcomes.clear()

    @rule(order=orders, stranger=SELDOM, away=SELDOM, times=st.integers(1, 3))
    def finalize(self, order: tuple[int, Order], stranger: bool, away: bool, times: int) -> None:
        owner, placed = order
        who = 1 - owner if stranger else owner
        self.ra.authority.failures = deque([AuthorityUnavailable("away")] if away else [])
        csr = self.ra.csr(placed)

        async def race() -> list[object]:
            tries = (self.ra.finalize(self.people[who], placed, csr) for _ in range(times))
            return await asyncio.gather(*tries, return_exceptions=True)

        for answer in self.run(race()):
            assert isinstance(answer, Order | Problem), answer
            if isinstance(answer, Order):
                assert who == owner
                if answer.certificate:
                    assert self.handed_out.setdefault(answer.id, answer.certificate) == answer.certificate
        self.ra.authority.failures.clear()

    @rule(order=orders, which=st.integers(0, 2))
    def deactivate(self, order: tuple[int, Order], which: int) -> None:
        if which >= len(order[1].authorizations):
            return
        try:
            self.run(self.ra.authorizations.deactivate(self.people[order[0]], order[1].authorizations[which]))
        except Problem:
            return

    @rule(forward=st.sampled_from([MINUTE, MINUTE, DAY, 8 * DAY]))
    def time_passes(self, forward: int) -> None:
        self.ra.clock.advance(forward)
        self.run(self.ra.worker.round())

    @rule(kind=st.sampled_from(sorted(VARIANTS)))
    def policy_changes(self, kind: str) -> None:
        self.use(kind)

    def use(self, kind: str) -> None:
        self.ra.change_policy(VARIANTS[kind])
        if kind == "people":
            self.asking.add(self.ra.policy.digest)

    @rule(
        order=orders,
        verb=st.sampled_from(["approve", "approve", "reject"]),
        who=st.sampled_from(["anna", "anna", "mallory"]),
        any_order=SELDOM,
    )
    def decide(self, order: tuple[int, Order], verb: str, who: str, any_order: bool) -> None:
        """Somebody says yes or no, twice at the same moment, mostly about an order that waits."""
        waiting = self.run(self.store.overdue_approvals(self.ra.clock.now() + 30 * DAY, 1))
        order_id = waiting[0].order_id if waiting and not any_order else order[1].id
        act = getattr(self.ra.approvers, verb)

        async def race() -> list[object]:
            tries = (act(order_id, Person(who), reason="because") for _ in range(2))
            return await asyncio.gather(*tries, return_exceptions=True)

        answers = self.run(race())
        assert all(isinstance(one, Decided | Problem | Conflict) for one in answers), answers
        decided = [one for one in answers if isinstance(one, Decided)]
        assert len(decided) <= (who == "anna")

    @rule(order=orders)
    def look(self, order: tuple[int, Order]) -> None:
        try:
            self.run(self.ra.orders.fetch(self.people[order[0]], order[1].resource_id))
        except Problem:
            return

    @invariant()
    def statuses_only_move_forward(self) -> None:
        if not hasattr(self, "ra"):
            return
        for row in list(self.seen) or range(1, 2):
            order = self.run(self.store.order(row))
            if order is not None:
                before = self.seen.get(row, order.status)
                assert order.status == before or _reachable(before, order.status), (before, order.status)
                self.seen[row] = order.status
        newest = max(self.seen, default=0) + 1
        while (order := self.run(self.store.order(newest))) is not None:
            self.seen[newest] = order.status
            newest += 1

    @invariant()
    def every_signature_was_allowed_intended_and_is_unique(self) -> None:
        if not hasattr(self, "ra"):
            return

        async def events() -> list[tuple[str, int | None, str]]:
            found = self.store.events(EventFilter())
            return [(e.record.kind, e.record.order_id, e.record.serial) async for e in found]

        log = self.run(events())
        issued = [entry for entry in log if entry[0] == "certificate.issued"]
        assert len({order for _, order, _ in issued}) == len(issued)
        for _, order, serial in issued:
            position = log.index(("certificate.issued", order, serial))
            assert ("decision.allowed", order, serial) in log[:position]
            assert ("certificate.intended", order, serial) in log[:position]
        intended = {serial for kind, _, serial in log if kind == "certificate.intended"}
        assert {call.certificate.serial for call in self.ra.authority.calls} <= intended

    @invariant()
    def what_people_are_asked_about_is_issued_after_their_yes_only(self) -> None:
        if not hasattr(self, "ra"):
            return

        async def events() -> list[StoredEvent]:
            return [one async for one in self.store.events(EventFilter())]

        granted: set[int | None] = set()
        refused: set[int | None] = set()
        for event in self.run(events()):
            record = event.record
            if record.kind == "approval.granted":
                granted.add(record.order_id)
            elif record.kind in ("approval.rejected", "approval.expired"):
                refused.add(record.order_id)
            elif record.kind == "decision.allowed":
                decision = msgspec.json.decode(record.body)["decision"]
                if decision["policy_digest"] in self.asking and decision["terms"]["grant"] == "shop-internal":
                    assert record.order_id in granted
                assert record.order_id not in refused
        assert not granted & refused

    def teardown(self) -> None:
        if hasattr(self, "ra"):
            self.run(self.ra.validations.close())
            self.run(self.ra.issuance.close())
            self.run(self.store.close())
            self.directory.cleanup()
            self.loop.close()


def _reachable(before: OrderStatus, after: OrderStatus) -> bool:
    frontier = set(ORDER_MOVES[before])
    for _ in range(3):
        frontier |= {move for status in frontier for move in ORDER_MOVES[status]}
    return after in frontier


TestOrderMachine = OrderMachine.TestCase
TestOrderMachine.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
