"""Benchmarks: `python -m bench` against step-ca, `python -m bench.scale` against a growing database."""
