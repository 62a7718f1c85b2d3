"""Keeps the engine's policy set equal to files and resources: one change at a time, each a whole and consistent set."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

import structlog

from acme_ra.policy.compiled import PolicySet
from acme_ra.policy.engine import PolicyEngine
from acme_ra.policy.references import References
from acme_ra.policy_resources.merge import Reader, Readings, Seen, merge
from acme_ra.policy_resources.watch import ClusterWatch

log = structlog.get_logger(__name__)

#: How long a start waits for the clusters, so that a server that answers usually knows their policies.
START_SECONDS = 5.0
#: Changes that come together are applied together, and no tenant can make the server do it more often than this.
GATHER_SECONDS = 0.1
APART_SECONDS = 1.0
_AFTER_FAULT = 5.0


class Applied(NamedTuple):
    """What was applied: for the one worker that tells others."""

    policies: PolicySet
    resources: Seen
    readings: Readings


Listener = Callable[[Applied], Awaitable[None]]


class PolicyKeeper:
    """One in each worker. `start` and `close` are called by the composition root."""

    def __init__(
        self,
        engine: PolicyEngine,
        *,
        files: PolicySet,
        watches: Mapping[str, ClusterWatch],
        known: References,
        listeners: Iterable[Listener] = (),
    ) -> None:
        self._engine = engine
        self._files = files
        self._watches = dict(watches)
        self._reader = Reader(known)
        self._listeners = [*listeners]
        self._last: Applied | None = None
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._told = ""
        self._task: asyncio.Task[None] | None = None
        for watch in self._watches.values():
            watch.on_change(self._changed.set)

    async def start(self) -> None:
        """Apply what is known after a short wait. Clusters that were not read until then are unknown, and so held."""
        for watch in self._watches.values():
            watch.start()
        await asyncio.gather(*(watch.wait_synced(START_SECONDS) for watch in self._watches.values()))
        await self._apply()
        if self._watches:
            self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        for watch in self._watches.values():
            await watch.close()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def add_listener(self, listener: Listener) -> None:
        """Tell it of every set from now on, beginning with the one that is in force."""
        self._listeners.append(listener)
        if self._last is not None:
            await listener(self._last)

    @property
    def clusters(self) -> tuple[str, ...]:
        """Those whose policies are read."""
        return tuple(self._watches)

    async def replace_files(self, files: PolicySet) -> None:
        """Other files, the same resources."""
        self._files = files
        await self._apply()

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(GATHER_SECONDS)
            try:
                await self._apply()
            except Exception:
                # The set of before stays in force; what is at fault is in the log, and it is tried again.
                log.exception("policies could not be applied")
                self._changed.set()
                await asyncio.sleep(_AFTER_FAULT)
            await asyncio.sleep(APART_SECONDS)

    async def _apply(self) -> None:
        async with self._turn:
            # Cleared before looking: what comes from here on is for the next time.
            self._changed.clear()
            unknown = frozenset(name for name, watch in self._watches.items() if not watch.synced)
            resources: Seen = {}
            for name, watch in self._watches.items():
                if name not in unknown:
                    resources |= watch.resources()
            files = self._files
            policies, readings = await asyncio.to_thread(self._make, files, resources, unknown)
            if policies.digest != self._engine.digest:
                self._engine.replace(policies)
            if policies.digest != self._told:
                self._tell(policies, resources, readings)
                self._told = policies.digest
            self._last = Applied(policies, resources, readings)
            for listener in self._listeners:
                await listener(self._last)

    def _make(self, files: PolicySet, resources: Seen, unknown: frozenset[str]) -> tuple[PolicySet, Readings]:
        readings = self._reader.read(resources)
        return merge(files, readings, unknown=unknown), readings

    def _tell(self, policies: PolicySet, resources: Seen, readings: Readings) -> None:
        refused = sum(not one.accepted for one in readings.values())
        log.info(
            "policies applied",
            digest=policies.digest,
            policies=len(policies),
            resources=len(resources),
            not_accepted=refused,
            unknown=sorted(policies.unknown),
        )
        if policies.unknown:
            log.warning("requests of clusters whose policies are unknown answer 503", clusters=sorted(policies.unknown))
