"""The database: migrated, writable, on a disk that syncs; and the master key that opens what is sealed in it."""

import asyncio
import os
import sqlite3
from pathlib import Path

from acme_ra.config.secrets import KeyFileUnusable, read_key_file
from acme_ra.core.clock import DAY, to_rfc3339
from acme_ra.core.credential_seal import open_credential
from acme_ra.core.objects import Credential
from acme_ra.core.sealing import SealBroken, Sealer
from acme_ra.doctor.findings import Finding, error, ok, warning
from acme_ra.doctor.server.subject import ServerSide
from acme_ra.storage.probe import Probed, probe
from acme_ra.storage.reports import Reports
from acme_ra.storage.schema import HEAD, SchemaMismatch
from acme_ra.storage.store import open_store

_SLOW_SYNC, _LITTLE, _TOO_LITTLE = 0.05, 2 * 1024**3, 200 * 1024**2
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs")
_SOON = 14 * DAY


async def check_database(server: ServerSide) -> list[Finding]:
    settings = server.configuration.storage
    try:
        probed = await asyncio.to_thread(probe, settings)
    except SchemaMismatch as problem:
        what, _, fix = str(problem).partition("; ")
        return [error(what, fix)]
    except FileNotFoundError:
        return [error(f"there is no database at {settings.path}", "run: acme-ra db upgrade")]
    except TimeoutError as problem:
        return [error(str(problem), "look which process does: fuser -v FILE-lock")]
    except (sqlite3.Error, OSError) as problem:
        fix = "check the owner, the free space and the disk; a damaged file is restored from a backup"
        return [error(f"{settings.path} cannot be written: {problem}", fix)]
    return [*_judge_disk(settings.path, probed)] or [
        ok(f"schema {HEAD}, writable; a durable write takes {probed.sync_seconds * 1000:.1f} ms")
    ]


def _judge_disk(path: Path, probed: Probed) -> list[Finding]:
    findings = []
    if probed.sync_seconds > _SLOW_SYNC:
        seen = f"a durable write to {path.parent} takes {probed.sync_seconds * 1000:.0f} ms"
        findings.append(
            warning(seen, "put the database on a disk of its own, or a faster one: every answer waits for it")
        )
    if probed.free < _LITTLE:
        seen = f"{path.parent} has {probed.free // 1024**2} MiB free"
        fix = "make room: when it is full, nothing is issued"
        findings.append(error(seen, fix) if probed.free < _TOO_LITTLE else warning(seen, fix))
    kind = filesystem_of(path, Path("/proc/self/mounts"))
    if kind in _NETWORK:
        fix = "put it on a local disk: SQLite's WAL needs shared memory and locks that this file system does not have"
        findings.append(error(f"{path.parent} is on a network file system ({kind})", fix))
    return findings


def filesystem_of(path: Path, mounts: Path) -> str:
    """The type of the file system that holds the path, or "" where that cannot be told."""
    try:
        lines = mounts.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    inside = os.path.realpath(path.parent)
    for line in lines:
        _, point, what, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if len(point) >= len(best) and (inside == point or inside.startswith(point.rstrip("/") + "/")):
            best, kind = point, what
    return kind


async def check_master_key(server: ServerSide) -> list[Finding]:
    """A key file that is not this database's opens nothing, which is noticed at the next registration at the latest."""
    path = server.configuration.secrets.key_file
    try:
        sealer = Sealer(read_key_file(path))
    except KeyFileUnusable as problem:
        what, _, fix = str(problem).partition("; ")
        return [error(what, fix or "restore it from your backup")]
    if not server.configuration.storage.path.exists():
        return [ok(f"{path} is a master key")]
    credentials = await all_credentials(server)
    broken = [one.kid for one in credentials if not _opens(sealer, one)]
    if broken and len(broken) == len(credentials):
        seen = f"{path} does not open the credentials of this database"
        return [error(seen, "restore the key file that was backed up with the database")]
    if broken:
        shown = ", ".join(broken[:3]) + (f" and {len(broken) - 3} more" if len(broken) > 3 else "")
        seen = f"{path} opens the others, but not {shown}: somebody changed what these may do, in the database itself"
        return [error(seen, "find out who; end each with `acme-ra credential disable KID`, and make another")]
    return [ok(f"{path} opens the credentials of the database" if credentials else f"{path} is a master key")]


def _opens(sealer: Sealer, credential: Credential) -> bool:
    try:
        open_credential(sealer, credential)
    except SealBroken:
        return credential.disabled_at is not None  # of no use to anybody
    return True


async def check_credentials(server: ServerSide) -> list[Finding]:
    """Credentials that expire before anybody registered with them: the next issuer would not get ready."""
    if not server.configuration.storage.path.exists():
        return []
    now, findings = server.clock.now(), []
    usable = [one for one in await all_credentials(server) if one.disabled_at is None]
    for one in usable:
        if one.expires_at is None or one.uses or one.expires_at > now + _SOON:
            continue
        verb = "expired" if one.expires_at <= now else "expires"
        seen = f"credential {one.kid} ({one.name}) {verb} at {to_rfc3339(one.expires_at)}, and has no account yet"
        findings.append(warning(seen, f"apply its Secret and issuer, or end it: acme-ra credential disable {one.kid}"))
    findings += [finding for one in usable if (finding := _judge_binding(server, one)) is not None]
    return findings or [ok(f"{len(usable)} in use or usable")]


def _judge_binding(server: ServerSide, one: Credential) -> Finding | None:
    """A credential whose orders can be attributed to no namespace."""
    binding, clusters = one.binding, server.configuration.clusters
    if not binding.cluster or binding.cluster in clusters or binding.namespaces:
        return None
    seen = f"credential {one.kid} ({one.name}) speaks for cluster {binding.cluster}, which is not in `clusters:`"
    known = f" (there are: {', '.join(clusters)})" if clusters else ""
    return warning(
        seen, f"add it{known}; until then its orders have no namespace, and policies that need one refuse them"
    )


async def all_credentials(server: ServerSide) -> list[Credential]:
    """Raises SchemaMismatch, StoreUnavailable."""
    settings = server.configuration.storage
    await (await open_store(settings, clock=server.clock)).close()
    reports = Reports(settings)
    try:
        return await reports.all_credentials()
    finally:
        await reports.close()
