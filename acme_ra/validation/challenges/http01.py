"""The http-01 challenge (RFC 8555 §8.3, RFC 8738 §5)."""

import ipaddress
import re
import ssl
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from acme_ra.core.identifiers import Identifier, IdentifierType, parse_dns_name
from acme_ra.core.problems import ConnectionFailed, IncorrectResponse, Problem
from acme_ra.validation.contract import ValidationTarget, excerpt
from acme_ra.validation.egress import TLS, Attempt, Dialer, place
from acme_ra.validation.guard import CheckedAddress, is_public
from acme_ra.validation.http_client import HTTPExchange, HTTPResponse, build_request
from acme_ra.validation.settings import ValidationSettings

_PATH = "/.well-known/acme-challenge/"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_URL = 2048
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class URL(NamedTuple):
    """A URL that was checked: http or https, an allowed port, no credentials, plain ASCII."""

    scheme: str
    host: Identifier
    port: int
    target: str  # path and query

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host.value else self.host.value
        return host if self.port == (80 if self.scheme == "http" else 443) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


class Fetched(NamedTuple):
    """An answer, and where it came from."""

    url: URL
    address: CheckedAddress
    response: HTTPResponse


class HTTP01:
    """Fetches the key authorization from the applicant's web server, through redirects where it sends them."""

    type = "http-01"
    identifier_types = frozenset({IdentifierType.DNS, IdentifierType.IP})
    proves_wildcards = False

    def __init__(self, settings: ValidationSettings, dialer: Dialer) -> None:
        self._settings = settings
        self._dialer = dialer
        self._tls = _unverified_tls()

    async def validate(self, target: ValidationTarget) -> None:
        """See ChallengeValidator. A key authorization followed by white space is accepted (RFC 8555 §8.3)."""
        async with Attempt(target, seconds=self._settings.timeout / 1000) as attempt:
            url = URL("http", target.identifier, self._settings.http_port, f"{_PATH}{target.token}")
            fetched = await self._follow(url, target, attempt)
        # By the whole URL: a redirect to the same name may lead to another address, and to any path there.
        _judge(fetched, target, redirected=fetched.url != url)

    async def _follow(self, url: URL, target: ValidationTarget, attempt: Attempt) -> Fetched:
        """The first answer that is no redirect. Each hop is looked up and guarded like the first."""
        visited: list[URL] = []
        while True:
            fetched = await self._fetch(url, target, attempt)
            if fetched.response.status not in _REDIRECTS:
                return fetched
            visited.append(url)
            if len(visited) > self._settings.max_redirects:
                raise ConnectionFailed(
                    f"{target.identifier}: more than {self._settings.max_redirects} redirects; the last was from {url}"
                )
            url = self._redirect(fetched, target)
            if url in visited:
                raise ConnectionFailed(f"{target.identifier}: the redirects go in a circle, back to {url}")

    async def _fetch(self, url: URL, target: ValidationTarget, attempt: Attempt) -> Fetched:
        request = build_request(url.authority, url.target)
        tls = TLS(self._tls, url.host.value) if url.scheme == "https" else None
        connection, exchange = await self._dialer.connect(
            lambda: HTTPExchange(request, max_header=self._settings.max_header, max_body=self._settings.max_body),
            url.host,
            url.port,
            attempt,
            tls=tls,
        )
        server = place(connection.address, url.port)
        attempt.step = f"waiting for the answer of {server} to {url}"
        try:
            return Fetched(url, connection.address, await exchange.response)
        except (IncorrectResponse, ConnectionFailed) as problem:
            raise type(problem)(f"{target.identifier}: {server}, asked for {url}, {problem.detail}") from problem
        finally:
            connection.transport.abort()

    def _redirect(self, fetched: Fetched, target: ValidationTarget) -> URL:
        """Where the answer sends us. Raises ConnectionFailed for a place that validation does not go to."""
        location = fetched.response.location
        try:
            if location is None:
                raise ValueError("it has no Location")
            return parse_redirect(location, fetched.url, self._settings)
        except ValueError as error:
            shown = "" if location is None else f" to {excerpt(location, 100)}"
            where = f"{target.identifier}: {fetched.url} at {fetched.address}"
            raise ConnectionFailed(f"{where} redirects{shown}, which is not followed: {error}") from error


def parse_redirect(unverified: bytes, base: URL, settings: ValidationSettings) -> URL:
    """Check a Location. Raises ValueError with the rule that it breaks."""
    if len(unverified) > _MAX_URL:
        raise ValueError(f"it is longer than {_MAX_URL} bytes")
    if not all(0x21 <= byte <= 0x7E for byte in unverified) or b"\\" in unverified:
        raise ValueError("a URL holds printable ASCII only, and no backslash")
    location = unverified.decode("ascii")
    if _SCHEME.match(location) and not urlsplit(location).netloc:
        raise ValueError("it names a scheme and no host")
    parts = urlsplit(urljoin(str(base), location))
    if parts.scheme not in ("http", "https"):
        raise ValueError("only http and https are followed")
    if "@" in parts.netloc:
        raise ValueError("a URL with a user name or password is not followed")
    default = settings.http_port if parts.scheme == "http" else settings.https_port
    try:
        port = default if parts.port is None else parts.port
    except ValueError:
        port = 0
    if port not in (settings.http_port, settings.https_port):
        raise ValueError(f"only the ports {settings.http_port} and {settings.https_port} are followed")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return URL(parts.scheme, _parse_host(parts.hostname or "", bracketed="[" in parts.netloc), port, target)


def _parse_host(unverified: str, *, bracketed: bool) -> Identifier:
    """A name by our own grammar, or an address in its full form: 2130706433 and 0x7f.1 are neither."""
    try:
        address = ipaddress.ip_address(unverified)
    except ValueError:
        address = None
    if (address is not None and address.version == 6) != bracketed or "%" in unverified:
        raise ValueError("its host is not a DNS name or IP address")
    if address is not None:
        return Identifier(IdentifierType.IP, str(address))
    try:
        return Identifier(IdentifierType.DNS, parse_dns_name(unverified, allow_wildcard=False))
    except Problem as problem:
        raise ValueError("its host is not a DNS name or IP address") from problem


def _judge(fetched: Fetched, target: ValidationTarget, *, redirected: bool) -> None:
    """Raises IncorrectResponse unless the answer is the key authorization."""
    url, address, response = fetched
    where = f"{target.identifier}: {url} at {place(address, url.port)}"
    if response.status != 200:
        raise IncorrectResponse(
            f"{where} answered {response.status}; expected 200 and the key authorization. "
            "Check that this web server answers for the name and serves the challenge's path"
        )
    if response.truncated:
        raise IncorrectResponse(
            f"{where} answered more than {len(response.body)} bytes; expected the key authorization"
        )
    if response.body.rstrip() == target.key_authorization.encode("ascii"):
        return
    if redirected and not is_public(address):
        # A redirect chooses host and path: what a private server says there is not for the applicant's eyes.
        found = f"{len(response.body)} bytes"
    else:
        found = excerpt(response.body) if response.body else "nothing"
    raise IncorrectResponse(
        f"{where} answered {found}; expected the key authorization {excerpt(target.key_authorization.encode(), 100)}. "
        "Check that the ACME client that made this order also serves the answer"
    )


def _unverified_tls() -> ssl.SSLContext:
    """Certificates are not verified: the applicant may have none yet, and the content is what proves control."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
