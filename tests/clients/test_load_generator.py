"""boulder's load-generator as a smoke load: accounts, orders, three challenge types, finalize and revocation at random.

It knows no external account binding, so it gets a directory of its own that asks for none. tests/peers/build.py tells
what is corrected in it.
"""

import json
import re
from pathlib import Path
from typing import Any

from tests.peers.build import peer
from tests.support.oracle import check, rows
from tests.support.server import Ports, served
from tests.support.software import run


def open_directory(configuration: dict[str, Any]) -> None:
    """A second directory, without external account binding and with terms of service, which the client insists on."""
    default = configuration["directories"]["default"]
    terms = {"terms_of_service": "https://ra.example.test/terms"}
    configuration["directories"]["open"] = {**default, **terms, "external_account_required": False}


def test_random_load_meets_no_error(tmp_path: Path) -> None:
    """Every answer under the load is a success, and the oracle holds afterwards."""
    ports = Ports()
    plan = {
        "plan": {
            "actions": ["newAccount", "newOrder", "fulfillOrder", "finalizeOrder", "revokeCertificate"],
            "rate": 8,
            "runtime": "10s",
        },
        "domainBase": "test",
        "challengeStrategy": "random",
        "httpOneAddrs": [f"127.0.0.1:{ports.http01}"],
        "tlsAlpnOneAddrs": [f"127.0.0.1:{ports.tlsalpn01}"],
        "dnsAddrs": [f"127.0.0.1:{ports.dns}"],
        "fakeDNS": "127.0.0.1",
        "regEmail": "load@example.test",
        "maxRegs": 20,
        "maxNamesPerCert": 4,
        "dontSaveState": True,
        "revokeChance": 0.5,
        "results": str(tmp_path / "latency.json"),
    }
    with served(tmp_path, ports=ports, change=open_directory) as server:
        directory = server.directory.replace("/default/", "/open/")
        (tmp_path / "plan.json").write_text(json.dumps({**plan, "directoryURL": directory}))

        said = run([peer("load-generator"), "-config", tmp_path / "plan.json"], env={}, cwd=tmp_path).ok().said

        responses = re.findall(r"Responses: \[(.*?)\]", said)
        assert responses, said
        assert "4xx" not in responses[-1], said + server.log()
        assert "5xx" not in responses[-1], said + server.log()
        revoked = rows(server, "SELECT count(*) AS n FROM certificates WHERE revoked_at IS NOT NULL")[0]["n"]
        assert check(server) >= 10, said
        assert revoked > 0, said
