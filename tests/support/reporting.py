"""Adds what the processes of a test wrote to the report of its failure."""

from typing import Any

from tests.support.server import Server


def add_logs(item: Any, report: Any) -> None:
    """Call from a conftest's pytest_runtest_makereport with every report."""
    if not report.failed:
        return
    for name, value in getattr(item, "funcargs", {}).items():
        server = value if isinstance(value, Server) else getattr(value, "server", None)
        if isinstance(server, Server):
            report.sections.append((f"acme-ra ({name})", server.log()))
            return
