"""What a person sees: conditions and events of an object, as `kubectl describe` prints them."""

from collections.abc import Callable

from tests.cluster.harness.api import Object
from tests.cluster.harness.control_plane import Cluster


def conditions(found: Object) -> dict[str, Object]:
    return {told["type"]: told for told in found.get("status", {}).get("conditions", [])}


def condition(kind: str, status: str = "True") -> Callable[[Object], bool]:
    """For Cluster.wait: whether the object's condition has this status for its newest generation."""

    def holds(found: Object) -> bool:
        told = conditions(found).get(kind)
        if told is None or told["status"] != status:
            return False
        return bool(told.get("observedGeneration", 0) in (0, found["metadata"].get("generation", 0)))

    return holds


def events(cluster: Cluster, kind: str, name: str, namespace: str) -> list[Object]:
    """The events about an object, oldest first."""
    found = [
        event
        for event in cluster.objects("Event", namespace)
        if event["involvedObject"]["kind"] == kind and event["involvedObject"]["name"] == name
    ]
    return sorted(found, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime")))


def describe(cluster: Cluster, kind: str, name: str, namespace: str) -> str:
    """Status, conditions and events, as a text."""
    found = cluster.get(kind, name, namespace)
    lines = [f"{kind} {namespace}/{name}"]
    state = found.get("status", {})
    lines += [f"  {key}: {state[key]}" for key in ("state", "reason") if key in state]
    for told in conditions(found).values():
        lines.append(f"  condition {told['type']}={told['status']} {told.get('reason')}: {told.get('message')}")
    for event in events(cluster, kind, name, namespace):
        source = event.get("source", {}).get("component") or event.get("reportingComponent")
        lines.append(f"  event {event['type']} {event['reason']} from {source}: {event['message']}")
    return "\n".join(lines)


def describe_all(cluster: Cluster, name: str, namespace: str) -> str:
    """A Certificate and what was made for it, for the message of a failing test."""
    told = [describe(cluster, "Certificate", name, namespace)]
    for kind in ("CertificateRequest", "Order", "Challenge"):
        for found in cluster.objects(kind, namespace):
            if found["metadata"]["name"].startswith(f"{name}-"):
                told.append(describe(cluster, kind, found["metadata"]["name"], namespace))
    return "\n".join(told)
