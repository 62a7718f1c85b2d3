"""acme-ra as a process: a data directory prepared once by `quickstart`, then `serve --config`, over TLS on loopback."""

import atexit
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import yaml

from tests.support.ports import free_port
from tests.support.processes import PATIENCE, Process, wait_for

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "acme_ra.cli.main")
if (Path(sys.executable).parent / "acme-ra").exists():
    COMMAND = (str(Path(sys.executable).parent / "acme-ra"),)


#: Time limits of the server that a busy machine must not reach. Tests of a limit set it themselves.
PATIENT = {
    "ACME_RA_ORDERS__FINALIZE_TIMEOUT": "120s",
    "ACME_RA_SERVER__SHUTDOWN_TIMEOUT": "120s",
    "ACME_RA_STORAGE__BUSY_TIMEOUT": "60s",
    "ACME_RA_VALIDATION__CAA_TIMEOUT": "60s",
    "ACME_RA_VALIDATION__DNS_TIMEOUT": "30s",
    "ACME_RA_VALIDATION__TIMEOUT": "60s",
}


@dataclass(frozen=True)
class Credential:
    """An external account binding credential as the CLI printed it."""

    kid: str
    hmac_key: str


@dataclass(frozen=True)
class Prepared:
    """What quickstart printed: paths and the first credential."""

    directory: str
    ca_bundle: Path
    credential: Credential
    config: Path
    policies: Path


@dataclass
class Ports:
    """Where the server looks for the clients' answers, and its resolver."""

    http01: int = field(default_factory=free_port)
    tlsalpn01: int = field(default_factory=free_port)
    dns: int = field(default_factory=lambda: free_port(udp=True))

    def environment(self) -> dict[str, str]:
        return {
            "ACME_RA_VALIDATION__RESOLVERS": f"127.0.0.1:{self.dns}",
            "ACME_RA_VALIDATION__HTTP_PORT": str(self.http01),
            "ACME_RA_VALIDATION__TLS_ALPN_PORT": str(self.tlsalpn01),
            "ACME_RA_VALIDATION__ALLOWED_NETWORKS": "127.0.0.0/8",
        }


class _Loader(yaml.SafeLoader):
    """YAML where `off` is a word, as the server reads it."""

    yaml_implicit_resolvers = {
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:bool" or first in "tTfF"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@cache
def _template() -> Prepared:
    """What quickstart made, once in a test process: each server gets a copy, and a port of its own by environment."""
    root = Path(tempfile.mkdtemp(prefix="acme-ra-quickstart-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    argv = [*COMMAND, "quickstart", "--data", root / "data", "--listen", "127.0.0.1:0", "--output", "json"]
    with Process(argv, name="quickstart", logs=root, env=PATIENT) as process:

        def first_line() -> str | None:
            assert process.running(), f"quickstart ended at once\n{process.log()}"
            text = process.out.read_text()
            return text.partition("\n")[0] if "\n" in text else None

        told: dict[str, Any] = json.loads(wait_for(first_line, what="quickstart's first line", log=process.log))
        assert process.stop() == 0, process.log()
    return Prepared(
        told["directory"],
        Path(told["ca_bundle"]),
        Credential(told["eab"]["kid"], told["eab"]["hmac_key"]),
        Path(told["config"]),
        Path(told["policies"]),
    )


class Server:
    """One data directory and the process that serves it. `start`, `stop` and `kill` may be repeated in any order."""

    def __init__(self, root: Path, *, ports: Ports, environment: Mapping[str, str] | None = None) -> None:
        self.data = root / "data"
        self.logs = root / "logs"
        self.ports = ports
        self.port = free_port()
        self.environment = {
            **PATIENT,
            "ACME_RA_SERVER__LISTEN": f"127.0.0.1:{self.port}",
            **ports.environment(),
            **(environment or {}),
        }
        self.process: Process | None = None
        self.prepared = self._copy(_template())

    def _copy(self, template: Prepared) -> Prepared:
        home = template.config.parent
        shutil.copytree(home, self.data)
        url = urlsplit(template.directory)._replace(netloc=f"127.0.0.1:{self.port}")
        return Prepared(
            urlunsplit(url),
            self.data / template.ca_bundle.relative_to(home),
            template.credential,
            self.data / template.config.relative_to(home),
            self.data / template.policies.relative_to(home),
        )

    def amend(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the configuration file, before `start`."""
        document = yaml.load(self.prepared.config.read_text(), _Loader)
        change(document)
        self.prepared.config.write_text(yaml.safe_dump(document, sort_keys=False))

    @property
    def directory(self) -> str:
        return self.prepared.directory

    @property
    def ca_bundle(self) -> Path:
        return self.prepared.ca_bundle

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_bundle))

    def start(self) -> None:
        """Serve, and wait until the directory answers over TLS."""
        process = Process(
            [*COMMAND, "serve", "--config", self.prepared.config], name="serve", logs=self.logs, env=self.environment
        )
        self.process = process

        def answers() -> bool:
            assert process.running(), f"serve ended at once\n{process.log()}"
            try:
                with urllib.request.urlopen(self.directory, context=self.tls(), timeout=60) as response:
                    return bool(response.status == 200)
            except OSError:
                return False

        wait_for(answers, what="the directory's first answer", log=process.log)

    def stop(self) -> None:
        """SIGTERM; the process must end cleanly."""
        assert self.process is not None, "the server was not started"
        code = self.process.stop()
        assert code == 0, f"serve ended with {code} after SIGTERM\n{self.process.log()}"

    def kill(self) -> None:
        """kill -9 of master and workers."""
        assert self.process is not None, "the server was not started"
        self.process.kill()

    def log(self) -> str:
        return "" if self.process is None else self.process.log()

    def cli(self, *arguments: str, seconds: float = PATIENCE) -> str:
        """What an acme-ra command printed, in this server's environment. AssertionError unless it ends with 0."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            capture_output=True,
            text=True,
            timeout=seconds,
            env={**os.environ, **self.environment},
            check=False,
        )
        assert done.returncode == 0, f"acme-ra {' '.join(arguments)}\n{done.stdout}\n{done.stderr}\n{self.log()}"
        return done.stdout

    def cli_json(self, *arguments: str) -> Any:
        return json.loads(self.cli(*arguments, "--config", str(self.prepared.config), "--output", "json"))

    def credential(self, name: str, *, namespace: str = "demo", uses: int = 100) -> Credential:
        """A credential of its own for a test, made as an operator makes it."""
        made = self.cli_json("credential", "create", "--name", name, "--namespace", namespace, "--max-uses", str(uses))
        return Credential(made["kid"], made["hmac_key"])


@contextmanager
def served(
    root: Path,
    *,
    ports: Ports,
    environment: Mapping[str, str] | None = None,
    change: Callable[[dict[str, Any]], None] | None = None,
) -> Iterator[Server]:
    """A running server for a block; `change` edits its configuration. Afterwards it is stopped, or killed."""
    server = Server(root, ports=ports, environment=environment)
    if change is not None:
        server.amend(change)
    try:
        server.start()
        yield server
        if server.process is not None and server.process.running():
            server.stop()
    finally:
        if server.process is not None:
            server.process.kill()
