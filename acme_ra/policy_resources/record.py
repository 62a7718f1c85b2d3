"""What one worker tells of policy sets: an audit event for each that came into force, and metrics."""

import structlog

from acme_ra.audit.events import PolicyApplied, Subject
from acme_ra.core.clock import Clock
from acme_ra.policy_resources.keeper import Applied
from acme_ra.storage.contract import Store, StoreUnavailable
from acme_ra.telemetry import Metrics

log = structlog.get_logger(__name__)


class PolicyGauges:
    """Policy resources as metrics."""

    def __init__(self, metrics: Metrics, clusters: tuple[str, ...]) -> None:
        self._metrics = metrics
        self._clusters = clusters

    async def show(self, applied: Applied) -> None:
        for cluster in self._clusters:
            states = [reading.accepted for resource, reading in applied.readings.items() if resource.cluster == cluster]
            self._metrics.policies(
                cluster,
                accepted=sum(states),
                refused=len(states) - sum(states),
                known=cluster not in applied.policies.unknown,
            )


class AuditRecorder:
    """Who changed a policy is known to git, or to the audit log of the cluster's API server; not here."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._recorded = ""

    async def record(self, applied: Applied) -> None:
        """A set that could not be recorded is recorded at the next look; every decision has its digest anyway."""
        policies = applied.policies
        if policies.digest == self._recorded:
            return
        grants = sum(one.effect == "grant" for one in policies.policies)
        event = PolicyApplied(
            digest=policies.digest,
            grants=grants,
            guards=len(policies) - grants,
            resources=len(applied.resources),
            not_accepted=sum(not one.accepted for one in applied.readings.values()),
            unknown=tuple(sorted(policies.unknown)),
        )
        try:
            await self._store.transact(lambda tx: tx.append_event(event.record(self._clock.now(), Subject())))
        except StoreUnavailable as error:
            log.error("a change of policies is not in the audit log yet", digest=policies.digest, cause=error.reason)
            return
        self._recorded = policies.digest
