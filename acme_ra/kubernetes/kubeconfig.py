"""kubeconfig files: the parts that a server can use. What would change their meaning is refused, not passed over."""

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from acme_ra.kubernetes.credentials import Material
from acme_ra.kubernetes.errors import ClusterMisconfigured

_MAX_SIZE = 1024 * 1024
#: Keys that say something else about who or where than what is read here.
_UNUSABLE = {
    "cluster": {
        "insecure-skip-tls-verify": "the API server would not be verified; give its CA instead",
        "proxy-url": "proxies are not used; name the API server itself",
    },
    "user": {
        "exec": "programs are not run; use a service account's token, as tokenFile",
        "auth-provider": "it was removed from Kubernetes; use a service account's token, as tokenFile",
        "username": "API servers do not take passwords; use a service account's token, as tokenFile",
        "as": "impersonation is not used; use a service account of acme-ra's own",
        "as-uid": "impersonation is not used; use a service account of acme-ra's own",
        "as-groups": "impersonation is not used; use a service account of acme-ra's own",
    },
}


@dataclass(frozen=True, kw_only=True)
class KubeUser:
    """One context: its cluster and its user."""

    server: str
    server_name: str | None
    ca: Material | None
    certificate: Material | None
    key: Material | None
    token: Material | None


def read_kubeconfig(path: Path, context: str | None) -> KubeUser:
    """Raises ClusterMisconfigured with the file, the entry and the fix."""
    document = _load(path)
    name = context or document.get("current-context")
    if not isinstance(name, str) or not name:
        raise ClusterMisconfigured(f"{path}: has no current-context; set context to one of {_names(document)}")
    chosen = _entry(path, document, "context", name)
    cluster = _entry(path, document, "cluster", _text(path, chosen, "cluster") or "")
    user = _entry(path, document, "user", _text(path, chosen, "user") or "")
    for kind, entry in (("cluster", cluster), ("user", user)):
        for key, fix in _UNUSABLE[kind].items():
            if entry.get(key):
                raise ClusterMisconfigured(f"{path}: {kind} has {key}, which cannot be used here; {fix}")
    made = KubeUser(
        server=_text(path, cluster, "server") or "",
        server_name=_text(path, cluster, "tls-server-name"),
        ca=_material(path, cluster, "certificate-authority"),
        certificate=_material(path, user, "client-certificate"),
        key=_material(path, user, "client-key"),
        token=_token(path, user),
    )
    if (made.certificate is None) != (made.key is None):
        raise ClusterMisconfigured(f"{path}: user has a client certificate or key without the other; give both")
    if made.certificate is None and made.token is None:
        raise ClusterMisconfigured(f"{path}: user has neither token nor client certificate; add token or tokenFile")
    return made


def _load(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ClusterMisconfigured(
            f"{path}: the kubeconfig cannot be read ({error.strerror}); check the path and its permissions"
        ) from error
    try:
        document = yaml.safe_load(raw) if len(raw) <= _MAX_SIZE else None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ClusterMisconfigured(f"{path}: is not valid YAML; make it with `kubectl config view --raw`") from error
    if not isinstance(document, dict):
        raise ClusterMisconfigured(f"{path}: is no kubeconfig; make it with `kubectl config view --raw`")
    return document


def _entry(path: Path, document: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    entries = document.get(f"{kind}s")
    for one in entries if isinstance(entries, list) else []:
        if isinstance(one, dict) and one.get("name") == name:
            found = one.get(kind)
            return found if isinstance(found, dict) else {}
    known = _names(document, kind)
    raise ClusterMisconfigured(f"{path}: there is no {kind} called {name!r}; there are: {known}")


def _names(document: dict[str, Any], kind: str = "context") -> str:
    entries = document.get(f"{kind}s")
    found = (
        [str(one.get("name")) for one in entries or [] if isinstance(one, dict)] if isinstance(entries, list) else []
    )
    return ", ".join(found) or "none"


def _text(path: Path, entry: dict[str, Any], key: str) -> str | None:
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise ClusterMisconfigured(f"{path}: {key} is not text; quote it")
    return value or None


def _material(path: Path, entry: dict[str, Any], key: str) -> Material | None:
    """`KEY-data` in base64 wins over the file `KEY`, as it does for kubectl; paths start at the kubeconfig's folder."""
    data = _text(path, entry, f"{key}-data")
    if data is not None:
        try:
            return Material(data=base64.b64decode("".join(data.split()), validate=True))
        except (binascii.Error, ValueError) as error:
            raise ClusterMisconfigured(f"{path}: {key}-data is not base64; make the kubeconfig anew") from error
    file = _text(path, entry, key)
    return None if file is None else Material(path=path.parent / file)


def _token(path: Path, user: dict[str, Any]) -> Material | None:
    """The file wins over the text, as it does for client-go, because the file is renewed."""
    file = _text(path, user, "tokenFile")
    if file is not None:
        return Material(path=path.parent / file)
    text = _text(path, user, "token")
    return None if text is None else Material(data=text.encode("utf-8"))
