"""The image: built twice alike, small, and running as nobody in particular on a root that cannot be written."""

import json
import os
import re
import ssl
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.image import BASE, Buildah, needs_root
from tests.deploy.pod import Pod, Secrets
from tests.deploy.rendering import template
from tests.deploy.sandbox import USER, Mount, Sandbox
from tests.support.acme_client import AcmeClient, Refused
from tests.support.processes import free_port, wait_for

MEGABYTE = 1_000_000
POLICY_WITH_CEL = """\
kind: ClusterIssuancePolicy
metadata: {name: few}
spec:
  effect: guard
  require:
    rules: [{expression: "request.dnsNames.size() <= 10", message: at most ten names}]
"""


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    needs_root()
    buildah = Buildah(tmp_path_factory.mktemp("buildah"))
    buildah.make_base()
    yield buildah
    buildah.remove()


@pytest.fixture(scope="module")
def image(buildah: Buildah) -> str:
    return buildah.build("localhost/acme-ra:first")


@pytest.fixture(scope="module")
def environment(buildah: Buildah, image: str) -> dict[str, str]:
    """The image's own, as a container runtime sets it."""
    config = buildah.describe(image)["config"]
    return dict(one.split("=", 1) for one in config["Env"])


@pytest.fixture(scope="module")
def root(buildah: Buildah, image: str) -> Path:
    """The image's files. Nobody writes there."""
    return buildah.unpack(image)


@pytest.fixture
def sandbox(root: Path, environment: dict[str, str], tmp_path: Path) -> Sandbox:
    """The image with an empty /data of its own."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    os.chown(data, USER, USER)
    return Sandbox(root, environment=environment, mounts=[Mount(data, "/data")])


def test_the_same_sources_make_the_same_image(buildah: Buildah, image: str) -> None:
    """Layers and configuration: whoever builds it again can compare one digest."""
    again = buildah.build("localhost/acme-ra:second")

    assert buildah.digests(again) == buildah.digests(image)
    assert again == image


def test_what_the_image_adds_is_small(buildah: Buildah, image: str, root: Path, record_property: Any) -> None:
    """One folder over its base, and nothing of what built it."""
    base = buildah.digests(BASE)
    sizes = buildah.compressed_sizes(image)
    below, own = sum(sizes[: len(base)]), sum(sizes[len(base) :])

    assert buildah.digests(image)[: len(base)] == base
    told = f"{own / MEGABYTE:.0f} MB over a base of {below / MEGABYTE:.0f} MB, compressed"
    print(f"\nimage: {told}")
    record_property("image", told)
    assert own < 60 * MEGABYTE
    packages = {path.name for path in (root / "opt/acme-ra/lib").glob("python3*/site-packages/*")}
    assert packages & {"acme_ra", "aiohttp", "cryptography"} == {"acme_ra", "aiohttp", "cryptography"}
    assert packages & {"pip", "setuptools", "hatchling", "pytest", "tests"} == set()


def test_the_image_says_how_it_is_run(buildah: Buildah, image: str) -> None:
    config = buildah.describe(image)["config"]

    assert config["User"] == "10001:10001"
    assert (config["Entrypoint"], config["Cmd"]) == (["acme-ra"], ["serve"])
    assert list(config["Volumes"]) == ["/data"]


def test_nothing_of_the_program_can_be_changed_by_its_user(root: Path) -> None:
    """Only /data is its own; no file is writable for others, or gives rights to who runs it."""
    own = [path for path in (root / "opt").rglob("*") if not path.is_symlink()]

    assert len(own) > 1000
    assert [path for path in own if path.stat().st_uid != 0 or path.stat().st_mode & 0o6022] == []
    assert (root / "data").stat().st_uid == USER
    assert oct((root / "data").stat().st_mode & 0o777) == "0o700"


def test_every_module_is_compiled(root: Path) -> None:
    """The root is read-only: what is not compiled would be compiled at each start."""
    modules = list((root / "opt/acme-ra/lib").glob("python3*/site-packages/acme_ra/**/*.py"))
    compiled = [next(iter(module.parent.glob(f"__pycache__/{module.stem}.cpython-*.pyc")), None) for module in modules]

    assert len(modules) > 100
    assert None not in compiled
    # The flags after the magic number: checked by hash (bit 0), but not at each start (bit 1 is clear).
    assert {path.read_bytes()[4] for path in compiled if path} == {1}


def test_the_program_tells_its_version(sandbox: Sandbox) -> None:
    assert re.match(r"acme-ra: +\d+\.\d+", sandbox.run("acme-ra", "version").ok().out)


def test_policies_with_expressions_are_read(sandbox: Sandbox, tmp_path: Path) -> None:
    """The image leaves parts of the CEL library out; what policies need is there."""
    policy = tmp_path / "data" / "policy.yaml"
    policy.write_text(POLICY_WITH_CEL)
    policy.chmod(0o644)

    assert "few" in sandbox.run("acme-ra", "policy", "check", "/data/policy.yaml").ok().said


def test_the_root_cannot_be_written(sandbox: Sandbox) -> None:
    """Otherwise the tests here would show nothing."""
    script = "import os; print(os.getuid(), os.getgid()); open('/opt/acme-ra/mine', 'w')"
    ran = sandbox.run("python", "-c", script).failed()

    assert ran.out.split() == [str(USER), str(USER)]
    assert "Read-only file system" in ran.err


async def test_it_issues_as_nobody_on_a_read_only_root(sandbox: Sandbox, tmp_path: Path) -> None:
    """From an empty volume to a certificate; a name that no policy grants is refused; then a clean stop."""
    port = free_port()
    listen = f"127.0.0.1:{port}"
    words = ("acme-ra", "quickstart", "--data", "/data", "--listen", listen, "--workers", "2", "--output", "json")
    started = time.monotonic()
    server = sandbox.start(*words, name="quickstart", logs=tmp_path / "logs")
    try:

        def first_line() -> Any:
            assert server.running(), server.log()
            text = server.out.read_text()
            return json.loads(text.partition("\n")[0]) if "\n" in text else None

        told = wait_for(first_line, what="the first line", log=server.log)
        print(f"\nempty volume to serving: {time.monotonic() - started:.1f} s")
        tls = ssl.create_default_context(cafile=str(tmp_path / told["ca_bundle"].lstrip("/")))
        async with AcmeClient(told["directory"], tls) as client:
            (await client.register(told["eab"]["kid"], told["eab"]["hmac_key"])).ok()
            certificate = await client.issue(["hello.demo.svc.cluster.local"])
            with pytest.raises(Refused, match="rejectedIdentifier"):
                (await client.new_order(["hello.shop.svc.cluster.local"])).ok()
    finally:
        code = server.stop()

    assert code == 0, server.log()
    assert certificate.issuer != certificate.subject
    assert {path.stat().st_uid for path in (tmp_path / "data").rglob("*")} == {USER}


POLICY = """\
kind: ClusterIssuancePolicy
metadata: {name: team-names}
spec:
  effect: grant
  selector: {namespaces: {matchNames: ["team-*"]}}
  allowed: {dnsNames: ["*.{namespace}.svc"]}
  require: {challenges: none}
"""


async def test_the_charts_pod_serves(root: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """The rendered Deployment as a kubelet runs it: init container, Secrets of root's, probes, a certificate."""
    port, metrics = free_port(), free_port()
    url = f"https://127.0.0.1:{port}"
    config = {"server": {"listen": f"127.0.0.1:{port}"}, "metrics": {"listen": f"127.0.0.1:{metrics}"}}
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps({"externalURL": url, "config": config, "policies": {"team.yaml": POLICY}}))
    made = Secrets(tmp_path / "made", hosts=["127.0.0.1"])
    pod = Pod(template(home=tmp_path, more=["--values", str(values)]), made, tmp_path / "pod", group=USER)
    sandbox = Sandbox(root, environment=environment | pod.environment(), mounts=pod.mounts())

    upgraded = sandbox.run("acme-ra", *pod.spec["initContainers"][0]["args"]).ok()
    checked = sandbox.run("acme-ra", "check-config").ok()
    server = sandbox.start("acme-ra", *pod.container["args"], name="acme-ra", logs=tmp_path / "logs")
    try:

        def probe(kind: str) -> bool:
            assert server.running(), server.log()
            asked = pod.container[kind]["httpGet"]
            assert (asked["scheme"], asked["port"]) == ("HTTPS", "https")
            try:
                with urllib.request.urlopen(url + asked["path"], context=made.tls(), timeout=60) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        wait_for(lambda: probe("startupProbe"), what="the startup probe", log=server.log)
        words = ("--name", "laptop", "--namespace", "team-a", "--output", "json")
        told = json.loads(sandbox.run("acme-ra", "credential", "create", *words).ok().out)
        async with AcmeClient(f"{url}/acme/default/directory", made.tls()) as client:
            (await client.register(told["kid"], told["hmac_key"])).ok()
            await client.issue(["web.team-a.svc"])
            with pytest.raises(Refused, match="rejectedIdentifier"):
                (await client.new_order(["web.team-b.svc"])).ok()
        assert (probe("livenessProbe"), probe("readinessProbe")) == (True, True)
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=60) as answer:
            counted = answer.read().decode()
    finally:
        code = server.stop()

    assert code == 0, server.log()
    assert "is now at schema" in upgraded.out
    assert "is valid" in checked.out
    # What the alerts ask for.
    assert re.search(r'acme_ra_requests_total\{[^}]*route="readyz"[^}]*status="200"[^}]*\} [1-9]', counted)
    assert re.search(r'acme_ra_requests_total\{[^}]*problem="rejectedIdentifier"', counted)
    assert re.search(r'acme_ra_request_seconds_bucket\{[^}]*route="finalize"', counted)
