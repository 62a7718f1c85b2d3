"""Faults at process level: kill -9, SIGTERM, races and full disks, each judged by the oracle."""
