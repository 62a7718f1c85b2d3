"""A real bind9 on a loopback port: zone `test`, every name an A record of 127.0.0.1, TXT records by dynamic update."""

import base64
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import PATIENCE, Process, wait_for
from tests.support.software import program

KEY_NAME = "acme-tests"

CONFIGURATION = """\
options {{
  directory "{directory}";
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  pid-file "{directory}/named.pid";
  session-keyfile "{directory}/session.key";
  recursion no;
  allow-query {{ 127.0.0.0/8; }};
  allow-transfer {{ none; }};
  dnssec-validation no;
  notify no;
  tcp-clients 200;
}};
controls {{ }};
key "{key_name}" {{ algorithm hmac-sha256; secret "{secret}"; }};
zone "test" {{
  type primary;
  file "{directory}/test.zone";
  allow-update {{ key "{key_name}"; }};
}};
"""

# TTL 0: a client that looks for its own record must not be told about the time before it was there.
ZONE = """\
$TTL 0
@ IN SOA ns.test. hostmaster.test. 1 3600 600 86400 0
@ IN NS ns.test.
@ IN A 127.0.0.1
ns IN A 127.0.0.1
* IN A 127.0.0.1
"""


class Bind:
    """The running name server, and what a client needs to update its zone."""

    def __init__(self, root: Path, port: int) -> None:
        self.port = port
        self.directory = root / "named"
        self.directory.mkdir(parents=True)
        self.secret = base64.b64encode(secrets.token_bytes(32)).decode()
        (self.directory / "test.zone").write_text(ZONE)
        configuration = self.directory / "named.conf"
        configuration.write_text(
            CONFIGURATION.format(directory=self.directory, port=port, key_name=KEY_NAME, secret=self.secret)
        )
        # -g keeps it in the foreground, with its log on stderr.
        argv: list[str | Path] = [program("named"), "-g", "-n", "1", "-U", "1", "-c", configuration]
        self.process = Process(argv, name="named", logs=self.directory)
        try:
            wait_for(self._answers, what="named's first answer")
        except BaseException:
            self.process.kill()
            raise

    def _answers(self) -> bool:
        assert self.process.running(), f"named ended at once\n{self.process.log()}"
        return " running" in self.process.err.read_text(errors="replace")

    def environment(self) -> Mapping[str, str]:
        """For the hook scripts in tests/clients/hooks."""
        return {
            "TEST_DNS_PORT": str(self.port),
            "TEST_DNS_KEY": f"hmac-sha256:{KEY_NAME}:{self.secret}",
            "NSUPDATE": program("nsupdate"),
        }

    def update(self, *commands: str) -> None:
        """Send one dynamic update, such as `add www.test. 0 CNAME other.test.`."""
        script = "\n".join(
            [f"server 127.0.0.1 {self.port}", "zone test", *(f"update {line}" for line in commands), "send", ""]
        )
        done = subprocess.run(
            [program("nsupdate"), "-y", f"hmac-sha256:{KEY_NAME}:{self.secret}"],
            input=script,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"nsupdate: {done.stdout}{done.stderr}\n{self.process.log()}"

    def set_txt(self, name: str, value: str) -> None:
        self.update(f'add {name}. 0 TXT "{value}"')

    def remove(self, name: str) -> None:
        self.update(f"delete {name}. TXT")


@contextmanager
def named(root: Path, port: int) -> Iterator[Bind]:
    """A name server for a block."""
    bind = Bind(root, port)
    with bind.process:
        yield bind
        bind.process.stop()
