"""The status of policy resources: whether acme-ra accepted them, and if not, what is wrong and how to mend it.

One worker writes, only what differs, at a bounded pace. A write names the version that was read, so that an answer
about yesterday's text is never put under today's.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from acme_ra.core.clock import Clock, to_rfc3339
from acme_ra.kubernetes.client import ApiClient
from acme_ra.kubernetes.errors import ApiConflict, ApiNotFound, KubernetesError
from acme_ra.policy.resources import Reading, ResourceName
from acme_ra.policy_resources.keeper import Applied
from acme_ra.policy_resources.watch import RESOURCES, SeenPolicy

log = structlog.get_logger(__name__)

ACCEPTED = "Accepted"
MAX_MESSAGE = 2000
MAX_TOLD = 10
#: Between two writes.
PACE_SECONDS = 0.1
#: Between two writes of the same: two versions of acme-ra that disagree must not flood the API server.
REPEAT_SECONDS = 60.0
RETRY_SECONDS = 10.0
_REMEMBERED = 16384


def desired_status(resource: ResourceName, one: SeenPolicy, reading: Reading, now: str) -> dict[str, Any]:
    """What the status should be. `now` is used only where the condition changes its value."""
    accepted = "True" if reading.accepted else "False"
    old = _condition(one.status)
    since = old.get("lastTransitionTime") if old.get("status") == accepted else None
    status: dict[str, Any] = {
        "observedGeneration": one.generation,
        "conditions": [
            {
                "type": ACCEPTED,
                "status": accepted,
                "reason": _reason(reading),
                "message": _message(resource, reading),
                "observedGeneration": one.generation,
                "lastTransitionTime": since or now,
            }
        ],
    }
    # A merge patch removes what is null.
    status["digest"] = reading.policy.digest if reading.accepted and reading.policy is not None else None
    return status


def differs(one: SeenPolicy, wanted: Mapping[str, Any]) -> bool:
    """Whether the object says something else already; the time of a transition is no difference."""
    told = {key: one.status.get(key) for key in ("observedGeneration", "digest")}
    if told != {key: wanted[key] for key in told}:
        return True
    old, new = dict(_condition(one.status)), dict(wanted["conditions"][0])
    old.pop("lastTransitionTime", None)
    new.pop("lastTransitionTime")
    return old != new


def _condition(status: Mapping[str, Any]) -> dict[str, Any]:
    for condition in status.get("conditions") or ():
        if isinstance(condition, dict) and condition.get("type") == ACCEPTED:
            return condition
    return {}


def _reason(reading: Reading) -> str:
    if reading.accepted:
        return "Applied"
    return "UnknownReference" if reading.unresolved else "Invalid"


def _message(resource: ResourceName, reading: Reading) -> str:
    if reading.accepted:
        shadow = reading.policy is not None and not reading.policy.enforced
        return f"{'evaluated in shadow mode' if shadow else 'in force'} for workloads of {_whose(resource)}"
    told = "; ".join(str(one) for one in reading.mistakes[:MAX_TOLD])
    if len(reading.mistakes) > MAX_TOLD:
        told += f"; and {len(reading.mistakes) - MAX_TOLD} more"
    if reading.policy is not None:
        end = f". Until it is corrected it refuses what it selects, or all of {_whose(resource)} if that is not clear"
    else:
        end = ". Until it is corrected it has no effect"
    if len(told) + len(end) > MAX_MESSAGE:
        told = told[: MAX_MESSAGE - len(end) - 1] + "…"
    return told + end


def _whose(resource: ResourceName) -> str:
    where = f"namespace {resource.namespace} of " if resource.namespace else ""
    return f"{where}cluster {resource.cluster}"


class StatusWriter:
    """Owned by one worker. `tell` takes what was applied and returns at once."""

    def __init__(
        self, clients: Mapping[str, ApiClient], clock: Clock, *, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self._clients = clients
        self._clock = clock
        self._ticks = ticks
        self._applied: Applied | None = None
        self._wanted = asyncio.Event()
        self._written: dict[tuple[ResourceName, int, str], float] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def tell(self, applied: Applied) -> None:
        self._applied = applied
        self._wanted.set()

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if not await self._write_all():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), RETRY_SECONDS)
                self._wanted.set()

    async def _write_all(self) -> bool:
        """Whether all was written that should be; what came newer meanwhile is for the next round."""
        applied = self._applied
        assert applied is not None
        done = True
        for resource, one in applied.resources.items():
            wanted = desired_status(resource, one, applied.readings[resource], to_rfc3339(self._clock.now()))
            if not differs(one, wanted):
                continue
            if self._applied is not applied:
                self._wanted.set()
                return True
            done = await self._write(resource, one, wanted) and done
        return done

    async def _write(self, resource: ResourceName, one: SeenPolicy, wanted: Mapping[str, Any]) -> bool:
        mark, now = (resource, one.generation, wanted["conditions"][0]["message"]), self._ticks()
        if now - self._written.get(mark, float("-inf")) < REPEAT_SECONDS:
            return False
        body = {"metadata": {"resourceVersion": one.version}, "status": wanted}
        try:
            await self._clients[resource.cluster].merge(
                RESOURCES[resource.kind], resource.name, body, namespace=resource.namespace, subresource="status"
            )
        except (ApiConflict, ApiNotFound):
            return True  # it changed meanwhile, and the watch brings what it is now
        except KubernetesError as error:
            log.warning("status cannot be written", cluster=resource.cluster, policy=resource.place, cause=str(error))
            await asyncio.sleep(PACE_SECONDS)
            return False
        self._written.pop(mark, None)
        self._written[mark] = now
        if len(self._written) > _REMEMBERED:
            del self._written[next(iter(self._written))]
        await asyncio.sleep(PACE_SECONDS)
        return True
