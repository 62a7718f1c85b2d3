"""A cluster as a table: objects by path, lists by path, and what the caller may do."""

import json
from collections.abc import Mapping
from typing import Any

from acme_ra.doctor.client.subject import ClusterSide, IssuerSide
from acme_ra.doctor.client.view import View
from acme_ra.doctor.directory import Reached, Unreachable
from acme_ra.kubernetes.errors import ApiNotFound, ApiRefused

DIRECTORY = "https://ra.test/acme/default/directory"
REACHED = Reached(
    DIRECTORY,
    {"newNonce": "https://ra.test/n", "meta": {"externalAccountRequired": True, "profiles": {"default": "90 days"}}},
    0.0,
)


class Objects:
    """What View asks. `hidden` are prefixes of paths that are answered with 403."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}
        self.lists: dict[str, list[dict[str, Any]]] = {}
        self.hidden: tuple[str, ...] = ()
        self.denied: set[tuple[str, str]] = set()  # verb, resource

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> bytes:
        if path.startswith(self.hidden) and self.hidden:
            raise ApiRefused(f"{path}: 403 forbidden", cluster="c")
        if method == "POST":
            assert body is not None
            asked = body["spec"]["resourceAttributes"]
            return json.dumps({"status": {"allowed": (asked["verb"], asked["resource"]) not in self.denied}}).encode()
        if path in self.lists:
            start = int((query or {}).get("continue", 0))
            end = start + 2  # small pages, so that a list of three has two
            more = {"continue": str(end)} if end < len(self.lists[path]) else {}
            return json.dumps({"metadata": more, "items": self.lists[path][start:end]}).encode()
        if path in self.found:
            return json.dumps(self.found[path]).encode()
        raise ApiNotFound(f"{path}: 404", cluster="c")

    def side(self, **more: Any) -> ClusterSide:
        return ClusterSide(
            **{"view": View(self), "connection": None, "configuration": None, "cluster": "", **more}  # type: ignore[arg-type]
        )

    def issuer(
        self,
        acme: dict[str, Any],
        *,
        reached: Reached | Unreachable = REACHED,
        status: dict[str, Any] | None = None,
        bundle: bytes | None = b"",
        **more: Any,
    ) -> IssuerSide:
        """A ClusterIssuer whose Secrets are in cert-manager."""
        issuer = {
            "metadata": {"name": "acme-ra", "generation": 2},
            "spec": {"acme": {"server": DIRECTORY, **acme}},
            "status": status or {},
        }
        return IssuerSide(
            side=self.side(**more),
            kind="ClusterIssuer",
            issuer=issuer,
            secrets="cert-manager",
            bundle=bundle,
            reached=reached,
        )
