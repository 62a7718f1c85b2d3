"""Logs (structlog, JSON lines written by a thread of their own) and metrics (Prometheus), off the hot path."""

import contextlib
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import IO, Any, Literal

import orjson
import structlog
from pydantic import Field

from acme_ra.core.endpoint import EndpointText
from acme_ra.core.settings import Settings

LevelName = Literal["debug", "info", "warning", "error"]
_SECRET_KEYS = ("secret", "password", "hmac_key", "private_key", "authorization_header", "master", "passphrase")
_REDACTED = "(secret)"
_QUEUE_LINES = 10_000


class LoggingSettings(Settings):
    """What is logged to standard error, and how."""

    level: LevelName = "info"
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: JSON lines, or readable lines when standard error is a terminal"
    )


class MetricsSettings(Settings):
    """The Prometheus listener; absent means none."""

    listen: EndpointText | None = Field(default=None, description="HOST:PORT; use a loopback or private address")


# ------------------------------------------------------------------------------------------------------------- logs


class LineWriter:
    """Writes lines from a queue, in a thread, so that a slow terminal or disk never holds up a request.

    When the queue is full, lines are dropped and counted; the count is written as soon as there is room.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lines: queue.Queue[bytes | None] = queue.Queue(_QUEUE_LINES)
        self._dropped = 0
        self._counting = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            with self._counting:
                self._dropped += 1

    def close(self) -> None:
        """Write what is queued, then stop. Gives a blocked stream two seconds."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=2)
        self._thread.join(timeout=2)

    def _run(self) -> None:
        while True:
            line = self._lines.get()
            if line is None:
                return
            if self._dropped:
                with self._counting:
                    dropped, self._dropped = self._dropped, 0
                line += orjson.dumps({"level": "warning", "event": "log lines dropped", "count": dropped}) + b"\n"
            try:
                self._stream.write(line)
                if self._lines.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                continue  # standard error is gone; there is nowhere left to say so


class DirectWriter:
    """Writes at once. For the master process, which must have no threads when it forks."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, line: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(line)
            self._stream.flush()

    def close(self) -> None:
        """Nothing is queued."""


class _Logger:
    """What structlog calls with a finished line."""

    __slots__ = ("_write",)

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write

    def msg(self, line: bytes | str) -> None:
        self._write(line if isinstance(line, bytes) else line.encode("utf-8", "replace") + b"\n")

    debug = info = warning = warn = error = critical = fatal = exception = log = msg


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace values whose key says that they are secret, at any depth."""
    for key, value in event.items():
        if _is_secret(key):
            event[key] = _REDACTED
        elif isinstance(value, Mapping):
            event[key] = redact(_logger, _method, dict(value))
    return event


def _is_secret(key: object) -> bool:
    lowered = str(key).lower()
    return any(word in lowered for word in _SECRET_KEYS)


def _render_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> bytes:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS) + b"\n"


class Logs:
    """The process's logging. With `threaded` it owns a thread: make it after a fork."""

    def __init__(
        self, settings: LoggingSettings, *, threaded: bool, stream: IO[bytes] | None = None, **bound: object
    ) -> None:
        raw = stream or sys.stderr.buffer
        console = settings.format == "console" or (settings.format == "auto" and raw.isatty())
        self._writer: LineWriter | DirectWriter = LineWriter(raw) if threaded else DirectWriter(raw)
        level = logging.getLevelName(settings.level.upper())
        shared: list[Any] = [
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            redact,
        ]
        colors = "NO_COLOR" not in os.environ and raw.isatty()
        last: list[Any] = (
            [structlog.dev.ConsoleRenderer(colors=colors)]
            if console
            else [structlog.processors.format_exc_info, _render_json]
        )
        structlog.reset_defaults()
        structlog.configure(
            processors=[*shared, *last],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=lambda *_: _Logger(self._writer.write),
            cache_logger_on_first_use=False,
        )
        structlog.contextvars.clear_contextvars()
        if bound:
            structlog.contextvars.bind_contextvars(**bound)
        handler = _StandardHandler()
        root = logging.getLogger()
        root.handlers[:] = [handler]
        root.setLevel(max(level, logging.INFO))

    def close(self) -> None:
        self._writer.close()


class _StandardHandler(logging.Handler):
    """Passes what libraries log through the standard logging module on to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        values: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            values["exc_info"] = record.exc_info
        method = {"critical": "critical", "error": "error", "warning": "warning"}.get(record.levelname.lower(), "info")
        getattr(structlog.get_logger(), method)(record.getMessage(), **values)


# ---------------------------------------------------------------------------------------------------------- metrics


_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Counters of this process, or, with a shared folder, the sums over all workers that ever lived in this start.

    prometheus_client keeps each process's values in memory-mapped files of that folder (its multi-process mode). It
    decides so when it is first imported, so nothing may import it before `share_between_workers` has run.
    """

    def __init__(self) -> None:
        import prometheus_client

        self._library = prometheus_client
        self._shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        self._registry = prometheus_client.CollectorRegistry()
        self._requests = prometheus_client.Counter(
            "acme_ra_requests",
            "Requests by route, method, HTTP status and ACME error",
            ["route", "method", "status", "problem"],
            registry=self._registry,
        )
        self._seconds = prometheus_client.Histogram(
            "acme_ra_request_seconds", "Time to answer", ["route"], buckets=_BUCKETS, registry=self._registry
        )
        self._policies = prometheus_client.Gauge(
            "acme_ra_policy_resources",
            "Policies that are resources, by cluster and whether they were accepted",
            ["cluster", "accepted"],
            registry=self._registry,
            multiprocess_mode="mostrecent",
        )
        self._policies_known = prometheus_client.Gauge(
            "acme_ra_policies_known",
            "Whether a cluster's policies were read; while they were not, its requests answer 503",
            ["cluster"],
            registry=self._registry,
            multiprocess_mode="mostrecent",
        )
        self._counters: dict[tuple[str, str, int, str], tuple[Any, Any]] = {}

    def request(self, route: str, method: str, status: int, problem: str, seconds: float) -> None:
        """Count one answered request; the label look-up is done once for each combination."""
        key = (route, method, status, problem)
        found = self._counters.get(key)
        if found is None:
            found = self._requests.labels(route, method, str(status), problem), self._seconds.labels(route)
            self._counters[key] = found
        found[0].inc()
        found[1].observe(seconds)

    def policies(self, cluster: str, *, accepted: int, refused: int, known: bool) -> None:
        """What became of the policies of one cluster; told by one worker."""
        self._policies.labels(cluster, "true").set(accepted)
        self._policies.labels(cluster, "false").set(refused)
        self._policies_known.labels(cluster).set(known)

    def expose(self) -> bytes:
        """The text format, over every worker."""
        registry = self._registry
        if self._shared:
            from prometheus_client import multiprocess

            registry = self._library.CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return self._library.generate_latest(registry)


def share_between_workers(folder: Path) -> None:
    """Keep the workers' counters in files of `folder`. Call in the master, before any fork."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
