"""What a kubelet does for the rendered Deployment: volumes from ConfigMaps and Secrets, mounts, environment.

Files stand as kubelet writes them: behind a link that is replaced in one step, root's, readable for the pod's group.
"""

import base64
import os
import re
import secrets
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from acme_ra.cli.main import run
from tests.deploy.rendering import Object, one
from tests.deploy.sandbox import Mount

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
Files = Mapping[str, bytes]


class Secrets:
    """The Secrets that docs/install.md has made by hand, by name; `account` is what a ServiceAccount's token brings."""

    def __init__(self, folder: Path, *, hosts: Sequence[str] = ("acme-ra.acme-ra.svc",)) -> None:
        folder.mkdir()
        passphrase = folder / "passphrase"
        passphrase.write_text(secrets.token_urlsafe(24) + "\n")
        passphrase.chmod(0o600)
        _cli("ca", "init", "--directory", str(folder / "ca"), "--passphrase-file", str(passphrase))
        named = [word for host in hosts for word in ("--host", host)]
        _cli("ca", "server", "--directory", str(folder / "tls"), "--root", str(folder / "ca" / "root.pem"), *named)
        self.ca_bundle = folder / "tls" / "ca-bundle.pem"
        root = (folder / "ca" / "root.pem").read_bytes()
        self.account: Files = {"token": b"token", "ca.crt": root, "namespace": b"acme-ra"}
        self.by_name: Mapping[str, Files] = {
            "acme-ra-tls": {
                "tls.crt": (folder / "tls" / "server.pem").read_bytes(),
                "tls.key": (folder / "tls" / "server.key").read_bytes(),
            },
            "acme-ra-ca": {
                name: (folder / "ca" / name).read_bytes()
                for name in ("intermediate.pem", "intermediate.key", "root.pem")
            },
            "acme-ra-keys": {
                "master.key": base64.b64encode(secrets.token_bytes(32)) + b"\n",
                "passphrase": passphrase.read_bytes(),
            },
            "acme-ra-kubeconfig-east": {"kubeconfig": _kubeconfig(root).encode()},
        }

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_bundle))


class Pod:
    """The pod of the rendered Deployment, its volumes made below a folder. With `group` files belong to root and it."""

    def __init__(self, objects: Sequence[Object], made: Secrets, folder: Path, *, group: int | None = None) -> None:
        self.spec: Object = one(objects, "Deployment")["spec"]["template"]["spec"]
        self.container: Object = self.spec["containers"][0]
        self._folder = folder
        self._group = group
        configs = {each["metadata"]["name"]: each for each in objects if each["kind"] == "ConfigMap"}
        self._sources: dict[str, Path] = {}
        for volume in self.spec["volumes"]:
            place = folder / "volumes" / volume["name"]
            if "configMap" in volume:
                texts = configs[volume["configMap"]["name"]]["data"]
                self._write(place, {name: text.encode() for name, text in texts.items()}, mode=0o644)
            elif "secret" in volume:
                secret = volume["secret"]
                self._write(place, made.by_name[secret["secretName"]], mode=secret["defaultMode"])
            else:
                self._folder_for_all(place)
            self._sources[volume["name"]] = place
        if self.spec["automountServiceAccountToken"]:
            self._write(folder / "volumes" / ACCOUNT.strip("/"), made.account, mode=0o600)

    def mounts(self) -> list[Mount]:
        found = [
            Mount(self._sources[mount["name"]], mount["mountPath"], read_only=mount.get("readOnly", False))
            for mount in self.container["volumeMounts"]
        ]
        account = self._folder / "volumes" / ACCOUNT.strip("/")
        return [*found, Mount(account, ACCOUNT, read_only=True)] if account.exists() else found

    def environment(self) -> dict[str, str]:
        """The container's, and what kubelet adds to tell where the API server is."""
        own = {each["name"]: each["value"] for each in self.container["env"]}
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1", **own}

    def path(self, mounted: str) -> Path:
        """Where this machine has what the container sees at a path."""
        (mount,) = (each for each in self.mounts() if mounted == each.target or mounted.startswith(f"{each.target}/"))
        return mount.source / mounted[len(mount.target) :].lstrip("/")

    def relocated(self) -> Path:
        """A configuration file that means the same, for a program that is not in the pod."""
        text = self.path(self.environment()["ACME_RA_CONFIG"]).read_text()
        text = re.sub(r"/(?:etc/acme-ra|data)/[^\s\"']+", lambda found: str(self.path(found[0])), text)
        text = text.replace("/etc/acme-ra/policies", str(self.path("/etc/acme-ra/policies")))
        account = self._folder / "volumes" / ACCOUNT.strip("/")
        by_files = f"server: https://127.0.0.1:1\n\\1ca_bundle: {account}/ca.crt\n\\1token_file: {account}/token"
        file = self._folder / "acme-ra.yaml"
        file.write_text(re.sub(r"^( +)in_cluster: true$", rf"\1{by_files}", text, flags=re.MULTILINE))
        return file

    def _write(self, place: Path, files: Files, *, mode: int) -> None:
        """As kubelet's AtomicWriter does."""
        version = place / "..2026_11_24_00_00_00.0000000001"
        version.mkdir(parents=True)
        for name, content in files.items():
            file = version / name
            file.write_bytes(content)
            file.chmod(mode if self._group is None else mode | 0o440)
            if self._group is not None:
                os.chown(file, 0, self._group)
            (place / name).symlink_to(Path("..data") / name)
        (place / "..data").symlink_to(version.name)
        if self._group is not None:
            for folder in (place, version):
                os.chown(folder, 0, self._group)
            place.chmod(0o3777)

    def _folder_for_all(self, place: Path) -> None:
        place.mkdir(parents=True)
        if self._group is not None:
            os.chown(place, 0, self._group)
            place.chmod(0o2777)


def _cli(*words: str) -> None:
    assert run([*words, "--output", "json"]) == 0, words


def _kubeconfig(ca: bytes) -> str:
    cluster = {"server": "https://127.0.0.1:1", "certificate-authority-data": base64.b64encode(ca).decode()}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "east", "cluster": cluster}],
            "users": [{"name": "acme-ra", "user": {"token": "token"}}],
            "contexts": [{"name": "east", "context": {"cluster": "east", "user": "acme-ra"}}],
            "current-context": "east",
        }
    )
