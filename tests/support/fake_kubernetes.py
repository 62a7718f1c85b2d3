"""A Kubernetes API server in process, over TLS on a loopback port: what its contract says, and faults on demand.

Objects are kept by path; every write gets the next resource version, and watches tell it in that order. Lists are
snapshots, also over several pages. `FakeKubernetes.script` makes calls fail, hang, or answer nonsense.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import datetime as dt
import ipaddress
import json
import ssl
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from acme_ra.kubernetes.client import ApiClient
from acme_ra.kubernetes.connection import Connection, open_connection
from acme_ra.kubernetes.settings import ClusterSettings

Object = dict[str, Any]
TOKEN = "fake-token"


@dataclass
class Fault:
    """What happens to calls that `when` selects, `times` times (None: always)."""

    when: Callable[[str, str], bool]  # method ("WATCH" for watches), path
    status: int = 200
    body: bytes | None = None
    hang: bool = False
    times: int | None = None
    headers: dict[str, str] | None = None


@dataclass
class Change:
    """One committed write."""

    version: int
    kind: str
    collection: str
    object: Object


class FakeKubernetes:
    """Start with `async with FakeKubernetes.running() as fake`."""

    def __init__(self) -> None:
        self.version = 1000
        self.objects: dict[str, dict[tuple[str, str], Object]] = {}  # collection → (namespace, name) → object
        self.missing: set[str] = set()  # API groups that are not installed
        self.calls: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self.url = ""
        self.folder = Path()
        self.held = False  # watches say nothing while this is set
        self.page_limit: int | None = None
        self._changes: list[Change] = []
        self._oldest = 0
        self._changed = asyncio.Condition()
        self._snapshots: dict[str, tuple[int, list[Object]]] = {}
        self._watches: set[asyncio.Task[Any]] = set()

    # ------------------------------------------------------------------------------------------- the test's side

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls) -> AsyncIterator[FakeKubernetes]:
        fake = cls()
        with tempfile.TemporaryDirectory() as folder:
            fake.folder = Path(folder)
            context = _server_tls(fake.folder)
            (fake.folder / "token").write_text(TOKEN + "\n")
            app = web.Application(client_max_size=8 * 1024 * 1024)
            app.router.add_route("*", "/{path:.*}", fake._answer)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
            await site.start()
            fake.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
            try:
                yield fake
            finally:
                fake.break_watches()
                await runner.cleanup()

    def settings(self, **more: Any) -> ClusterSettings:
        given = {"server": self.url, "ca_bundle": self.folder / "ca.pem", "token_file": self.folder / "token"}
        # As long as they may be: tests of a limit set it themselves.
        given |= {"timeout": 60_000, "attribution_timeout": 60_000}
        return ClusterSettings.model_validate(given | more)

    def connection(self, **more: Any) -> Connection:
        return open_connection(self.settings(**more), {})

    def client(self, name: str = "prod", **more: Any) -> ApiClient:
        return ApiClient(name, self.connection(**more), self.settings(**more))

    def put(self, collection: str, obj: Object, *, status: bool = False) -> Object:
        """Create or replace; sets uid, resourceVersion and generation as an API server does. Told to watches.

        `status`: nothing else changes, so the generation stays.
        """
        metadata = obj["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        held = self.objects.setdefault(collection, {})
        old = held.get(key)
        made = copy.deepcopy(obj)
        made["metadata"].setdefault("uid", old["metadata"]["uid"] if old else str(uuid.uuid4()))
        made["metadata"].setdefault("creationTimestamp", "2026-11-24T12:00:00Z")
        made["metadata"]["generation"] = (old["metadata"]["generation"] + (not status)) if old else 1
        self._commit("MODIFIED" if old else "ADDED", collection, made)
        held[key] = made
        return made

    def delete(self, collection: str, namespace: str, name: str) -> None:
        gone = self.objects[collection].pop((namespace, name))
        self._commit("DELETED", collection, copy.deepcopy(gone))

    def get(self, collection: str, namespace: str, name: str) -> Object | None:
        return self.objects.get(collection, {}).get((namespace, name))

    def script(
        self,
        method: str,
        path: str,
        *,
        status: int = 200,
        body: bytes | None = None,
        hang: bool = False,
        times: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> Fault:
        """Calls whose method is `method` ("*" for any) and whose path contains `path`."""
        fault = Fault(lambda m, p: method in ("*", m) and path in p, status, body, hang, times, headers)
        self.faults.append(fault)
        return fault

    def compact(self) -> None:
        """Forget history: watches from before get 410, and so do unfinished lists."""
        self._oldest = self.version
        self._snapshots.clear()

    def break_watches(self) -> None:
        for task in tuple(self._watches):
            task.cancel()

    async def release(self) -> None:
        """Watches tell what they held back."""
        self.held = False
        async with self._changed:
            self._changed.notify_all()

    def count(self, method: str, part: str) -> int:
        return sum(1 for one, path in self.calls if one == method and part in path)

    # --------------------------------------------------------------------------------------------- the API's side

    def _commit(self, kind: str, collection: str, obj: Object) -> None:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        self._changes.append(Change(self.version, kind, collection, obj))
        with contextlib.suppress(RuntimeError):
            task = asyncio.get_running_loop().create_task(self._notify())
            self._watches.add(task)
            task.add_done_callback(self._watches.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        method = "WATCH" if request.query.get("watch") else request.method
        self.calls.append((method, request.path))
        for fault in tuple(self.faults):
            if fault.times != 0 and fault.when(method, request.path):
                if fault.times is not None:
                    fault.times -= 1
                if fault.hang:
                    await asyncio.sleep(3600)
                if fault.body is not None or fault.status != 200:
                    body = fault.body or _status(fault.status, "scripted")
                    return web.Response(status=fault.status, body=body, headers=fault.headers)
        if request.headers.get("Authorization") != f"Bearer {(self.folder / 'token').read_text().strip()}":
            return _failure(401, "Unauthorized")
        group, namespace, plural, name, subresource = _parse(request.path)
        if group in self.missing or plural in self.missing or not plural:
            return _failure(404, "the server could not find the requested resource")
        collection = plural
        if method == "WATCH":
            return await self._watch(request, collection, namespace)
        if method == "GET" and name:
            found = self.get(collection, namespace, name)
            return _failure(404, f'{plural} "{name}" not found') if found is None else web.json_response(found)
        if method == "GET":
            return self._list(request, collection, namespace)
        return await self._write(request, collection, namespace, name, subresource)

    def _list(self, request: web.Request, collection: str, namespace: str) -> web.Response:
        token, limit = request.query.get("continue", ""), int(request.query.get("limit", "0"))
        if token:
            snapshot_id, _, offset_text = token.partition(":")
            if snapshot_id not in self._snapshots:
                return _failure(410, "The provided continue parameter is too old")
            version, items = self._snapshots[snapshot_id]
            offset = int(offset_text)
        else:
            version, offset = self.version, 0
            held = self.objects.get(collection, {})
            items = [held[key] for key in sorted(held) if not namespace or key[0] == namespace]
            snapshot_id = f"{version}-{len(self._snapshots)}"
        if self.page_limit:
            limit = min(limit or self.page_limit, self.page_limit)
        page = items[offset : offset + limit] if limit else items
        metadata: Object = {"resourceVersion": str(version)}
        if offset + len(page) < len(items):
            self._snapshots[snapshot_id] = (version, items)
            metadata["continue"] = f"{snapshot_id}:{offset + len(page)}"
        return web.json_response({"kind": "List", "metadata": metadata, "items": page})

    async def _watch(self, request: web.Request, collection: str, namespace: str) -> web.StreamResponse:
        seen = int(request.query.get("resourceVersion") or 0)
        response = web.StreamResponse()
        if seen < self._oldest:
            return _failure(410, "too old resource version")
        await response.prepare(request)
        task = asyncio.current_task()
        assert task is not None
        self._watches.add(task)
        try:
            await self._tell(response, collection, namespace, seen)
        except asyncio.CancelledError:
            if request.transport is not None:
                request.transport.close()
        finally:
            self._watches.discard(task)
        return response

    async def _tell(self, response: web.StreamResponse, collection: str, namespace: str, seen: int) -> None:
        while True:
            if not self.held:
                for change in [one for one in self._changes if one.version > seen]:
                    seen = change.version
                    mine = not namespace or change.object["metadata"].get("namespace") == namespace
                    if change.collection == collection and mine:
                        await response.write(
                            json.dumps({"type": change.kind, "object": change.object}).encode() + b"\n"
                        )
            async with self._changed:
                while self.held or self.version <= seen:
                    await self._changed.wait()

    async def _write(
        self, request: web.Request, collection: str, namespace: str, name: str, subresource: str
    ) -> web.Response:
        body = json.loads(await request.read())
        if request.method == "POST":
            body["metadata"]["namespace"] = namespace
            if "generateName" in body["metadata"]:
                body["metadata"]["name"] = body["metadata"]["generateName"] + uuid.uuid4().hex[:5]
            if self.get(collection, namespace, body["metadata"]["name"]) is not None:
                return _failure(409, "already exists")
            return web.json_response(self.put(collection, body), status=201)
        old = self.get(collection, namespace, name)
        if request.method != "PATCH" or old is None:
            return _failure(404 if old is None else 405, "not found")
        wanted = body.get("metadata", {}).get("resourceVersion")
        if wanted is not None and wanted != old["metadata"]["resourceVersion"]:
            return _failure(409, "the object has been modified")
        made = copy.deepcopy(old)
        changes = {"status": body["status"]} if subresource == "status" else body
        _merge(made, {key: value for key, value in changes.items() if key != "metadata"})
        return web.json_response(self.put(collection, made, status=subresource == "status"))


def _merge(into: Object, changes: Object) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        elif value is None:
            into.pop(key, None)
        else:
            into[key] = value


def _parse(path: str) -> tuple[str, str, str, str, str]:
    """group, namespace, plural, name, subresource."""
    parts = path.strip("/").split("/")
    if parts[0] == "api":
        group, rest = "", parts[2:]
    elif parts[0] == "apis" and len(parts) > 2:
        group, rest = parts[1], parts[3:]
    else:
        return "", "", "", "", ""
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    rest += [""] * (3 - len(rest))
    return group, namespace, rest[0], rest[1], rest[2]


def _status(code: int, message: str) -> bytes:
    return json.dumps({"kind": "Status", "status": "Failure", "code": code, "message": message}).encode()


def _failure(code: int, message: str) -> web.Response:
    return web.Response(status=code, body=_status(code, message), content_type="application/json")


def _server_tls(folder: Path) -> ssl.SSLContext:
    """A CA in `ca.pem` and a server certificate of it for 127.0.0.1."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake kubernetes")])
    ca = _certificate(issuer, issuer, ca_key.public_key(), ca_key, is_ca=True)
    leaf = _certificate(x509.Name([]), issuer, key.public_key(), ca_key, is_ca=False)
    (folder / "ca.pem").write_bytes(ca.public_bytes(Encoding.PEM))
    (folder / "server.pem").write_bytes(leaf.public_bytes(Encoding.PEM))
    (folder / "server.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if not is_ca:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = builder.add_extension(names, critical=not subject.rdns)
    return builder.sign(signer, hashes.SHA256())


def pem_of_csr(der: bytes) -> str:
    """`spec.request` as cert-manager writes it: PEM, in base64."""
    pem = x509.load_der_x509_csr(der).public_bytes(Encoding.PEM)
    return base64.b64encode(pem).decode()
