"""The chart and the plain manifests as their tools render them: real helm, real kustomize."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.peers.build import peer

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "acme-ra"
KUSTOMIZE = ROOT / "deploy" / "kustomize"
NAMESPACE = "acme-ra"
KUBERNETES = "1.36.3"
# Names of files in the chart's ci/, each a set of values; "" is the chart's own.
VALUE_SETS = ("", *sorted(path.name for path in (CHART / "ci").glob("*-values.yaml")))
FOLDERS = ("base", "monitoring", "remote-cluster", "overlays/example")

Object = dict[str, Any]


def helm(*words: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run helm with a home of its own."""
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [peer("helm"), *words], env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def template(
    values: str = "", *, home: Path, release: str = "acme-ra", namespace: str = NAMESPACE, more: Sequence[str] = ()
) -> list[Object]:
    """What `helm install` would apply with a set of values."""
    chosen = ["--values", str(CHART / "ci" / values)] if values else []
    words = ["template", release, str(CHART), "--namespace", namespace, "--kube-version", KUBERNETES]
    done = helm(*words, "--include-crds", *chosen, *more, home=home)
    assert done.returncode == 0, done.stderr
    return _objects(done.stdout)


def kustomize(folder: str) -> list[Object]:
    """What `kubectl apply -k` would apply."""
    words = [peer("kustomize"), "build", KUSTOMIZE / folder]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return _objects(done.stdout)


def one(objects: Sequence[Object], kind: str, name_ends: str = "") -> Object:
    """The only object of a kind (whose name ends so)."""
    (found,) = (each for each in objects if each["kind"] == kind and each["metadata"]["name"].endswith(name_ends))
    return found


def kinds(objects: Sequence[Object]) -> set[str]:
    return {each["kind"] for each in objects}


def _objects(text: str) -> list[Object]:
    return [each for each in yaml.safe_load_all(text) if each]
