"""Nobody approves for themselves, for another group, for another order, or by writing into the database."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from acme_ra.core.clock import DAY
from acme_ra.core.objects import Order
from acme_ra.core.problems import Malformed, NotFound, OrderNotReady, RejectedIdentifier, Unauthorized
from acme_ra.core.request import Workload
from acme_ra.core.status import AccountStatus, ApprovalStatus, OrderStatus
from acme_ra.registration.approvals import ApprovalSeal
from acme_ra.registration.approving import Person
from acme_ra.registration.deciding import identity
from acme_ra.storage.contract import Conflict
from tests.support.ra import POLICIES, RA, FakeSource

WAITING = POLICIES.replace("require: {challenges: none}", "require: {challenges: none, approval: security}")
ANNA, BEN, CARA = Person("anna"), Person("ben"), Person("cara")


@pytest.fixture
def waiting(ra: RA) -> RA:
    ra.change_policy(WAITING)
    return ra


@pytest.fixture
def edit(tmp_path: Path) -> Callable[..., None]:
    """Write to the database behind the server's back."""

    def change(statement: str, *values: object) -> None:
        connection = sqlite3.connect(tmp_path / "acme-ra.sqlite", timeout=10)
        with connection:
            assert connection.execute(statement, values).rowcount >= 1
        connection.close()

    return change


async def refused(ra: RA, who: Any, order: Order) -> None:
    """Finalize says no, for want of an approval, and the authority is never asked."""
    with pytest.raises(RejectedIdentifier, match="the approval of group security is needed"):
        await ra.finalize(who, order)
    assert ra.authority.calls == []


async def undecided(ra: RA, order: Order) -> None:
    stored = await ra.store.order(order.id)
    assert stored is not None
    assert stored.status == "pending"
    assert "approval.granted" not in await ra.kinds()


# Who may not.


@pytest.mark.parametrize(
    "contact", ["mailto:anna@example.com", "mailto:ANNA@example.com", "mailto:anna@other.example.org"]
)
async def test_a_contact_of_the_account_does_not_approve_its_order(waiting: RA, contact: str) -> None:
    shop = await waiting.requester("shop")
    await waiting.accounts.update_contacts(shop, (contact,))
    order = await waiting.order(shop, "web.shop.svc")

    with pytest.raises(Unauthorized, match="anna asked for order"):
        await waiting.approvers.approve(order.id, ANNA, reason="mine")

    await undecided(waiting, order)
    assert (await waiting.approvers.approve(order.id, BEN, reason="fine")).order.status == "ready"


@pytest.mark.parametrize("by", ["anna", "Anna", "anna@example.com", "oidc:anna", "https://idp.example.com#anna"])
async def test_who_made_the_certificate_request_does_not_approve_it(late: tuple[RA, FakeSource], by: str) -> None:
    """As the cluster tells it, whatever prefix its authentication gives to names."""
    ra, source = late
    ra.change_policy(WAITING)
    source.workloads = (Workload(source="fake", cluster="prod", namespace="shop", evidence={"requested_by": by}),)
    shop = await ra.requester("shop")
    order = await ra.order(shop, "web.shop.svc")
    await ra.prove(shop, order)

    with pytest.raises(Unauthorized, match="asked for order"):
        await ra.approvers.approve(order.id, ANNA, reason="mine")
    await undecided(ra, order)


async def test_the_holder_of_the_credential_does_not_approve(waiting: RA, edit: Callable[..., None]) -> None:
    """A credential is named after the person or system that it was given to."""
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    edit("UPDATE credentials SET name = 'anna'")

    with pytest.raises(Unauthorized, match="anna asked for"):
        await waiting.approvers.approve(order.id, ANNA, reason="mine")


async def test_another_name_does_not_help_the_requester(waiting: RA) -> None:
    """`--as ben`, by a login that asked."""
    shop = await waiting.requester("shop")
    await waiting.accounts.update_contacts(shop, ("mailto:anna@example.com",))
    order = await waiting.order(shop, "web.shop.svc")

    with pytest.raises(Unauthorized, match="anna asked for"):
        await waiting.approvers.approve(order.id, Person("ben", login="anna"), reason="not mine")


async def test_an_approver_who_turns_out_to_be_the_requester_counts_for_nothing(waiting: RA) -> None:
    """A contact that was taken off for the moment of the approval; at finalize it is looked at again."""
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    await waiting.approvers.approve(order.id, ANNA, reason="mine, in truth")
    await waiting.accounts.update_contacts(shop, ("mailto:anna@example.com",))
    shop = await waiting.accounts.authenticate(shop.directory, shop.account.resource_id)

    await refused(waiting, shop, order)


@pytest.mark.parametrize("name", ["cara", "mallory", "", "security", "anna@example.com", " anna"])
async def test_only_people_of_the_group_decide(waiting: RA, name: str) -> None:
    """cara leads another group; a group's own name is nobody."""
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")

    for act in (waiting.approvers.approve, waiting.approvers.reject):
        with pytest.raises(Unauthorized, match="is not in group security"):
            await act(order.id, Person(name), reason="let me")
    await undecided(waiting, order)


async def test_a_group_that_was_taken_out_of_the_settings_has_nobody(waiting: RA) -> None:
    from acme_ra.registration.approving import Approvers

    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    seal = ApprovalSeal(waiting.sealer.derive("order-approval"))
    empty = Approvers(store=waiting.store, clock=waiting.clock, seal=seal, groups={})

    with pytest.raises(Unauthorized):
        await empty.approve(order.id, ANNA, reason="fine")


@pytest.mark.parametrize("reason", ["", "   ", "x" * 301, "two\nlines", "\x1b[31mred", "nul\x00"])
async def test_a_decision_has_a_reason_that_can_be_shown(waiting: RA, reason: str) -> None:
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")

    for act in (waiting.approvers.approve, waiting.approvers.reject):
        with pytest.raises(Malformed):
            await act(order.id, ANNA, reason=reason)
    await undecided(waiting, order)


# What may not be approved.


async def test_nothing_is_approved_after_its_time(waiting: RA) -> None:
    """Even if nobody has written down that it ended."""
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    waiting.clock.advance(DAY)

    with pytest.raises(OrderNotReady, match="was to be decided until"):
        await waiting.approvers.approve(order.id, ANNA, reason="late")
    with pytest.raises(OrderNotReady):
        await waiting.finalize(shop, order)


async def test_what_was_rejected_is_not_approved(waiting: RA) -> None:
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    await waiting.approvers.reject(order.id, BEN, reason="no")

    with pytest.raises(OrderNotReady, match="ben rejected it: no"):
        await waiting.approvers.approve(order.id, ANNA, reason="yes")
    with pytest.raises(NotFound):
        await waiting.approvers.approve(order.id + 100, ANNA, reason="yes")


async def test_an_account_that_may_not_act_is_not_approved(waiting: RA) -> None:
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    await waiting.store.transact(
        lambda tx: tx.move_account(shop.account.id, expected=AccountStatus.VALID, to=AccountStatus.DEACTIVATED)
    )

    with pytest.raises(Unauthorized, match="is deactivated"):
        await waiting.approvers.approve(order.id, ANNA, reason="fine")


async def test_a_disabled_credential_is_not_approved(waiting: RA) -> None:
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    assert shop.credential is not None
    kid = shop.credential.kid
    await waiting.store.transact(lambda tx: tx.disable_credential(kid, now=waiting.clock.now()))

    with pytest.raises(Unauthorized, match="was disabled"):
        await waiting.approvers.approve(order.id, ANNA, reason="fine")


# Impatience, races.


async def test_an_impatient_client_is_told_to_wait(waiting: RA) -> None:
    """orderNotReady, with whom it waits for; the order goes on waiting, and is not spent."""
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")

    with pytest.raises(
        OrderNotReady, match=r"waits for the approval of group security \(policy shop-internal\), until"
    ):
        await waiting.finalize(shop, order)

    await undecided(waiting, order)
    await waiting.approvers.approve(order.id, ANNA, reason="fine")
    assert (await waiting.finalize(shop, order)).status == "valid"


async def test_approving_and_rejecting_at_once_has_one_outcome(waiting: RA) -> None:
    """Whoever is second is told so; the order, its approval and the audit log agree."""
    shop = await waiting.requester("shop")
    for name in ("a", "b", "c", "d", "e"):
        order = await waiting.order(shop, f"{name}.shop.svc")

        answers = await asyncio.gather(
            waiting.approvers.approve(order.id, ANNA, reason="yes"),
            waiting.approvers.reject(order.id, BEN, reason="no"),
            waiting.approvers.approve(order.id, BEN, reason="yes"),
            waiting.approvers.approve(order.id, ANNA, reason="yes"),
            return_exceptions=True,
        )

        won = [one for one in answers if not isinstance(one, BaseException)]
        assert len(won) == 1
        assert all(isinstance(one, OrderNotReady | Conflict) for one in answers if one not in won)
        stored = await waiting.store.order(order.id)
        assert stored is not None
        (approval,) = await waiting.store.approvals(order.id)
        assert (stored.status, approval.status) in {("ready", "granted"), ("invalid", "rejected")}
    kinds = await waiting.kinds()
    assert kinds.count("approval.granted") + kinds.count("approval.rejected") == 5


async def test_a_double_approval_is_one(waiting: RA) -> None:
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    await waiting.approvers.approve(order.id, ANNA, reason="first")

    with pytest.raises(OrderNotReady, match="anna granted it: first"):
        await waiting.approvers.approve(order.id, BEN, reason="second")

    (approval,) = await waiting.store.approvals(order.id)
    assert (approval.decided_by, approval.reason) == ("anna", "first")


async def test_a_namespace_that_was_taken_away_makes_an_approval_worthless(
    waiting: RA, rebind: Callable[[str, str], None]
) -> None:
    """Approved for shop; the account speaks for pay now."""
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    await waiting.approvers.approve(order.id, ANNA, reason="fine")
    assert shop.credential is not None
    rebind(shop.credential.kid, "pay")
    shop = await waiting.accounts.authenticate(shop.directory, shop.account.resource_id)

    with pytest.raises(Unauthorized):
        await waiting.finalize(shop, order)
    assert waiting.authority.calls == []


async def test_a_guard_asks_whatever_the_grant_waives(ra: RA) -> None:
    """The grant asks nobody and needs no proof; the guard's group is asked all the same."""
    guard = (
        "---\nkind: ClusterIssuancePolicy\nmetadata: {name: g}\nspec: {effect: guard, require: {approval: security}}"
    )
    ra.change_policy(f"{POLICIES}{guard}\n")
    shop = await ra.requester("shop")
    order = await ra.order(shop, "web.shop.svc")
    assert order.status == "pending"

    with pytest.raises(OrderNotReady):
        await ra.finalize(shop, order)


# Whoever can write the database.


FORGED = "UPDATE approvals SET status = 'granted', decided_by = 'anna', decided_at = 1, reason = 'x', seal = ?"


@pytest.mark.parametrize("seal", [None, b"", b"\0" * 32, b"x" * 31])
async def test_a_row_without_a_true_seal_grants_nothing(
    waiting: RA, edit: Callable[..., None], seal: bytes | None
) -> None:
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    edit(FORGED, seal)
    edit("UPDATE orders SET status = 'ready'")

    await refused(waiting, shop, order)


async def test_taking_the_rows_away_grants_nothing(waiting: RA, edit: Callable[..., None]) -> None:
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    edit("DELETE FROM approvals")
    edit("UPDATE orders SET status = 'ready'")

    await refused(waiting, shop, order)


async def test_a_seal_of_another_key_grants_nothing(waiting: RA, edit: Callable[..., None]) -> None:
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    edit(FORGED, b"-")
    (row,) = await waiting.store.approvals(order.id)
    whose = identity(shop.account.id, shop.credential, order.workload)
    edit("UPDATE approvals SET seal = ?", ApprovalSeal(b"k" * 32).of(order, row, identity=whose))
    edit("UPDATE orders SET status = 'ready'")

    await refused(waiting, shop, order)


async def test_an_approval_is_not_replayed_to_another_order(waiting: RA, edit: Callable[..., None]) -> None:
    """The same account, policy and names: still another order."""
    shop = await waiting.requester("shop")
    approved = await waiting.order(shop, "web.shop.svc")
    other = await waiting.order(shop, "web.shop.svc")
    await waiting.approvers.approve(approved.id, ANNA, reason="fine")
    edit("DELETE FROM approvals WHERE order_id = ?", other.id)
    edit("UPDATE approvals SET order_id = ? WHERE order_id = ?", other.id, approved.id)
    edit("UPDATE orders SET status = 'ready' WHERE id = ?", other.id)

    await refused(waiting, shop, other)


@pytest.mark.parametrize(
    "change",
    [
        "decided_by = 'ben'",
        "reason = 'something else'",
        "decided_at = decided_at + 1",
        "expires_at = expires_at + 1",
        "asked_at = asked_at - 1",
        "seal = cast(substr(seal, 1, 31) AS BLOB)",
    ],
)
async def test_a_changed_approval_is_none(waiting: RA, edit: Callable[..., None], change: str) -> None:
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    await waiting.approvers.approve(order.id, ANNA, reason="fine")
    edit(f"UPDATE approvals SET {change}")

    await refused(waiting, shop, order)


async def test_an_approval_does_not_outlive_its_order(waiting: RA, edit: Callable[..., None]) -> None:
    """An order that was approved once, given a longer life in the database."""
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    await waiting.approvers.approve(order.id, ANNA, reason="fine")
    edit("UPDATE orders SET expires_at = expires_at + 1000 WHERE id = ?", order.id)

    await refused(waiting, shop, order)


@pytest.mark.parametrize("policy", ["other", "public-names"])
async def test_an_approval_is_not_given_to_another_policy(waiting: RA, edit: Callable[..., None], policy: str) -> None:
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    await waiting.approvers.approve(order.id, ANNA, reason="fine")
    edit("UPDATE approvals SET policy = ?", policy)

    await refused(waiting, shop, order)


async def test_what_was_approved_cannot_be_renamed(waiting: RA, edit: Callable[..., None]) -> None:
    """Other names, of the order and of its authorization, under the approval of the first ones."""
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")
    await waiting.approvers.approve(order.id, ANNA, reason="fine")
    edit("UPDATE orders SET identifiers = replace(identifiers, 'web.', 'api.')")
    edit("UPDATE authorizations SET identifier = replace(identifier, 'web.', 'api.')")
    renamed = await waiting.store.order(order.id)
    assert renamed is not None
    assert renamed.identifiers[0].value == "api.shop.svc"

    await refused(waiting, shop, renamed)


async def test_the_store_makes_no_order_ready_that_waits(waiting: RA) -> None:
    """Whatever code above it forgets."""
    shop = await waiting.requester("shop")
    order = await waiting.order(shop, "web.shop.svc")

    with pytest.raises(Conflict, match="waits for an approval"):
        await waiting.store.transact(
            lambda tx: tx.move_order(order.id, expected=OrderStatus.PENDING, to=OrderStatus.READY)
        )


def test_only_a_granted_approval_of_this_order_can_hold() -> None:
    """A seal over a rejection, or carried to an object of another order, is never taken for a grant."""
    from acme_ra.core.objects import OrderApproval

    seal = ApprovalSeal(b"k" * 32)
    order = Order(1, "s" * 16, "d", 1, OrderStatus.PENDING, (), (), None, None, "", "", None, 0, 1)
    rejected = OrderApproval(1, "p", "g", ApprovalStatus.REJECTED, 0, 1, 0, "anna", "no")
    granted = msgspec.structs.replace(rejected, status=ApprovalStatus.GRANTED)

    assert not seal.holds(
        order, msgspec.structs.replace(rejected, seal=seal.of(order, rejected, identity="i")), identity="i"
    )
    sealed = msgspec.structs.replace(granted, seal=seal.of(order, granted, identity="i"))
    assert seal.holds(order, sealed, identity="i")
    assert not seal.holds(order, sealed, identity="j")
    assert not seal.holds(order, msgspec.structs.replace(sealed, order_id=2), identity="i")
    assert not seal.holds(msgspec.structs.replace(order, id=2), sealed, identity="i")
    with pytest.raises(ValueError, match="32 bytes"):
        ApprovalSeal(b"short")
