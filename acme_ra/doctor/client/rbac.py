"""Whether tenants may write Orders: attribution reads whose order it is from there (GHSA-8rvj-mm4h-c258)."""

from acme_ra.doctor.client.subject import ClusterSide
from acme_ra.doctor.client.view import Object
from acme_ra.doctor.findings import Finding, ok, warning

ADVISORY = "GHSA-8rvj-mm4h-c258"
_GROUPS = {"acme.cert-manager.io", "*"}
_RESOURCES = {"orders", "orders/status", "orders/*", "*/status", "*"}
_VERBS = {"create", "update", "patch", "*"}
_TENANTS = ("edit", "admin")


async def check_orders(side: ClusterSide) -> list[Finding]:
    """The roles that Kubernetes gives to the people of a namespace, and whatever is aggregated to them."""
    roles = await side.view.items("/apis/rbac.authorization.k8s.io/v1/clusterroles")
    writing = {str(role["metadata"]["name"]): may_write_orders(role) for role in roles}
    sources = [role for role in roles if aggregated_to(role) and writing[str(role["metadata"]["name"])]]
    findings = [_tell(role, writing[str(role["metadata"]["name"])]) for role in sources]
    if not findings:
        # Not by aggregation: somebody wrote the rule into the role itself.
        findings = [
            _tell(role, writing[name])
            for role in roles
            if (name := str(role["metadata"]["name"])) in _TENANTS and writing[name]
        ]
    return findings or [ok("edit and admin, and what is aggregated to them, cannot write Orders")]


def _tell(role: Object, verbs: tuple[str, ...]) -> Finding:
    name = str(role["metadata"]["name"])
    to = ", ".join(aggregated_to(role)) or name
    return warning(
        f"ClusterRole {name} lets tenants (role {to}) {', '.join(verbs)} Orders: an order could be passed off as "
        f"another namespace's ({ADVISORY})",
        "upgrade cert-manager to 1.19.6, 1.20.3, 1.21.0 or later, or remove these verbs on "
        f"orders.acme.cert-manager.io from it: kubectl edit clusterrole {name}",
    )


def aggregated_to(role: Object) -> tuple[str, ...]:
    labels = role["metadata"].get("labels") or {}
    return tuple(one for one in _TENANTS if labels.get(f"rbac.authorization.k8s.io/aggregate-to-{one}") == "true")


def may_write_orders(role: Object) -> tuple[str, ...]:
    """The verbs, where there are any."""
    verbs: set[str] = set()
    for rule in role.get("rules") or []:
        if _GROUPS & {*(rule.get("apiGroups") or ())} and _RESOURCES & {*(rule.get("resources") or ())}:
            verbs |= _VERBS & {*(rule.get("verbs") or ())}
    return tuple(sorted(verbs))
