"""Requests to a Kubernetes API server, as one of its users: kinds are found by discovery, objects are applied.

Every call is a connection of its own, so that an API server may be restarted between two calls.
"""

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import yaml

Object = dict[str, Any]
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


@dataclass(frozen=True)
class User:
    """Somebody with a static token."""

    name: str
    groups: tuple[str, ...] = ()

    @property
    def token(self) -> str:
        return f"token-of-{self.name}"


ADMIN = User("admin", ("system:masters",))
RA = User("acme-ra")  # bound to no role but what a test grants
CERT_MANAGER = User("cert-manager", ("system:masters",))
DEVELOPERS = (User("dev-a"), User("dev-b"))
USERS = (ADMIN, RA, CERT_MANAGER, *DEVELOPERS)


class ApiError(AssertionError):
    """The API server refused: HTTP status, `reason` ("Forbidden", "NotFound", "Conflict"…) and its sentence."""

    def __init__(self, request: str, status: int, answer: Object) -> None:
        self.status = status
        self.reason = str(answer.get("reason", ""))
        self.message = str(answer.get("message", answer))
        super().__init__(f"{request}: HTTP {status} {self.reason}: {self.message}")


@dataclass(frozen=True)
class Resource:
    """Where objects of a kind live."""

    base: str
    plural: str
    namespaced: bool

    def path(self, namespace: str | None, name: str | None = None) -> str:
        assert namespace is None or self.namespaced, f"{self.plural} have no namespace"
        assert namespace is not None or not self.namespaced or name is None, f"which namespace's {self.plural}?"
        where = f"/namespaces/{quote(namespace)}" if namespace is not None else ""
        return f"{self.base}{where}/{self.plural}" + (f"/{quote(name)}" if name is not None else "")


class Api:
    """One API server. `user` and `impersonate` say who asks; otherwise it is admin."""

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        self.port = port
        self._tls = tls
        self._resources: dict[str, Resource] = {}

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        user: User = ADMIN,
        token: str | None = None,
        impersonate: str | None = None,
        accept: str = "application/json",
        seconds: float = 120,
    ) -> Any:
        """The decoded answer, or its text when it is not JSON. ApiError on a refusal, OSError when nobody answers."""
        headers = {"Authorization": f"Bearer {token or user.token}", "Accept": accept}
        if impersonate is not None:
            headers["Impersonate-User"] = impersonate
        data = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = content_type
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self._tls, timeout=seconds)
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            raw = response.read()
        finally:
            connection.close()
        text = raw.decode()
        answer = json.loads(text) if response.headers.get_content_type() == "application/json" else text
        if response.status >= 400:
            told = answer if isinstance(answer, dict) else {"message": text}
            raise ApiError(f"{method} {path}", response.status, told)
        return answer

    def resource(self, kind: str, api_version: str | None = None) -> Resource:
        """Where a kind lives; the core group first, then the others' preferred versions."""
        key = f"{api_version or ''}/{kind}"
        if key not in self._resources:
            for group in [api_version] if api_version else self._group_versions():
                base = f"/apis/{group}" if "/" in group else f"/api/{group}"
                for told in self.call("GET", base)["resources"]:
                    if told["kind"] == kind and "/" not in told["name"]:
                        self._resources[key] = Resource(base, told["name"], told["namespaced"])
                        return self._resources[key]
            raise AssertionError(f"the cluster knows no kind {kind} {api_version or ''}")
        return self._resources[key]

    def _group_versions(self) -> list[str]:
        groups = self.call("GET", "/apis")["groups"]
        return ["v1", *(group["preferredVersion"]["groupVersion"] for group in groups)]


def documents(manifest: str | Mapping[str, Any]) -> Iterator[Object]:
    """The objects of a manifest: one object, or YAML text of several."""
    if isinstance(manifest, str):
        yield from (document for document in yaml.safe_load_all(manifest) if document)
    else:
        yield dict(manifest)


def query(**fields: str | None) -> str:
    """A query string of the fields that are given."""
    given = {name: value for name, value in fields.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""
