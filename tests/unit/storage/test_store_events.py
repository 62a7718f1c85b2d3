"""The audit log: gap-free, streamed in order of seq, and every filter finds exactly its events."""

import asyncio
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from storage_world import NOW, add_order, name_of, record, seqs

from acme_ra.core.clock import HOUR, MINUTE
from acme_ra.core.events import EventRecord, StoredEvent
from acme_ra.core.status import OrderStatus
from acme_ra.storage.contract import EventFilter, Transaction
from acme_ra.storage.sqlite.events import Scan
from acme_ra.storage.store import SQLiteStore


async def listed(store: SQLiteStore, wanted: EventFilter, *, batch: int = 500) -> list[StoredEvent]:
    return [stored async for stored in store.events(wanted, batch=batch)]


async def append(store: SQLiteStore, records: list[EventRecord]) -> None:
    def work(tx: Transaction) -> None:
        for one in records:
            tx.append_event(one)

    await store.transact(work)


async def test_an_event_is_read_as_it_was_written(store: SQLiteStore) -> None:
    written = EventRecord(
        NOW, "order.created", "allowed", b'{"a":"\xc3\xa4"}', "internal", 1, 2, "demo", "ab", ("a.example.test", "b")
    )

    seq = await store.transact(lambda tx: tx.append_event(written))

    assert await listed(store, EventFilter()) == [StoredEvent(seq, written)]


async def test_the_log_goes_on_without_a_gap_after_failures(store: SQLiteStore) -> None:
    def fail(tx: Transaction) -> None:
        tx.append_event(record())
        raise KeyError

    for _ in range(3):
        await store.transact(lambda tx: tx.append_event(record()))
        await asyncio.gather(*[store.transact(fail) for _ in range(3)], return_exceptions=True)

    assert await seqs(store) == [1, 2, 3]


def _random_log(rng: random.Random, count: int) -> list[EventRecord]:
    """Events of every shape; the clock mostly advances, and sometimes steps back by an hour."""
    now = NOW
    made = []
    for _ in range(count):
        now += rng.randrange(2 * MINUTE) - (HOUR if rng.random() < 0.02 else 0)
        made.append(
            EventRecord(
                now,
                rng.choice(("order.created", "decision.refused", "certificate.issued")),
                rng.choice(("", "allowed", "refused")),
                b"{}",
                "internal",
                rng.choice((None, 1, 2)),
                rng.choice((None, *range(1, 40))),
                rng.choice(("", "demo", "pay")),
                rng.choice(("", "", "ab", "cd")),
                tuple(rng.sample(("a.test", "b.test", "*.c.test"), rng.choice((0, 0, 0, 1, 2)))),
            )
        )
    return made


def _matches(wanted: EventFilter) -> Callable[[StoredEvent, set[int]], bool]:
    def check(stored: StoredEvent, orders_of_name: set[int]) -> bool:
        one = stored.record
        return (
            stored.seq > wanted.after_seq
            and (wanted.since is None or one.at >= wanted.since)
            and (wanted.until is None or one.at <= wanted.until)
            and (wanted.kind is None or one.kind == wanted.kind)
            and (wanted.outcome is None or one.outcome == wanted.outcome)
            and (wanted.namespace is None or one.namespace == wanted.namespace)
            and (wanted.serial is None or one.serial == wanted.serial)
            and (wanted.order_id is None or one.order_id == wanted.order_id)
            and (wanted.account_id is None or one.account_id == wanted.account_id)
            and (wanted.name is None or wanted.name in one.names or one.order_id in orders_of_name)
        )

    return check


async def test_every_filter_finds_exactly_what_a_full_read_would(store: SQLiteStore) -> None:
    """A hundred combinations over a log of many blocks, against a plain reading of the contract."""
    rng = random.Random(7)
    log = _random_log(rng, 3000)
    for start in range(0, len(log), 700):
        await append(store, log[start : start + 700])
    everything = [StoredEvent(seq, one) for seq, one in enumerate(log, 1)]
    choices: dict[str, tuple[Any, ...]] = {
        "since": (NOW + 20 * HOUR, NOW + 30 * HOUR, NOW * 2),
        "until": (NOW + 25 * HOUR, NOW - 1),
        "kind": ("order.created", "nothing.such"),
        "outcome": ("refused",),
        "namespace": ("demo", "nobody"),
        "name": ("a.test", "*.c.test", "absent.test"),
        "serial": ("ab", "ff"),
        "order_id": (3, 99),
        "account_id": (1,),
        "after_seq": (10, 1500, 2999, 9999),
    }

    for _ in range(100):
        chosen = {field: rng.choice(choices[field]) for field in rng.sample(list(choices), rng.randrange(4))}
        wanted = EventFilter(**chosen)
        orders = {one.order_id for one in log if one.order_id is not None and wanted.name in one.names}
        check = _matches(wanted)
        expected = [stored for stored in everything if check(stored, orders)]
        assert await listed(store, wanted, batch=rng.choice((40, 97, 500))) == expected, chosen


async def test_a_name_finds_its_orders_whatever_their_events_say(store: SQLiteStore) -> None:
    """The order asked for the name; that its events do not repeat it makes no difference."""
    order_id = await store.transact(lambda tx: add_order(tx, "a.example.test", "*.b.example.test"))
    other = await store.transact(lambda tx: add_order(tx, "sub.a.example.test"))
    await append(store, [record(order_id=order_id), record(order_id=other), record(order_id=order_id), record()])

    for name in ("a.example.test", "*.b.example.test"):
        assert [stored.seq for stored in await listed(store, EventFilter(name=name))] == [1, 3]
    assert await listed(store, EventFilter(name="b.example.test")) == []


async def test_names_of_equal_hash_are_told_apart(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash finds rows, the text decides; here every name and serial has the same hash."""
    from acme_ra.storage import codecs
    from acme_ra.storage.sqlite import entries

    monkeypatch.setattr(codecs, "hash63", lambda _: 5)
    monkeypatch.setattr(entries, "hash63", lambda _: 5)
    first = await store.transact(lambda tx: add_order(tx, "a.example.test"))
    second = await store.transact(lambda tx: add_order(tx, "b.example.test"))
    await append(
        store, [record(order_id=first), record(order_id=second), record(names=("c.example.test",), serial="ab")]
    )

    assert [stored.seq for stored in await listed(store, EventFilter(name="b.example.test"))] == [2]
    assert [stored.seq for stored in await listed(store, EventFilter(name="c.example.test"))] == [3]
    assert await listed(store, EventFilter(serial="cd")) == []


@pytest.mark.parametrize("field", ["kind", "outcome", "namespace", "name", "serial"])
async def test_an_empty_filter_value_matches_nothing(store: SQLiteStore, field: str) -> None:
    """Empty means no: it never widens a search to everything."""
    await append(store, [record()])

    assert await listed(store, EventFilter(**{field: ""})) == []


async def test_a_rolled_back_job_leaves_no_trace_in_look_ups(store: SQLiteStore) -> None:
    """Its order's id is given to the next one, which did not ask for the name."""

    def fail(tx: Transaction) -> None:
        tx.append_event(record(order_id=add_order(tx, "a.example.test"), namespace="pay"))
        raise KeyError

    def keep(tx: Transaction) -> None:
        tx.append_event(record(order_id=add_order(tx, "b.example.test"), namespace="demo"))

    await asyncio.gather(store.transact(fail), store.transact(keep), return_exceptions=True)

    assert await listed(store, EventFilter(name="a.example.test")) == []
    assert await listed(store, EventFilter(namespace="pay")) == []
    assert len(await listed(store, EventFilter(name="b.example.test", namespace="demo"))) == 1


async def test_a_stream_ends_where_the_log_ended_when_it_began(store: SQLiteStore) -> None:
    """An export under load is finite."""
    await append(store, [record() for _ in range(10)])
    stream = store.events(EventFilter(), batch=3)
    first = await anext(stream)
    await append(store, [record() for _ in range(10)])

    rest = [stored.seq async for stored in stream]

    assert [first.seq, *rest] == list(range(1, 11))


async def test_a_stream_may_be_left_at_any_time(store: SQLiteStore) -> None:
    """A client that hangs up costs no connection and blocks no writer."""
    await append(store, [record() for _ in range(10)])
    for wanted in (EventFilter(), EventFilter(name="a")):
        stream = store.events(wanted, batch=2)
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]

    await append(store, [record()])
    assert len(await seqs(store)) == 11


async def test_a_long_log_is_read_in_constant_memory(store: SQLiteStore) -> None:
    """Ten times the events need no more memory, with the name filter too."""
    name = name_of("a.example.test").value
    events = [record(body=b'"' + b"x" * 500 + b'"', names=(name,)) for _ in range(1000)]
    peaks = []
    for repeats in (1, 9):
        for _ in range(repeats):
            await append(store, events)
        for wanted in (EventFilter(), EventFilter(name=name)):
            tracemalloc.start()
            count = 0
            async for _ in store.events(wanted, batch=100):
                count += 1
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert count == 10_000
    assert max(peaks[2:]) < 1.5 * max(peaks[:2]) + 100_000, peaks


async def test_a_rare_event_is_found_without_reading_the_log(store: SQLiteStore) -> None:
    """Only blocks that can match are read: cost does not grow with the log."""
    await append(store, [record(namespace="demo") for _ in range(8000)])
    await append(store, [record(namespace="pay", at=NOW + HOUR)])
    connection = store._connection
    assert connection is not None

    for wanted in (EventFilter(namespace="pay"), EventFilter(since=NOW + 1)):
        scan = Scan(connection, wanted)
        assert scan._next_range() == (7 * 1024 - 1, 8001)
        assert len(scan.read(10)) == 1


async def test_events_of_an_invalid_order_remain(store: SQLiteStore) -> None:
    order_id = await store.transact(add_order)
    await append(store, [record(order_id=order_id)])

    await store.transact(lambda tx: tx.move_order(order_id, expected=OrderStatus.PENDING, to=OrderStatus.INVALID))

    assert [stored.seq for stored in await listed(store, EventFilter(order_id=order_id))] == [1]
