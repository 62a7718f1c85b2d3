"""The one oracle for every fault: what must hold of the database and the audit log, whatever was killed or raced.

It reads the SQLite file itself, so that it also sees what the server would not tell.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.processes import PATIENCE, wait_for
from tests.support.server import Server

Event = dict[str, Any]


def database(server: Server) -> Path:
    """The SQLite file in the server's data directory."""
    found = [
        path
        for path in server.data.rglob("*")
        if path.is_file() and path.stat().st_size > 16 and _head(path) == b"SQLite format 3\0"
    ]
    assert len(found) == 1, f"one database expected in {server.data}: {found}"
    return found[0]


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


class Snapshot:
    """The database at one moment: everything is read in one transaction, while the server may go on."""

    def __init__(self, server: Server) -> None:
        with closing(_connect(server)) as connection:
            connection.execute("BEGIN")
            self.log: list[Event] = [
                {**event, "names": json.loads(event["names"]), "body": json.loads(event["body"])}
                for event in _rows(connection, "SELECT * FROM audit_events ORDER BY seq")
            ]
            self.certificates = _rows(connection, "SELECT * FROM certificates ORDER BY id")
            self.orders = {order["id"]: order for order in _rows(connection, "SELECT * FROM orders")}


def _connect(server: Server) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{database(server)}?mode=ro", uri=True, timeout=60, isolation_level=None)
    connection.row_factory = sqlite3.Row
    return connection


def _rows(connection: sqlite3.Connection, query: str, *arguments: object) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query, arguments)]


def rows(server: Server, query: str, *arguments: object) -> list[dict[str, Any]]:
    """The rows of a query, as committed now."""
    with closing(_connect(server)) as connection:
        return _rows(connection, query, *arguments)


def events(server: Server) -> list[Event]:
    """The whole audit log, oldest first, each body decoded."""
    return Snapshot(server).log


def settle(server: Server, *, seconds: float = PATIENCE) -> None:
    """Wait until no order is being processed: after a crash the server takes them up again by itself."""
    wait_for(
        lambda: not rows(server, "SELECT id FROM orders WHERE status = 'processing'"),
        what="the end of every order that was being processed",
        seconds=seconds,
        every=0.2,
    )


def check(server: Server, *, held: Iterable[x509.Certificate] = ()) -> int:
    """How many certificates there are. AssertionError when the invariants do not hold.

    `held` are certificates that clients have in their hands: each must be known. Orders may still be processing.
    """
    held = list(held)  # before the snapshot: what comes after it cannot be in it
    now = Snapshot(server)
    log, certificates, orders = now.log, now.certificates, now.orders
    _log_has_no_gaps(log)
    _no_order_has_two(certificates, log)
    _every_certificate_is_explained(certificates, orders, log)
    _every_intent_has_an_end(certificates, orders, log)
    known = {certificate["leaf"] for certificate in certificates}
    for certificate in held:
        der = certificate.public_bytes(Encoding.DER)
        assert der in known, f"a client holds serial {certificate.serial_number:x}, which the database does not know"
    for order in orders.values():
        if order["status"] == "valid":
            assert order["certificate"], f"order {order['id']} is valid without a certificate"
    return len(certificates)


def _log_has_no_gaps(log: list[Event]) -> None:
    sequence = [event["seq"] for event in log]
    assert sequence == list(range(1, len(log) + 1)), "the audit log has gaps"


def _no_order_has_two(certificates: list[dict[str, Any]], log: list[Event]) -> None:
    for what, counted in (
        ("certificates", Counter(row["order_id"] for row in certificates)),
        ("certificate.issued events", Counter(e["order_id"] for e in log if e["kind"] == "certificate.issued")),
    ):
        twice = [order for order, count in counted.items() if count > 1]
        assert not twice, f"orders {twice} have two {what}"
    serials: dict[int, set[str]] = defaultdict(set)
    for event in log:
        if event["kind"] in ("certificate.intended", "certificate.issued"):
            serials[event["order_id"]].add(event["serial"])
    several = {order: found for order, found in serials.items() if len(found) > 1}
    assert not several, f"orders with several serials: {several}"
    repeated = [serial for serial, count in Counter(row["serial"] for row in certificates).items() if count > 1]
    assert not repeated, f"serials used twice: {repeated}"


def _every_certificate_is_explained(
    certificates: list[dict[str, Any]], orders: dict[int, dict[str, Any]], log: list[Event]
) -> None:
    """decision.allowed, then certificate.intended, then certificate.issued, all of its order, and about its names."""
    of_order: dict[int, list[Event]] = defaultdict(list)
    for event in log:
        if event["order_id"] is not None:
            of_order[event["order_id"]].append(event)
    for row in certificates:
        leaf = x509.load_der_x509_certificate(row["leaf"])
        assert f"{leaf.serial_number:x}" == row["serial"], f"certificate {row['id']} is stored under another serial"
        steps = {event["kind"]: event for event in of_order[row["order_id"]]}
        for kind in ("decision.allowed", "certificate.intended", "certificate.issued"):
            assert kind in steps, f"certificate {row['id']} has no {kind} in the audit log, only {sorted(steps)}"
        allowed, intended, issued = (
            steps[kind] for kind in ("decision.allowed", "certificate.intended", "certificate.issued")
        )
        assert allowed["seq"] < intended["seq"] < issued["seq"], f"certificate {row['id']}: steps out of order"
        assert allowed["body"]["decision"]["outcome"] == "allowed"
        assert {allowed["body"]["decision"]["id"], intended["body"]["decision"], issued["body"]["decision"]} == {
            allowed["body"]["decision"]["id"]
        }, f"certificate {row['id']}: issued under another decision"
        assert intended["serial"] == issued["serial"] == row["serial"]
        wanted = {identifier["value"] for identifier in json.loads(orders[row["order_id"]]["identifiers"])}
        assert _names(leaf) == wanted, f"certificate {row['id']} is for {_names(leaf)}, its order for {wanted}"


def _every_intent_has_an_end(
    certificates: list[dict[str, Any]], orders: dict[int, dict[str, Any]], log: list[Event]
) -> None:
    """What was going to be signed was stored, or refused, or withheld, or its order is still being processed."""
    stored = {row["order_id"] for row in certificates}
    ended = {e["order_id"] for e in log if e["kind"] in ("certificate.refused", "certificate.withheld")}
    for event in log:
        order = event["order_id"]
        if event["kind"] == "certificate.intended" and order not in stored | ended:
            status = orders[order]["status"]
            assert status == "processing", f"order {order} is {status}: a signature was intended, nothing came of it"


def _names(leaf: x509.Certificate) -> set[str]:
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*san.get_values_for_type(x509.DNSName), *map(str, san.get_values_for_type(x509.IPAddress))}
