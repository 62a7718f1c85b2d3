"""acme-ra and step-ca in interleaved rounds under one load client: real http-01 over TLS, every ordinary feature on.

acme-ra runs on what `quickstart` makes: EAB, policy, audit log, lint as its default profile says, durable commits.
The machine's speed drifts, so trust the ratios: each is the median over rounds of two measurements side by side.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.load import Round, Target, drive, median
from bench.step_ca import start_step_ca
from tests.peers.build import peer
from tests.support.processes import Process
from tests.support.server import Ports, Server

FLOOR_RATE = 1.3
FLOOR_CPU = 0.7

ROWS: tuple[tuple[str, str, Callable[[Round], float]], ...] = (
    ("issuances per second", "{:.1f}", lambda r: r.per_second),
    ("server CPU ms per certificate", "{:.2f}", lambda r: r.cpu_ms),
    ("latency p50 ms", "{:.0f}", lambda r: r.p50_ms),
    ("latency p95 ms", "{:.0f}", lambda r: r.p95_ms),
    ("latency p99 ms", "{:.0f}", lambda r: r.p99_ms),
    ("resident memory MB", "{:.0f}", lambda r: r.rss_mb),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 1 with --check when a floor is missed."""
    options = _parse(arguments)
    for name in ("acmeload", "step-ca"):
        _say(f"Building {name}, unless it is built already (step-ca takes about four minutes the first time)")
        peer(name)
    with tempfile.TemporaryDirectory(prefix="acme-ra-bench-") as scratch:
        measured = _measure(Path(scratch), options)
    medians = {name: median(rounds) for name, rounds in measured.items()}
    rate = _ratio(measured, lambda r: r.per_second)
    cpu = _ratio(measured, lambda r: r.cpu_ms)
    _print(medians, measured, rate, cpu)
    if options.json:
        report = {
            "medians": {name: asdict(figures) for name, figures in medians.items()},
            "rounds": {name: [asdict(one) for one in rounds] for name, rounds in measured.items()},
            "rate_ratio": rate,
            "cpu_ratio": cpu,
            "cores": len(os.sched_getaffinity(0)),
        }
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    return int(options.check and not (rate >= FLOOR_RATE and cpu <= FLOOR_CPU))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds for each server [3]")
    parser.add_argument("--seconds", type=int, default=15, help="length of a round [15]")
    parser.add_argument("--workers", type=int, default=16, help="concurrent clients, each with its own account [16]")
    parser.add_argument("--json", metavar="FILE", help="write everything measured there")
    parser.add_argument("--check", action="store_true", help="end with 1 when a floor is missed")
    return parser.parse_args(arguments)


def _measure(scratch: Path, options: argparse.Namespace) -> dict[str, list[Round]]:
    ports = Ports()
    started: list[Process] = []
    try:
        # Not at once: the first warm-up would share the cores with the other server's start.
        _say("Starting acme-ra")
        server = Server(scratch / "acme-ra", ports=ports)
        server.start()
        assert server.process is not None
        started.append(server.process)
        accounts = options.workers * (options.rounds + 1)
        credential = server.credential("bench", uses=accounts)
        ours = Target("acme-ra", server.directory, ports.http01, ports.dns, credential.kid, credential.hmac_key)
        _say("Starting step-ca")
        process, theirs = start_step_ca(scratch, http01=ports.http01, dns=ports.dns)
        started.append(process)

        running = {ours.name: (server.process, ours), theirs.name: (process, theirs)}
        for process, target in running.values():
            _say(f"Warming up {target.name}")
            drive(target, process.pids(), workers=options.workers, seconds=3)
        measured: dict[str, list[Round]] = {name: [] for name in running}
        for number in range(options.rounds):
            for name, (process, target) in running.items():
                one = drive(target, process.pids(), workers=options.workers, seconds=options.seconds)
                failed = f", {one.failed} failed: {one.errors}" if one.failed else ""
                _say(
                    f"Round {number + 1} of {options.rounds}, {name}: "
                    f"{one.per_second:.1f} per second, {one.cpu_ms:.2f} ms{failed}"
                )
                measured[name].append(one)
        return measured
    finally:
        for process in started:
            if process.running():
                process.stop()


def _ratio(measured: dict[str, list[Round]], figure: Callable[[Round], float]) -> float:
    ours, theirs = measured["acme-ra"], measured["step-ca"]
    return statistics.median(figure(a) / figure(b) for a, b in zip(ours, theirs, strict=True))


def _print(medians: dict[str, Round], measured: dict[str, list[Round]], rate: float, cpu: float) -> None:
    print(f"{'':32}{'acme-ra':>12}{'step-ca':>12}{'ratio':>9}")
    for label, form, figure in ROWS:
        cells = [form.format(figure(medians[name])) for name in ("acme-ra", "step-ca")]
        print(f"{label:32}{cells[0]:>12}{cells[1]:>12}{_ratio(measured, figure):>9.2f}")
    for label, ratio, met, bound in (
        ("issuances per second", rate, rate >= FLOOR_RATE, f"at least {FLOOR_RATE}"),
        ("server CPU per certificate", cpu, cpu <= FLOOR_CPU, f"at most {FLOOR_CPU}"),
    ):
        print(f"Floor, {label}: {ratio:.2f}, {bound} of step-ca's: {'met' if met else 'MISSED'}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
