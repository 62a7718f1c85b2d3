"""Files and resources become one policy set. Pure but for a memory of what was read before."""

import msgspec

from acme_ra.policy.compiled import Policy, PolicySet
from acme_ra.policy.errors import PolicyMistake
from acme_ra.policy.references import References
from acme_ra.policy.resources import Reading, ResourceName, read_resource, refusing
from acme_ra.policy_resources.watch import MAX_BYTES, SeenPolicy

#: A tenant must not be able to make every decision about the namespace slow, nor to fill the server's memory.
MAX_LOCAL = 50

Seen = dict[ResourceName, SeenPolicy]
Readings = dict[ResourceName, Reading]


class Reader:
    """Reads what is new or was changed; everything else it remembers."""

    def __init__(self, known: References) -> None:
        self._known = known
        self._read: dict[ResourceName, tuple[bytes | None, Reading]] = {}

    def read(self, resources: Seen) -> Readings:
        """One reading for each. May take long; to be called by one thread at a time."""
        readings: Readings = {}
        kept: dict[ResourceName, tuple[bytes | None, Reading]] = {}
        local: dict[tuple[str, str], int] = {}
        for resource, one in resources.items():
            if resource.namespace:
                place = (resource.cluster, resource.namespace)
                local[place] = local.get(place, 0) + 1
                if local[place] > MAX_LOCAL:
                    readings[resource] = _one_too_many(resource, first=local[place] == MAX_LOCAL + 1)
                    continue
            before = self._read.get(resource)
            reading = before[1] if before is not None and before[0] == one.content else self._new(resource, one)
            kept[resource] = (one.content, reading)
            readings[resource] = reading
        self._read = kept
        return readings

    def _new(self, resource: ResourceName, one: SeenPolicy) -> Reading:
        if one.content is None:
            mistake = PolicyMistake(resource.place, 0, "", f"is larger than {MAX_BYTES} bytes", "split it")
            return Reading(refusing(resource, {}, [mistake]), (mistake,))
        return read_resource(resource, msgspec.json.decode(one.content), self._known)


def _one_too_many(resource: ResourceName, *, first: bool) -> Reading:
    """What is past the limit is not read, so the first of them refuses for all."""
    mistake = PolicyMistake(
        resource.place,
        0,
        "",
        f"namespace {resource.namespace} has more than {MAX_LOCAL} IssuancePolicies",
        "remove some, or put several into one",
    )
    return Reading(refusing(resource, {}, [mistake]) if first else None, (mistake,))


def merge(files: PolicySet, readings: Readings, *, unknown: frozenset[str]) -> PolicySet:
    """One set. Names cannot meet: those of resources begin with their cluster and a colon."""
    policies: list[Policy] = [*files.policies]
    policies += [one.policy for one in readings.values() if one.policy is not None]
    return PolicySet(policies, unknown=unknown)
