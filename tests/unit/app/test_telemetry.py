"""Logs: one JSON object a line, no secrets, nothing that holds up a request."""

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest
import structlog

from acme_ra.telemetry import LineWriter, LoggingSettings, Logs, Metrics


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    """Logging is global to the process: leave it as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def logged(**settings: str) -> tuple[io.BytesIO, Logs]:
    stream = io.BytesIO()
    return stream, Logs(LoggingSettings(format="json", **settings), threaded=False, stream=stream, worker=3)


def test_a_line_is_one_object_whatever_is_in_it() -> None:
    """A newline in a value does not make another line (log injection)."""
    stream, _ = logged()

    structlog.get_logger().warning("refused", name='x"\n{"event":"forged"}', count=2)

    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert (event["event"], event["count"], event["worker"], event["level"]) == ("refused", 2, 3, "warning")


def test_secrets_are_replaced_at_any_depth() -> None:
    """By the name of the key, for whatever slips through."""
    stream, _ = logged()

    structlog.get_logger().info(
        "x", hmac_key="CANARY", inner={"client_secret": "CANARY", "deep": {"passphrase": "CANARY"}}
    )

    assert b"CANARY" not in stream.getvalue()
    assert stream.getvalue().count(b"(secret)") == 3


def test_standard_logging_and_exceptions_come_out_the_same_way() -> None:
    """Libraries log through the standard module; a traceback stays inside its line."""
    stream, _ = logged()

    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("library").exception("failed %s", "it")

    event = json.loads(stream.getvalue())
    assert event["event"] == "failed it"
    assert "ValueError: why" in event["exception"]


def test_levels_below_the_configured_one_are_dropped() -> None:
    """`warning` hides `info`."""
    stream, _ = logged(level="warning")

    structlog.get_logger().info("hidden")

    assert stream.getvalue() == b""


def test_a_blocked_stream_blocks_nobody_and_the_loss_is_told() -> None:
    """Writers go on at once; when the stream moves again, the count of lost lines is written."""
    blocked, gate = threading.Event(), threading.Event()

    class Blocked(io.BytesIO):
        def write(self, data: object) -> int:
            blocked.set()
            gate.wait()
            return super().write(data)  # type: ignore[arg-type]

    stream = Blocked()
    writer = LineWriter(stream)
    writer.write(b"0\n")
    assert blocked.wait(60)
    for number in range(1, 10_500):
        writer.write(b"%d\n" % number)
    gate.set()
    writer.close()
    writer._thread.join(60)  # It gives up after two seconds, which a busy machine may need for ten thousand lines.

    first, second, told, *others = (json.loads(line) for line in stream.getvalue().splitlines())
    assert [first, second, *others] == list(range(10_001))  # One was being written, the queue holds ten thousand.
    assert (told["event"], told["count"]) == ("log lines dropped", 499)


def test_requests_are_counted_by_route_status_and_problem() -> None:
    """What a dashboard needs, in the Prometheus text format."""
    metrics = Metrics()

    for _ in range(3):
        metrics.request("newOrder", "POST", 403, "rejectedIdentifier", 0.004)

    text = metrics.expose().decode()
    assert (
        'acme_ra_requests_total{method="POST",problem="rejectedIdentifier",route="newOrder",status="403"} 3.0' in text
    )
    assert 'acme_ra_request_seconds_count{route="newOrder"} 3.0' in text
