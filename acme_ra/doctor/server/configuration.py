"""The configuration file, and the files that it names: there, readable, private, and not for others to change."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from acme_ra.config.errors import Mistake
from acme_ra.core.file_modes import is_private
from acme_ra.doctor.findings import Finding, error, ok, warning
from acme_ra.doctor.server.subject import ServerSide

_MANY = 20


def describe(mistake: Mistake) -> Finding:
    """A mistake of a configuration file as a finding."""
    place = f"{mistake.source}:{mistake.line}" if mistake.line else mistake.source
    return error(" ".join(filter(None, (f"{place}:", mistake.key, mistake.what))), mistake.fix)


async def check_configuration(server: ServerSide) -> list[Finding]:
    """Sections that contradict each other, and files that are not there."""
    if server.mistakes:
        return [describe(one) for one in server.mistakes]
    count = len(server.configuration.directories)
    return [ok(f"{server.path} is valid; {count} director{'y' if count == 1 else 'ies'}")]


async def check_files(server: ServerSide) -> list[Finding]:
    """Who may read secrets, and who may change what decides. Files that are absent are told by the configuration."""
    secret, decisive = list(_secret(server)), list(_decisive(server))
    findings = [*_readable_by_others(secret), *_writable_by_others(decisive), *_unreadable([*secret, *decisive])]
    return findings or [ok(f"{len(secret)} secret files are private; nobody else may change {len(decisive)} others")]


def _secret(server: ServerSide) -> Iterator[Path]:
    configuration = server.configuration
    yield configuration.secrets.key_file
    yield configuration.server.tls.key
    yield configuration.storage.path
    for authority in configuration.authorities.values():
        yield authority.key
        if authority.passphrase_file is not None:
            yield authority.passphrase_file


def _decisive(server: ServerSide) -> Iterator[Path]:
    """What decides who gets a certificate: whoever changes it has them all."""
    yield server.path
    path = server.configuration.policies.path
    yield path
    if path.is_dir():
        yield from sorted(one for one in path.iterdir() if one.suffix in (".yaml", ".yml"))[:1000]
    for authority in server.configuration.authorities.values():
        yield authority.certificate


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _readable_by_others(paths: list[Path]) -> Iterator[Finding]:
    for path in paths:
        status = _status(path)
        if status is not None and not is_private(status, user=os.geteuid()):
            mode = stat.S_IMODE(status.st_mode)
            yield error(f"others may read or write {path} (mode {mode:04o})", f"run: chmod 600 {path}")


def _writable_by_others(paths: list[Path]) -> Iterator[Finding]:
    for path in paths[:_MANY]:
        status = _status(path)
        if status is None:
            continue
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o022 and not (mode & stat.S_ISVTX and path.is_dir()):
            yield error(f"others may change {path} (mode {mode:04o})", f"run: chmod go-w {path}")


def _unreadable(paths: list[Path]) -> Iterator[Finding]:
    for path in paths:
        if path.exists() and not os.access(path, os.R_OK):
            fix = "give the server's user the file, or run doctor as that user"
            yield warning(f"{path} cannot be read by this user", fix)
