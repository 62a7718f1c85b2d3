"""The Transaction contract, one move at a time: what it writes, and when it refuses."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from storage_world import (
    NOW,
    SECRET,
    add_account,
    add_authorization,
    add_certificate,
    add_credential,
    add_order,
    ari_id,
    claim,
    issue,
    record,
)

from acme_ra.core.clock import DAY
from acme_ra.core.objects import StoredError
from acme_ra.core.request import Workload
from acme_ra.core.status import ORDER_MOVES, AccountStatus, AuthorizationStatus, OrderStatus
from acme_ra.storage.contract import Conflict, Transaction
from acme_ra.storage.store import SQLiteStore


async def test_an_account_is_read_with_its_credential(store: SQLiteStore) -> None:
    """One look-up gives both, and the account is found by its key in its own directory only."""

    def register(tx: Transaction) -> Any:
        return add_account(tx, thumbprint="key", credential_id=add_credential(tx))

    account = await store.transact(register)

    found = await store.account(account.id)
    assert found is not None
    assert found[0] == account
    assert found[1] is not None
    assert found[1].kid == "kid-1"
    assert found[1].binding.namespaces == ("demo",)
    assert await store.account_by_key("internal", "key") == account
    assert await store.account_by_key("other", "key") is None
    assert await store.account(account.id + 1) is None


async def test_a_key_has_one_account_in_a_directory(store: SQLiteStore) -> None:
    await store.transact(lambda tx: add_account(tx, thumbprint="key"))

    with pytest.raises(Conflict, match="has an account"):
        await store.transact(lambda tx: add_account(tx, thumbprint="key"))


async def test_a_changed_key_is_found_and_the_old_one_is_free(store: SQLiteStore) -> None:
    """Key rollover is a compare-and-set on the old key, and refuses a key that is taken."""
    first = await store.transact(lambda tx: add_account(tx, thumbprint="one"))
    await store.transact(lambda tx: add_account(tx, thumbprint="two"))

    with pytest.raises(Conflict, match="has an account"):
        await store.transact(lambda tx: tx.change_key(first.id, expected="one", thumbprint="two", jwk=b"{}"))
    with pytest.raises(Conflict, match="changed meanwhile"):
        await store.transact(lambda tx: tx.change_key(first.id, expected="x", thumbprint="three", jwk=b"{}"))
    await store.transact(lambda tx: tx.change_key(first.id, expected="one", thumbprint="three", jwk=b"{}"))

    assert await store.account_by_key("internal", "one") is None
    found = await store.account_by_key("internal", "three")
    assert found is not None
    assert found.id == first.id


async def test_a_deactivated_account_changes_no_more(store: SQLiteStore) -> None:
    account = await store.transact(lambda tx: add_account(tx, thumbprint="one"))
    move: Callable[[Transaction], None] = lambda tx: tx.move_account(  # noqa: E731
        account.id, expected=AccountStatus.VALID, to=AccountStatus.DEACTIVATED
    )
    await store.transact(move)

    for refused in (
        move,
        lambda tx: tx.update_contacts(account.id, ()),
        lambda tx: tx.change_key(account.id, expected="one", thumbprint="two", jwk=b"{}"),
    ):
        with pytest.raises(Conflict):
            await store.transact(refused)


async def test_a_credential_counts_its_uses(store: SQLiteStore) -> None:
    """Used up, expired and disabled are each refused, and a rotation raises the generation."""
    row = await store.transact(lambda tx: add_credential(tx, max_uses=1))
    other = await store.transact(lambda tx: add_credential(tx, "kid-2"))
    await store.transact(lambda tx: tx.use_credential(row, now=NOW))
    await store.transact(lambda tx: tx.rotate_credential("kid-2", sealed_secret=b"new", now=NOW))
    rotated = await store.credential("kid-2")
    await store.transact(lambda tx: tx.disable_credential("kid-1", now=NOW))

    assert rotated is not None
    assert (rotated.generation, rotated.sealed_secret) == (2, b"new")
    for refused in (
        lambda tx: tx.use_credential(row, now=NOW),
        lambda tx: tx.use_credential(other, now=NOW + DAY),
        lambda tx: tx.use_credential(999, now=NOW),
        lambda tx: tx.disable_credential("kid-1", now=NOW),
        lambda tx: tx.rotate_credential("kid-1", sealed_secret=b"x", now=NOW),
        lambda tx: tx.rotate_credential("nobody", sealed_secret=b"x", now=NOW),
        lambda tx: add_credential(tx, "kid-1"),
    ):
        with pytest.raises(Conflict):
            await store.transact(refused)


async def test_an_order_is_read_as_it_was_written(store: SQLiteStore) -> None:
    order_id = await store.transact(lambda tx: add_order(tx, "a.example.test", "*.b.example.test", namespace="demo"))

    order = await store.order(order_id)

    assert order is not None
    assert [one.value for one in order.identifiers] == ["a.example.test", "*.b.example.test"]
    assert order.workload == Workload("credential", namespace="demo")
    assert order.authorizations == (f"1.{SECRET}", f"2.{SECRET}")
    assert (order.status, order.error, order.approval, order.certificate) == (OrderStatus.PENDING, None, None, "")
    second = await store.authorization(2)
    assert second is not None
    assert (second.identifier.value, second.wildcard, second.order_id) == ("b.example.test", True, order_id)


@pytest.mark.parametrize("status", list(OrderStatus))
@pytest.mark.parametrize("to", list(OrderStatus))
async def test_an_order_moves_only_as_the_rfc_says(store: SQLiteStore, status: OrderStatus, to: OrderStatus) -> None:
    """Every pair of statuses; `processing` and `valid` are reached by claim and completion only."""
    order_id = await store.transact(lambda tx: _order_in(tx, status))
    allowed = to in ORDER_MOVES[status] and to in (OrderStatus.READY, OrderStatus.INVALID)

    if allowed:
        await store.transact(lambda tx: tx.move_order(order_id, expected=status, to=to, error=StoredError("dns", "d")))
    else:
        with pytest.raises(Conflict):
            await store.transact(lambda tx: tx.move_order(order_id, expected=status, to=to))

    order = await store.order(order_id)
    assert order is not None
    assert order.status == (to if allowed else status)
    if order.status == OrderStatus.INVALID and allowed:
        assert order.error == StoredError("dns", "d")
        assert order.approval is None


def _order_in(tx: Transaction, status: OrderStatus) -> int:
    if status in (OrderStatus.PENDING, OrderStatus.READY):
        return add_order(tx, status=status)
    if status == OrderStatus.VALID:
        return issue(tx, "abc")[0]
    order_id = add_order(tx, status=OrderStatus.READY)
    if status == OrderStatus.PROCESSING:
        claim(tx, order_id)
    else:
        tx.move_order(order_id, expected=OrderStatus.READY, to=OrderStatus.INVALID)
    return order_id


async def test_a_move_from_another_status_conflicts(store: SQLiteStore) -> None:
    order_id = await store.transact(add_order)

    with pytest.raises(Conflict):
        await store.transact(lambda tx: tx.move_order(order_id, expected=OrderStatus.READY, to=OrderStatus.INVALID))


async def test_one_claim_wins(store: SQLiteStore) -> None:
    order_id = await store.transact(lambda tx: add_order(tx, status=OrderStatus.READY))

    await store.transact(lambda tx: claim(tx, order_id))

    with pytest.raises(Conflict):
        await store.transact(lambda tx: claim(tx, order_id))
    (order,) = await store.processing_orders(NOW + 1, 10)
    assert order.approval == b"sealed approval"
    assert await store.processing_orders(NOW, 10) == ()


async def test_an_order_is_completed_only_with_its_certificate(store: SQLiteStore) -> None:
    """`valid` without a stored certificate of that very order cannot be."""

    def prepare(tx: Transaction) -> tuple[int, int]:
        mine, other = (add_order(tx, status=OrderStatus.READY) for _ in range(2))
        claim(tx, mine)
        claim(tx, other)
        return mine, add_certificate(tx, other, "abc")

    mine, foreign = await store.transact(prepare)

    for row in (foreign, 999):
        with pytest.raises(Conflict):
            await store.transact(lambda tx, row=row: tx.complete_order(mine, f"{row}.{SECRET}"))


async def test_an_order_has_at_most_one_certificate(store: SQLiteStore) -> None:
    """Whatever is above this layer, and a serial belongs to one certificate."""
    order_id, _ = await store.transact(lambda tx: issue(tx, "abc"))
    other = await store.transact(add_order)

    with pytest.raises(Conflict, match="the order has"):
        await store.transact(lambda tx: add_certificate(tx, order_id, "def"))
    with pytest.raises(Conflict, match="serial"):
        await store.transact(lambda tx: add_certificate(tx, other, "abc"))


async def test_a_certificate_is_found_by_row_serial_and_ari_id(store: SQLiteStore) -> None:
    _, row = await store.transact(lambda tx: issue(tx, "abc123"))

    certificate = await store.certificate(row)

    assert certificate is not None
    assert certificate == await store.certificate_by_serial("abc123")
    assert certificate == await store.certificate_by_ari_id(ari_id("abc123"))
    for absent in ("", ".", "a.b", "a2V5.", "eHl6." + ari_id("abc123").partition(".")[2], "a." + "A" * 9000, "ä.ö"):
        assert await store.certificate_by_ari_id(absent) is None


async def test_an_ari_id_of_another_serial_is_refused(store: SQLiteStore) -> None:
    """It could never be found again."""
    order_id = await store.transact(add_order)

    def wrong(tx: Transaction) -> int:
        return tx.insert_certificate(
            secret=SECRET,
            order_id=order_id,
            account_id=1,
            authority="local",
            serial="abc",
            ari_id=ari_id("def"),
            key_fingerprint="",
            leaf=b"",
            chain_id="",
            not_before=NOW,
            not_after=NOW,
            now=NOW,
        )

    with pytest.raises(ValueError, match="does not contain"):
        await store.transact(wrong)


async def test_revocation_and_replacement_happen_once(store: SQLiteStore) -> None:
    order_id, row = await store.transact(lambda tx: issue(tx, "abc"))
    await store.transact(lambda tx: tx.revoke_certificate(row, reason=1, now=NOW))
    await store.transact(lambda tx: tx.mark_replaced(row, order_id))
    await store.transact(lambda tx: tx.mark_replaced(row, order_id))

    with pytest.raises(Conflict):
        await store.transact(lambda tx: tx.revoke_certificate(row, reason=4, now=NOW))
    with pytest.raises(Conflict):
        await store.transact(lambda tx: tx.mark_replaced(row, order_id + 1))
    assert await store.revoked("local", not_after_since=NOW) == (("abc", NOW, 1),)
    assert await store.revoked("local", not_after_since=NOW + 31 * DAY) == ()
    assert await store.revoked("other", not_after_since=NOW) == ()


async def test_a_stale_authorization_is_not_written(store: SQLiteStore) -> None:
    row = await store.transact(lambda tx: add_authorization(tx, "a.example.test"))
    read = await store.authorization(row)
    assert read is not None
    changed = msgspec.structs.replace(read, status=AuthorizationStatus.VALID, scope="new", due_at=NOW)

    await store.transact(lambda tx: tx.replace_authorization(changed))

    with pytest.raises(Conflict):
        await store.transact(lambda tx: tx.replace_authorization(changed))
    now_there = await store.authorization(row)
    assert now_there == msgspec.structs.replace(changed, version=2)
    assert await store.due_authorizations(NOW, 10) == (now_there,)
    assert await store.due_authorizations(NOW - 1, 10) == ()


async def test_only_the_accounts_own_pre_authorization_of_that_scope_is_reused(store: SQLiteStore) -> None:
    """Not one of an order, another scope, another account, one that is pending or has expired."""

    def prepare(tx: Transaction) -> int:
        good = add_authorization(tx, "a.example.test", status=AuthorizationStatus.VALID)
        add_authorization(tx, "a.example.test", status=AuthorizationStatus.VALID, order_id=7)
        add_authorization(tx, "a.example.test", status=AuthorizationStatus.VALID, scope="other")
        add_authorization(tx, "a.example.test", status=AuthorizationStatus.VALID, account_id=2)
        add_authorization(tx, "a.example.test", status=AuthorizationStatus.VALID, until=NOW)
        add_authorization(tx, "a.example.test")
        return good

    good = await store.transact(prepare)

    found = await store.reusable_authorizations(1, "scope", ("b.example.test", "a.example.test"), now=NOW)
    assert [one.id for one in found] == [good]


async def test_covers_needs_every_name(store: SQLiteStore) -> None:
    """A wildcard needs a wildcard's authorization, a plain name a plain one, and no name at all is not covered."""

    def prepare(tx: Transaction) -> None:
        add_authorization(tx, "a.example.test", status=AuthorizationStatus.VALID)
        add_authorization(tx, "w.example.test", status=AuthorizationStatus.VALID, wildcard=True)
        add_authorization(tx, "p.example.test")

    await store.transact(prepare)

    assert await store.covers(1, ("a.example.test", "*.w.example.test"), now=NOW)
    for names in (
        (),
        ("a.example.test", "x.example.test"),
        ("*.a.example.test",),
        ("w.example.test",),
        ("p.example.test",),
    ):
        assert not await store.covers(1, names, now=NOW)
    assert not await store.covers(2, ("a.example.test",), now=NOW)
    assert not await store.covers(1, ("a.example.test",), now=NOW + DAY)


async def test_an_orders_workload_never_changes(store: SQLiteStore) -> None:
    order_id = await store.transact(add_order)
    mine, other = (msgspec.json.encode(Workload("kubernetes", namespace=name)) for name in ("demo", "pay"))
    await store.transact(lambda tx: tx.set_workload(order_id, mine))
    await store.transact(lambda tx: tx.set_workload(order_id, mine))

    with pytest.raises(Conflict):
        await store.transact(lambda tx: tx.set_workload(order_id, other))
    with pytest.raises(Conflict):
        await store.transact(lambda tx: tx.set_authorizations(order_id, (), OrderStatus.READY))


async def test_orders_of_an_account_come_in_pages(store: SQLiteStore) -> None:
    """Valid and unfinished ones in one ascending list; invalid ones and other accounts' are not in it."""

    def prepare(tx: Transaction) -> list[int]:
        expected = []
        for number in range(6):
            expected.append(add_order(tx))
            expected.append(issue(tx, f"{number + 1:x}f")[0])
            gone = add_order(tx)
            tx.move_order(gone, expected=OrderStatus.PENDING, to=OrderStatus.INVALID)
            add_order(tx, account_id=2)
        return expected

    expected = await store.transact(prepare)

    found: list[int] = []
    after: int | None = 0
    while after is not None:
        page = await store.orders_of(1, after=after, limit=5)
        found.extend(row.id for row in page.rows)
        after = page.next_after
    assert found == expected
    assert await store.transact(lambda tx: tx.pending_orders(1, limit=100)) == 6
    assert await store.transact(lambda tx: tx.pending_orders(1, limit=4)) == 4


async def test_chains_and_blocked_keys_are_kept_once(store: SQLiteStore) -> None:
    for _ in range(2):
        await store.transact(lambda tx: tx.insert_chain("c", (b"PEM 1", b"PEM 2")))
        await store.transact(lambda tx: tx.block_key("f", now=NOW))

    assert await store.chain("c") == (b"PEM 1", b"PEM 2")
    assert await store.chain("d") == ()
    assert await store.key_is_blocked("f")
    assert not await store.key_is_blocked("g")


async def test_a_transaction_that_leaked_does_nothing(store: SQLiteStore) -> None:
    """Work outside of its commit would be work that nobody made durable."""
    leaked = await store.transact(lambda tx: tx)

    with pytest.raises(RuntimeError, match="has ended"):
        leaked.append_event(record())
