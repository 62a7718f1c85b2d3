"""One serving process: composes its parts, listens, answers signals, and closes what it opened."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

import structlog
import uvloop

from acme_ra import filewatch, telemetry
from acme_ra.acme.application import build_server
from acme_ra.acme.http.answer import Answer
from acme_ra.acme.http.request import Request
from acme_ra.acme.http.server import HTTPServer
from acme_ra.app import Parts, Shared, compose, read_policies
from acme_ra.config import Configuration
from acme_ra.core.clock import SECOND
from acme_ra.core.endpoint import parse_endpoint
from acme_ra.listener import TLSUnusable, listen_alone, listen_beside, reload_context
from acme_ra.policy.errors import PolicyErrors
from acme_ra.policy_resources.record import PolicyGauges
from acme_ra.supervisor import ABANDONED, WorkerPipes

log = structlog.get_logger(__name__)

_METRICS: Final = ("Content-Type", "text/plain; version=0.0.4; charset=utf-8")


def work(shared: Shared, *, node: int, pipes: WorkerPipes | None, on_ready: Callable[[], None]) -> int:
    """Serve until SIGTERM (or SIGINT without a master); the exit code. Without `pipes` this is the only process."""
    logs = telemetry.Logs(shared.configuration.logging, threaded=True, worker=node)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(shared, node, pipes, on_ready))
        return 0
    except Exception:
        if pipes is None:
            raise
        log.exception("worker failed")
        return 1
    finally:
        logs.close()


async def _serve(shared: Shared, node: int, pipes: WorkerPipes | None, on_ready: Callable[[], None]) -> None:
    configuration = shared.configuration
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        metrics = telemetry.Metrics() if configuration.metrics.listen is not None else None
        observe = metrics.request if metrics is not None else None
        parts = await compose(shared, node, stack=stack, observe=observe)
        _watch_signals(shared, parts, stop, pipes)
        if metrics is not None and node == 0:
            await parts.policies.add_listener(PolicyGauges(metrics, parts.policies.clusters).show)
            await _serve_metrics(configuration, metrics, stack)
        if node == 0:
            background = asyncio.ensure_future(parts.background.run())
            stack.push_async_callback(_cancel, background)
            _watch_files(configuration, stack, supervised=pipes is not None)
        timeout = configuration.server.shutdown_timeout / SECOND
        server = build_server(parts.application, configuration.acme)
        stack.push_async_callback(server.close, timeout=timeout)
        await server.start(listen_beside(shared.reserved), tls=shared.tls)
        gc.collect()
        gc.freeze()
        # Requests leave few cycles behind: looking for them after every 700 objects takes a hundredth of all CPU.
        gc.set_threshold(20_000, 20, 20)
        on_ready()
        await stop.wait()


def _watch_files(configuration: Configuration, stack: AsyncExitStack, *, supervised: bool) -> None:
    """In one worker: a changed certificate or policy file has the effect of a SIGHUP."""
    server = configuration.server
    if not server.watch_files:
        return
    paths = (server.tls.certificate, server.tls.key, configuration.policies.path)
    changed = filewatch.reloader(supervised=supervised)
    watching = asyncio.ensure_future(filewatch.watch(paths, every=server.watch_files / SECOND, changed=changed))
    stack.push_async_callback(_cancel, watching)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _watch_signals(shared: Shared, parts: Parts, stop: asyncio.Event, pipes: WorkerPipes | None) -> None:
    loop = asyncio.get_running_loop()
    reloading: set[asyncio.Task[None]] = set()
    in_turn = asyncio.Lock()

    async def reload_in_turn() -> None:
        # What was read first must not replace what was read last.
        async with in_turn:
            await asyncio.to_thread(reload, shared)
            await parts.policies.replace_files(shared.policies)

    def start_reload() -> None:
        task = loop.create_task(reload_in_turn())
        reloading.add(task)
        task.add_done_callback(reloading.discard)

    def interrupt() -> None:
        if not stop.is_set():
            sys.stderr.write("\nStopping; requests under way are finished first.\n")
        stop.set()

    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGHUP, start_reload)
    if pipes is not None and pipes.reload_wanted:
        start_reload()
    if pipes is None:
        loop.add_signal_handler(signal.SIGINT, interrupt)
    else:
        # The write end of this pipe is the master's: it becomes readable when the master is gone. Nobody would
        # restart or stop this worker then, and everything promised is on disk.
        loop.add_reader(pipes.lifeline, os._exit, ABANDONED)


def reload(shared: Shared) -> None:
    """Read policies and the TLS certificate again; what is invalid is refused, and the old one stays."""
    configuration = shared.configuration
    try:
        shared.policies = read_policies(configuration)
        log.info("policies reloaded", digest=shared.policies.digest, policies=len(shared.policies))
    except PolicyErrors as error:
        log.error("policies refused; the old ones stay", mistakes=[str(mistake) for mistake in error.mistakes])
    tls = configuration.server.tls
    try:
        reload_context(shared.tls, tls.certificate, tls.key)
        log.info("TLS certificate reloaded", certificate=str(tls.certificate))
    except TLSUnusable as error:
        log.error("TLS certificate refused; the old one stays", reason=str(error))


async def _serve_metrics(configuration: Configuration, metrics: telemetry.Metrics, stack: AsyncExitStack) -> None:
    """GET /metrics on a listener of its own, of all workers."""
    assert configuration.metrics.listen is not None

    async def handle(request: Request) -> Answer:
        if request.path != "/metrics":
            return Answer(b"", status=404)
        if request.method not in ("GET", "HEAD"):
            return Answer(b"", ("Allow", "GET,HEAD"), status=405)
        return Answer(await asyncio.to_thread(metrics.expose), _METRICS)

    server = HTTPServer(handle, max_body=0)
    stack.push_async_callback(server.close, timeout=0)
    await server.start(listen_alone(parse_endpoint(configuration.metrics.listen)))
