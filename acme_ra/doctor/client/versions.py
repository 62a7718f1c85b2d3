"""cert-manager's version, and what is known of old ones."""

import re
from typing import NamedTuple

from acme_ra.doctor.client.subject import ClusterSide
from acme_ra.doctor.client.view import Object, View, labelled
from acme_ra.doctor.findings import Finding, ok, warning

Version = tuple[int, int, int]
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
DEPLOYMENTS = "/apis/apps/v1/deployments"
CONTROLLER = labelled(name="cert-manager", component="controller")


class Flaw(NamedTuple):
    """Fixed in the first version of each listed minor release, and in all later ones."""

    what: str
    fixed: tuple[Version, ...]

    def has(self, version: Version) -> bool:
        same = [one for one in self.fixed if one[:2] == version[:2]]
        return version < same[0] if same else version < max(self.fixed)

    @property
    def fix(self) -> str:
        return " or ".join(f"{major}.{minor}.{patch}" for major, minor, patch in self.fixed)


FLAWS = (
    Flaw(
        "GHSA-8rvj-mm4h-c258: its edit role lets tenants write Orders and Challenges",
        ((1, 19, 6), (1, 20, 3), (1, 21, 0)),
    ),
    Flaw("GHSA-gx3x-vq4p-mhhv: a DNS answer can stop its controller", ((1, 18, 5), (1, 19, 3))),
    Flaw("GHSA-r4pg-vg54-wxx4: a crafted PEM can stop its controller", ((1, 12, 14), (1, 15, 4), (1, 16, 2))),
)
PROFILES: Version = (1, 18, 0)


def parse_version(text: str) -> Version | None:
    """`v1.21.2`, also as an image's tag with a digest behind it."""
    found = _VERSION.match(text)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


async def controller(view: View) -> Object | None:
    """The Deployment of cert-manager's controller."""
    found = await view.items(DEPLOYMENTS, labelSelector=CONTROLLER)
    return found[0] if found else None


async def check_cert_manager(side: ClusterSide) -> list[Finding]:
    text, where = await _find(side.view)
    version = parse_version(text)
    if version is None:
        fix = "see the tag of its image; needed is 1.19.6, 1.20.3, 1.21.0 or later"
        return [warning("cert-manager's version cannot be told: no Deployment and no label on its CRDs says it", fix)]
    shown = ".".join(map(str, version))
    bad = [
        warning(f"cert-manager {shown} has {flaw.what}", f"upgrade it to {flaw.fix} or later")
        for flaw in FLAWS
        if flaw.has(version)
    ]
    if version < PROFILES:
        bad.append(warning(f"cert-manager {shown} knows no certificate profiles", "upgrade it to 1.18 or later"))
    return bad or [ok(f"cert-manager {shown} ({where})")]


async def _find(view: View) -> tuple[str, str]:
    deployment = await controller(view)
    if deployment is not None:
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            image, _, tag = str(container.get("image", "")).partition("@")[0].rpartition(":")
            if "cert-manager" in image and parse_version(tag):
                return tag, f"Deployment {deployment['metadata']['namespace']}/{deployment['metadata']['name']}"
    crd = await view.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/orders.acme.cert-manager.io")
    labels = ((crd or {}).get("metadata") or {}).get("labels") or {}
    return str(labels.get("app.kubernetes.io/version", "")), "label of its CRD"
