"""Versions, for a report."""

import platform
import sqlite3
import ssl

from acme_ra import __version__
from acme_ra.doctor.findings import Finding, ok
from acme_ra.doctor.server.subject import ServerSide


async def check_versions(server: ServerSide) -> list[Finding]:
    import cryptography

    return [
        ok(
            f"acme-ra {__version__}, Python {platform.python_version()}, {ssl.OPENSSL_VERSION}, "
            f"SQLite {sqlite3.sqlite_version}, cryptography {cryptography.__version__}"
        )
    ]
