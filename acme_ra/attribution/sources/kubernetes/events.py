"""Refusals as Events on the Certificate (core/v1), where `kubectl describe certificate` shows them."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable

import msgspec
import structlog

from acme_ra.core.clock import Clock, to_rfc3339
from acme_ra.core.refusals import RefusalNotice
from acme_ra.kubernetes.client import ApiClient
from acme_ra.kubernetes.clusters import Clusters
from acme_ra.kubernetes.errors import KubernetesError
from acme_ra.kubernetes.resources import EVENTS

log = structlog.get_logger(__name__)

REASON = "PolicyRefused"
AWAITED = "ApprovalNeeded"
MAX_MESSAGE = 1024  # more is refused by the API server
QUEUE = 500
#: The same refusal of the same Certificate is written once in this time.
REPEAT_SECONDS = 600.0
#: Between two Events of one cluster.
PACE_SECONDS = 0.05
_REMEMBERED = 4096


class RefusalEvents:
    """A listener of registration: writes to the clusters that have `events: true`."""

    def __init__(self, clusters: Clusters, clock: Clock) -> None:
        self._writers = {name: _Writer(client, clock) for name, client in clusters.items() if client.settings.events}

    async def start(self) -> None:
        for writer in self._writers.values():
            writer.start()

    async def close(self) -> None:
        for writer in self._writers.values():
            await writer.close()

    def refused(self, notice: RefusalNotice) -> None:
        """Nothing happens for a workload that no cluster named, or that has no Certificate."""
        workload = notice.workload
        writer = self._writers.get(workload.cluster) if workload.source == "kubernetes" else None
        evidence = workload.evidence
        if writer is None or not workload.namespace or not evidence.get("certificate_uid"):
            return
        message = " ".join(notice.detail.split())
        if len(message) > MAX_MESSAGE:
            message = message[: MAX_MESSAGE - 1] + "…"
        told = _Told(workload.namespace, evidence["certificate"], evidence["certificate_uid"], message, notice.awaited)
        writer.put(told)


class _Told(msgspec.Struct, frozen=True):
    """An Event to be, and what makes it the same as another one."""

    namespace: str
    certificate: str
    uid: str
    message: str
    awaited: bool


class _Writer:
    """One cluster's. Whatever it cannot write in time is dropped and counted: a refusal is in the audit log anyway."""

    def __init__(self, client: ApiClient, clock: Clock, *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._ticks = ticks
        self._queue: asyncio.Queue[_Told] = asyncio.Queue(QUEUE)
        self._written: dict[_Told, float] = {}
        self._dropped = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._tell_dropped(self._queue.qsize())

    def put(self, told: _Told) -> None:
        now = self._ticks()
        if now - self._written.get(told, float("-inf")) < REPEAT_SECONDS:
            return
        try:
            self._queue.put_nowait(told)
        except asyncio.QueueFull:
            self._dropped += 1
            return
        self._written.pop(told, None)
        self._written[told] = now
        if len(self._written) > _REMEMBERED:
            del self._written[next(iter(self._written))]

    async def _run(self) -> None:
        while True:
            told = await self._queue.get()
            try:
                await self._client.create(EVENTS, self._event(told), namespace=told.namespace)
            except KubernetesError as error:
                log.warning("an Event cannot be written", cluster=self._client.name, cause=str(error))
            self._tell_dropped(0)
            await asyncio.sleep(PACE_SECONDS)

    def _tell_dropped(self, more: int) -> None:
        dropped, self._dropped = self._dropped + more, 0
        if dropped:
            log.warning("Events of refusals dropped", cluster=self._client.name, count=dropped)

    def _event(self, told: _Told) -> dict[str, object]:
        at = to_rfc3339(self._clock.now())
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{told.certificate[:230]}.{secrets.token_hex(8)}", "namespace": told.namespace},
            "involvedObject": {
                "apiVersion": "cert-manager.io/v1",
                "kind": "Certificate",
                "namespace": told.namespace,
                "name": told.certificate,
                "uid": told.uid,
            },
            "type": "Normal" if told.awaited else "Warning",
            "reason": AWAITED if told.awaited else REASON,
            "message": told.message,
            "source": {"component": "acme-ra"},
            "reportingComponent": "acme-ra",
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }
