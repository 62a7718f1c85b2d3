"""The server process: everything that can be wrong is looked at first, then workers serve until a signal ends them."""

import gc
import os
import resource
import shutil
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from acme_ra import telemetry
from acme_ra.app import Shared, preflight
from acme_ra.config import Configuration
from acme_ra.core.clock import SECOND
from acme_ra.core.endpoint import Endpoint, parse_endpoint
from acme_ra.listener import endpoint_of, reserve, server_context
from acme_ra.process import reload, work
from acme_ra.supervisor import Supervisor, WorkerPipes

log = structlog.get_logger("acme_ra.server")
_MOST_WORKERS = 4


@dataclass(frozen=True)
class Serving:
    """Told when every worker listens."""

    endpoint: Endpoint
    external_url: str
    workers: int


def serve(configuration: Configuration, *, on_ready: Callable[[Serving], None], reserved: socket.socket | None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code.

    `reserved` is a socket from listener.reserve, for callers that must know the port beforehand.
    Raises what `preflight` raises, ListenFailed, TLSUnusable, and StartFailed when a worker cannot start.
    """
    logs = telemetry.Logs(configuration.logging, threaded=False)
    _allow_many_connections()
    folder = Path(tempfile.mkdtemp(prefix="acme-ra-"))
    try:
        if configuration.metrics.listen is not None:
            telemetry.share_between_workers(folder)
        shared = _prepare(configuration, folder, reserved)
        workers = worker_count(configuration)
        serving = Serving(endpoint_of(shared.reserved), shared.external_url, workers)
        return _run(shared, serving, on_ready)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        logs.close()


def _allow_many_connections() -> None:
    """The soft limit of open files is often 1024, for the sake of programs that use select(2)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def worker_count(configuration: Configuration) -> int:
    """As many as configured; without that one for each core of this process but one, at most four (ADR 9)."""
    return configuration.server.workers or default_workers(len(os.sched_getaffinity(0)))


def default_workers(cores: int) -> int:
    """A core is left to the kernel, to the linter, and to whoever asks from this machine."""
    return max(1, min(_MOST_WORKERS, cores - 1))


def external_url(configuration: Configuration, endpoint: Endpoint) -> str:
    """The origin that clients use."""
    if configuration.server.external_url is not None:
        return configuration.server.external_url
    host = Endpoint(configuration.server.endpoint.host, endpoint.port)
    return f"https://{host}"


def _prepare(configuration: Configuration, folder: Path, reserved: socket.socket | None) -> Shared:
    checked = preflight(configuration)
    tls = configuration.server.tls
    context = server_context(tls.certificate, tls.key)
    reserved = reserved or reserve(configuration.server.endpoint)
    if configuration.metrics.listen is not None:
        # Worker 0 listens there; here it can still be told in one line that the port is taken.
        reserve(parse_endpoint(configuration.metrics.listen)).close()
    return Shared(
        configuration=configuration,
        master_key=checked.master_key,
        policies=checked.policies,
        reserved=reserved,
        tls=context,
        external_url=external_url(configuration, endpoint_of(reserved)),
        folder=folder,
    )


def _run(shared: Shared, serving: Serving, on_ready: Callable[[Serving], None]) -> int:
    def ready() -> None:
        log.info(
            "serving",
            listen=str(serving.endpoint),
            url=serving.external_url,
            workers=serving.workers,
            policies=shared.policies.digest,
        )
        on_ready(serving)

    if serving.workers == 1:
        return work(shared, node=0, pipes=None, on_ready=ready)
    # What is alive now is shared with the workers' memory; a collection in a worker would copy it.
    gc.collect()
    gc.freeze()

    def worker(node: int, pipes: WorkerPipes) -> int:
        return work(shared, node=node, pipes=pipes, on_ready=pipes.announce)

    timeout = shared.configuration.server.shutdown_timeout / SECOND
    supervisor = Supervisor(
        worker,
        workers=serving.workers,
        shutdown_timeout=timeout,
        on_ready=ready,
        on_reload=lambda: reload(shared),
    )
    return supervisor.run()
