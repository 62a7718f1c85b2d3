"""Reaching a directory as a client does (RFC 8555 §7.1.1): which trust, what it says, and what its clock says."""

import asyncio
import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import msgspec
import orjson

from acme_ra import __version__
from acme_ra.doctor.trust import client_context, tls_reason

TIMEOUT = 10.0
_MOST = 1024 * 1024
_MEMBERS = ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange")


class Reached(msgspec.Struct, frozen=True):
    """A directory that answered. `clock_offset` is the server's clock less ours, in seconds; None: it told no time."""

    url: str
    document: dict[str, Any]
    clock_offset: float | None

    @property
    def meta(self) -> dict[str, Any]:
        meta = self.document.get("meta")
        return meta if isinstance(meta, dict) else {}

    @property
    def profiles(self) -> tuple[str, ...]:
        profiles = self.meta.get("profiles")
        return tuple(profiles) if isinstance(profiles, dict) else ()


class Unreachable(Exception):
    """Why a client gets no directory there. `distrust` is true when only the trust is missing."""

    def __init__(self, seen: str, fix: str, *, distrust: bool = False) -> None:
        super().__init__(seen)
        self.seen = seen
        self.fix = fix
        self.distrust = distrust


async def reach(url: str, *, bundle: bytes) -> Reached:
    """GET the directory with the bundle's trust, or with the system's when it is empty. Raises Unreachable."""
    if not url.startswith("https://"):
        raise Unreachable(f"{url!r} is no https URL", "ACME is HTTPS only (RFC 8555 §6.1): correct the URL")
    status, headers, body = await request("GET", url, bundle=bundle)
    if status != 200:
        raise Unreachable(f"{url} answers {status}", "correct the path: it is /acme/NAME/directory")
    return Reached(url, _document(url, body), clock_offset(headers))


async def request(
    method: str,
    url: str,
    *,
    bundle: bytes = b"",
    context: ssl.SSLContext | None = None,
    server_name: str | None = None,
    body: bytes | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in lower case, and body. `context` instead of `bundle` for other trust. Raises Unreachable."""
    try:
        context = context or client_context(bundle)
    except ValueError as problem:
        raise Unreachable(str(problem), "give a file of '-----BEGIN CERTIFICATE-----' blocks") from problem
    headers = {"User-Agent": f"acme-ra-doctor/{__version__}"}
    if body is not None:
        headers["Content-Type"] = "application/jose+json"
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.request(
                method, url, ssl=context, server_hostname=server_name, data=body, allow_redirects=False
            ) as response,
        ):
            answer = await response.content.read(_MOST)
            return response.status, {key.lower(): value for key, value in response.headers.items()}, answer
    except aiohttp.ClientConnectorCertificateError as problem:
        raise _distrusted(url, problem.certificate_error, bundle) from problem
    except (aiohttp.ClientError, TimeoutError, OSError) as problem:
        raise _unreachable(url, problem) from problem


def clock_offset(headers: dict[str, str]) -> float | None:
    """The Date header less our clock, in seconds."""
    text = headers.get("date")
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return None


def _document(url: str, body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise Unreachable(f"{url} answers no JSON", "correct the URL; something else listens there") from problem
    absent = [one for one in _MEMBERS if not isinstance(document, dict) or one not in document]
    if absent:
        raise Unreachable(f"{url} is no ACME directory: {', '.join(absent)} missing", "correct the URL")
    assert isinstance(document, dict)
    return document


def _distrusted(url: str, problem: Exception, bundle: bytes) -> Unreachable:
    reason = tls_reason(problem) if isinstance(problem, ssl.SSLError) else str(problem)
    trust = "the CA bundle" if bundle else "the system's trust"
    return Unreachable(
        f"{url}: {trust} does not verify the server's certificate: {reason}",
        "give clients the server's ca-bundle.pem, or the server a certificate that they know, for that name",
        distrust=True,
    )


def _unreachable(url: str, problem: Exception) -> Unreachable:
    cause: BaseException = problem
    if isinstance(problem, aiohttp.ClientConnectorError):
        cause = problem.os_error
    if isinstance(cause, socket.gaierror | aiohttp.ClientConnectorDNSError):
        return Unreachable(f"{url}: the host is not known here", "correct the name, or its DNS record")
    if isinstance(cause, ConnectionRefusedError):
        return Unreachable(f"{url}: connection refused", "start the server there (`acme-ra serve`), or correct the URL")
    if isinstance(cause, TimeoutError | asyncio.TimeoutError):
        return Unreachable(
            f"{url}: no answer within {TIMEOUT:g} s", "look at firewalls, network policies and the server"
        )
    if isinstance(cause, ssl.SSLError):
        return Unreachable(f"{url}: no TLS: {tls_reason(cause)}", "something else than this server listens there")
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return Unreachable(f"{url}: {text}", "check the URL and the network in between")
