"""What a client's certificate file must be: a leaf for exactly the names, chaining to the CA bundle."""

import subprocess
from collections.abc import Collection
from pathlib import Path

from cryptography import x509

from tests.support.oracle import events
from tests.support.processes import PATIENCE
from tests.support.server import Server
from tests.support.software import program

FORBIDDEN = "www.forbidden.example"


def issued(server: Server, chain: Path, names: Collection[str]) -> x509.Certificate:
    """The leaf of a PEM file that the server issued. AssertionError when names or chain are not as wanted."""
    pem = chain.read_bytes()
    certificates = x509.load_pem_x509_certificates(pem)
    leaf = certificates[0]
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    told = {*san.get_values_for_type(x509.DNSName), *map(str, san.get_values_for_type(x509.IPAddress))}
    assert told == set(names), f"{chain} is for {told}"
    argv = [program("openssl"), "verify", "-x509_strict", "-CAfile", str(server.ca_bundle), "-untrusted", str(chain)]
    done = subprocess.run([*argv, str(chain)], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return leaf


def serial(certificate: x509.Certificate) -> str:
    """As our audit log writes it: lower-case hex without leading zeros."""
    return f"{certificate.serial_number:x}"


def audited(server: Server, kind: str, **fields: str) -> bool:
    """Whether the audit log has an event of this kind with these fields."""
    return any(
        event["kind"] == kind and all(event.get(key) == value for key, value in fields.items())
        for event in events(server)
    )


def told_why(said: str, name: str = FORBIDDEN) -> None:
    """The client's own output tells which name was refused and that policy did it. AssertionError otherwise."""
    assert name in said, said
    assert "policy" in said.lower() or "policies" in said.lower(), said
