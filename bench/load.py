"""Runs the load client (bench/load, in Go) against a server, and reads what /proc tells about the server."""

import json
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.peers.build import peer


@dataclass(frozen=True)
class Target:
    """A server under load. `http01` and `dns` are ports where it looks for the load client's answers."""

    name: str
    directory: str
    http01: int
    dns: int
    kid: str = ""
    hmac_key: str = ""


@dataclass(frozen=True)
class Round:
    """One measured stretch. Latencies are from newOrder to the certificate in the client's hands."""

    issued: int
    failed: int
    per_second: float
    cpu_ms: float  # of all processes of the server, for one certificate
    client_cpu_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    rss_mb: float
    errors: dict[str, int]


def drive(target: Target, pids: Sequence[int], *, workers: int, seconds: int) -> Round:
    """Load `target` for so long. RuntimeError when the load client fails or nothing was issued."""
    argv = [str(peer("acmeload")), "-directory", target.directory, "-suffix", "bench.test"]
    argv += ["-http01", f"127.0.0.1:{target.http01}", "-dns", f"127.0.0.1:{target.dns}"]
    argv += ["-workers", str(workers), "-seconds", str(seconds), "-pids", ",".join(map(str, pids))]
    if target.kid:
        argv += ["-eab-kid", target.kid, "-eab-key", target.hmac_key]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 120, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the load client failed against {target.name}: {done.stderr or done.stdout}")
    told: dict[str, Any] = json.loads(done.stdout)
    if not told["issued"]:
        raise RuntimeError(f"{target.name} issued nothing: {told['errors']}")
    return Round(
        issued=told["issued"],
        failed=told["failed"],
        per_second=told["per_second"],
        cpu_ms=told["server_cpu_ms_per_cert"],
        client_cpu_ms=told["client_cpu_ms_per_cert"],
        p50_ms=told["p50_ms"],
        p95_ms=told["p95_ms"],
        p99_ms=told["p99_ms"],
        rss_mb=sum(map(resident_mb, pids)),
        errors=told["errors"],
    )


def resident_mb(pid: int) -> float:
    """Resident memory; pages that processes share count in each."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def median(rounds: Sequence[Round]) -> Round:
    """Each figure's median; counts are summed."""
    plain = [asdict(one) for one in rounds]
    merged: dict[str, Any] = {
        key: statistics.median(one[key] for one in plain) for key in plain[0] if isinstance(plain[0][key], float)
    }
    merged["issued"] = sum(one.issued for one in rounds)
    merged["failed"] = sum(one.failed for one in rounds)
    merged["errors"] = {text: count for one in rounds for text, count in one.errors.items()}
    return Round(**merged)
