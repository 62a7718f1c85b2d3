"""step-ca as a peer: a configuration written by hand, a root and an intermediate, badger as its database."""

import datetime
import json
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.load import Target
from tests.peers.build import peer
from tests.support.ports import free_port
from tests.support.processes import Process, listening, wait_for


def start_step_ca(root: Path, *, http01: int, dns: int) -> tuple[Process, Target]:
    """A running step-ca that validates http-01 on the given port by the given resolver."""
    home = root / "step-ca"
    home.mkdir(parents=True)
    _write_authority(home)
    port = free_port()
    configuration = {
        "root": str(home / "root.pem"),
        "crt": str(home / "intermediate.pem"),
        "key": str(home / "intermediate.key"),
        "address": f"127.0.0.1:{port}",
        "dnsNames": ["localhost", "127.0.0.1"],
        "logger": {"format": "text"},
        "db": {"type": "badgerv2", "dataSource": str(home / "db")},
        "authority": {"provisioners": [{"type": "ACME", "name": "acme"}]},
    }
    (home / "ca.json").write_text(json.dumps(configuration))
    argv: list[str | Path] = [peer("step-ca"), home / "ca.json", "--insecure"]
    argv += ["--acme-http-port", str(http01), "--resolver", f"127.0.0.1:{dns}"]
    process = Process(argv, name="step-ca", logs=home, env={"STEPPATH": str(home)})

    def answers() -> bool:
        if not process.running():
            raise RuntimeError(f"step-ca ended at once\n{process.log()}")
        return listening(port)

    wait_for(answers, what="step-ca's first answer")
    return process, Target("step-ca", f"https://127.0.0.1:{port}/acme/acme/directory", http01, dns)


def _write_authority(home: Path) -> None:
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Bench Root", root_key.public_key(), "Bench Root", root_key, path_length=1)
    intermediate = _certificate("Bench Intermediate", key.public_key(), "Bench Root", root_key, path_length=0)
    pem = serialization.Encoding.PEM
    (home / "root.pem").write_bytes(root.public_bytes(pem))
    (home / "intermediate.pem").write_bytes(intermediate.public_bytes(pem))
    plain = serialization.NoEncryption()
    (home / "intermediate.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


def _certificate(
    name: str, public: ec.EllipticCurvePublicKey, issuer: str, signer: ec.EllipticCurvePrivateKey, *, path_length: int
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return builder.sign(signer, hashes.SHA256())
