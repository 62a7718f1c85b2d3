"""Policies as resources: their definitions are installed where the server is to read them."""

from acme_ra.doctor.client.subject import ClusterSide
from acme_ra.doctor.findings import Finding, error, ok
from acme_ra.policy.schema import API_VERSION

PLURALS = ("clusterissuancepolicies", "issuancepolicies")


async def check_policy_resources(side: ClusterSide) -> list[Finding]:
    """Nothing to say without the server's configuration, or where it does not read policies from this cluster."""
    settings = None if side.configuration is None else side.configuration.clusters.get(side.cluster)
    if settings is None or settings.policies == "none":
        return []
    group = API_VERSION.partition("/")[0]
    absent = []
    for plural in PLURALS:
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{group}"
        if await side.view.get(path) is None:
            absent.append(f"{plural}.{group}")
    if absent:
        seen = f"the server is to read policies from this cluster, and these are not installed: {', '.join(absent)}"
        return [error(seen, "apply deploy/crds, or set policies: none for this cluster")]
    return [ok(f"the resources of {API_VERSION} are installed")]
