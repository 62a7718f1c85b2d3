"""A person's kubeconfig: what acme-ra itself reads of one, and besides `exec`, which cloud providers' files use.

A server never runs a program that a kubeconfig names. Here the person runs their own, as kubectl would.
"""

import asyncio
import base64
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from acme_ra.kubernetes.connection import Connection, open_connection
from acme_ra.kubernetes.errors import ClusterMisconfigured
from acme_ra.kubernetes.settings import ClusterSettings

_SECONDS = 60.0  # it may open a browser


def default_kubeconfig(environment: Mapping[str, str]) -> Path:
    """As kubectl finds it; of a list of files the first."""
    first = environment.get("KUBECONFIG", "").split(os.pathsep)[0]
    return Path(first) if first else Path.home() / ".kube" / "config"


async def open_kubeconfig(path: Path, context: str | None, environment: Mapping[str, str]) -> Connection:
    """Raises ClusterMisconfigured."""
    document = _read(path)
    name = context or str(document.get("current-context") or "")
    user = _named(document, "user", str(_named(document, "context", name).get("user")))
    plugin = user.get("exec")
    if not isinstance(plugin, dict):
        return open_connection(ClusterSettings(kubeconfig=path, context=context), environment)
    told = await _run(path, plugin, environment)
    user.clear()
    user.update(_credentials(path, told))
    _anchor(document, path.resolve().parent)
    with tempfile.NamedTemporaryFile("w", prefix="acme-ra-", suffix=".kubeconfig") as file:  # mode 0600
        yaml.safe_dump(document, file)
        file.flush()
        return open_connection(ClusterSettings(kubeconfig=Path(file.name), context=context), environment)


def _read(path: Path) -> dict[str, Any]:
    """The document, or an empty one for what open_connection will tell."""
    try:
        document = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError):
        return {}
    return document if isinstance(document, dict) else {}


def _named(document: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    entries = document.get(f"{kind}s")
    for one in entries if isinstance(entries, list) else []:
        if isinstance(one, dict) and one.get("name") == name and isinstance(one.get(kind), dict):
            found: dict[str, Any] = one[kind]
            return found
    return {}


async def _run(path: Path, plugin: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The status of the ExecCredential that the program prints (client.authentication.k8s.io)."""
    version = str(plugin.get("apiVersion") or "client.authentication.k8s.io/v1")
    request = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    added = {str(one["name"]): str(one["value"]) for one in plugin.get("env") or []}
    words = [str(plugin.get("command")), *map(str, plugin.get("args") or [])]
    try:
        child = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env={**environment, **added, "KUBERNETES_EXEC_INFO": json.dumps(request)},
        )
    except OSError as error:
        raise ClusterMisconfigured(f"{path}: {words[0]} cannot be run ({error.strerror}); install it") from error
    try:
        out, _ = await asyncio.wait_for(child.communicate(), _SECONDS)
        status = json.loads(out)["status"] if child.returncode == 0 else None
    except TimeoutError as error:
        child.kill()
        raise ClusterMisconfigured(f"{path}: {words[0]} did not end within {_SECONDS:g} s; log in first") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterMisconfigured(f"{path}: {words[0]} printed no ExecCredential; update it") from error
    if not isinstance(status, dict):
        raise ClusterMisconfigured(f"{path}: {words[0]} failed; run `kubectl get namespaces` to see why")
    return status


def _credentials(path: Path, status: dict[str, Any]) -> dict[str, Any]:
    if status.get("token"):
        return {"token": str(status["token"])}
    pair = {"client-certificate": "clientCertificateData", "client-key": "clientKeyData"}
    if all(status.get(given) for given in pair.values()):
        return {f"{key}-data": base64.b64encode(str(status[given]).encode()).decode() for key, given in pair.items()}
    raise ClusterMisconfigured(f"{path}: its program gave neither a token nor a client certificate; log in first")


def _anchor(document: dict[str, Any], folder: Path) -> None:
    """Relative paths start at the file's own folder."""
    for one in document.get("clusters") or []:
        cluster = one.get("cluster") if isinstance(one, dict) else None
        if isinstance(cluster, dict) and isinstance(cluster.get("certificate-authority"), str):
            cluster["certificate-authority"] = str(folder / cluster["certificate-authority"])
