"""Policies as resources: their definitions are installed, and acme-ra has accepted each (docs/policy.md)."""

from acme_ra.app import references
from acme_ra.config import Configuration
from acme_ra.doctor.client.subject import ClusterSide
from acme_ra.doctor.client.view import Object
from acme_ra.doctor.findings import Finding, error, ok, warning
from acme_ra.policy.compiled import Policy
from acme_ra.policy.resources import ResourceName, read_resource
from acme_ra.policy.schema import API_VERSION

#: plural → kind, for each value of a cluster's `policies`.
_LOCAL = {"issuancepolicies": "IssuancePolicy"}
_SOURCES = {"none": {}, "namespaced": _LOCAL, "all": {"clusterissuancepolicies": "ClusterIssuancePolicy"} | _LOCAL}
_ACCEPTED = "Accepted"
_NOT_CONTENT = ("apiVersion", "kind", "metadata", "status")


def _applied(side: ClusterSide) -> dict[str, str]:
    """The kinds that the server reads from this cluster, as far as its configuration is at hand."""
    settings = None if side.configuration is None else side.configuration.clusters.get(side.cluster)
    return {} if settings is None else _SOURCES[settings.policies]


async def check_policy_resources(side: ClusterSide) -> list[Finding]:
    """Nothing to say where the server does not read policies from this cluster, or that is not known."""
    kinds = _applied(side)
    if not kinds:
        return []
    group = API_VERSION.partition("/")[0]
    absent = []
    for plural in kinds:
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{group}"
        if await side.view.get(path) is None:
            absent.append(f"{plural}.{group}")
    if absent:
        seen = f"the server is to read policies from this cluster, and these are not installed: {', '.join(absent)}"
        return [error(seen, "apply deploy/crds, or set policies: none for this cluster")]
    found = await _all(side, kinds)
    findings = [told for name, one in found if (told := _judge(name, one)) is not None]
    return findings or [ok(f"the resources of {API_VERSION} are installed, accepted policies: {len(found)}")]


async def cluster_policies(side: ClusterSide, configuration: Configuration) -> list[Policy]:
    """The cluster's own policies, without those that cannot be read, which their status tells."""
    known = references(configuration)
    readings = [
        read_resource(name, {key: value for key, value in one.items() if key not in _NOT_CONTENT}, known)
        for name, one in await _all(side, _applied(side))
    ]
    return [one.policy for one in readings if one.accepted and one.policy is not None]


async def _all(side: ClusterSide, kinds: dict[str, str]) -> list[tuple[ResourceName, Object]]:
    return [
        (ResourceName(side.cluster, kind, str(one["metadata"].get("namespace", "")), str(one["metadata"]["name"])), one)
        for plural, kind in kinds.items()
        for one in await side.view.items(f"/apis/{API_VERSION}/{plural}")
    ]


def _judge(name: ResourceName, one: Object) -> Finding | None:
    generation = one["metadata"].get("generation", 0)
    conditions = (one.get("status") or {}).get("conditions") or []
    told = next((each for each in conditions if each.get("type") == _ACCEPTED), None)
    if told is None or told.get("observedGeneration", generation) < generation:
        fix = "see whether the server runs, reaches this cluster, and may patch the status: acme-ra doctor"
        return warning(f"{name.place} was not looked at by acme-ra yet", fix)
    if told.get("status") != "True":
        return error(f"{name.place} is not accepted: {told.get('message', '')}", "correct it as its status says")
    return None
