"""What the checks read of a cluster: objects by path, with the rights of the kubeconfig."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from acme_ra.doctor.findings import CannotLook
from acme_ra.kubernetes.errors import ApiNotFound, ApiRefused, KubernetesError

Object = dict[str, Any]
_PAGE = 500
_MOST = 50_000


class Api(Protocol):
    """acme_ra.kubernetes.client.ApiClient, as far as it is used here."""

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> bytes:
        """The body of a successful answer. Raises KubernetesError."""


class View:
    """One cluster, read only but for access reviews, which change nothing. Raises KubernetesError."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def _call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Object | None = None
    ) -> Object:
        try:
            return _object(await self._api.call(method, path, query=query, body=body))
        except ApiRefused as problem:
            fix = "use a kubeconfig whose user may read it, or have somebody look who may"
            raise CannotLook(f"not looked at, because it may not be read: {problem}", fix) from problem

    async def get(self, path: str) -> Object | None:
        """An object, or None where there is no such object or no such resource."""
        try:
            return await self._call("GET", path)
        except ApiNotFound:
            return None

    async def items(self, path: str, **query: str) -> list[Object]:
        """Every object of a list; empty where the resource is not installed."""
        found: list[Object] = []
        query["limit"] = str(_PAGE)
        try:
            while len(found) < _MOST:
                page = await self._call("GET", path, query=query)
                found += page.get("items") or []
                token = (page.get("metadata") or {}).get("continue")
                if not token:
                    break
                query["continue"] = str(token)
        except ApiNotFound:
            return []
        return found

    async def may(self, verb: str, group: str, resource: str, *, namespace: str = "", subresource: str = "") -> bool:
        """Whether this identity may do that (SelfSubjectAccessReview)."""
        attributes = {"verb": verb, "group": group, "resource": resource}
        attributes |= {"namespace": namespace} if namespace else {}
        attributes |= {"subresource": subresource} if subresource else {}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = await self._call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
        return bool((answer.get("status") or {}).get("allowed"))


def labelled(**labels: str) -> str:
    """A label selector. `name` and `component` are the well-known app.kubernetes.io labels."""
    return ",".join(f"app.kubernetes.io/{key}={value}" for key, value in labels.items())


def _object(body: bytes) -> Object:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError as problem:
        raise KubernetesError(f"an answer that is no object: {problem}", cluster="") from problem
