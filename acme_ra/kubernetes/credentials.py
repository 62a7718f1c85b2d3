"""Who acme-ra is to an API server: tokens and client certificates, read again when their files change."""

import contextlib
import os
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from acme_ra.kubernetes.errors import ClusterMisconfigured

Ticks = Callable[[], float]
#: How long a file is trusted to be unchanged: kubelet renews tokens minutes before they end.
REREAD_SECONDS = 10.0
_MAX_TOKEN = 64 * 1024


class Material:
    """PEM or a token that stands in the configuration or in a file. What it says is read again when it changes."""

    def __init__(self, *, path: Path | None = None, data: bytes = b"") -> None:
        self._path = path
        self._data = data

    @property
    def stamp(self) -> tuple[int, ...]:
        """Changes when the content may have; kubelet replaces the files behind links. Raises OSError."""
        if self._path is None:
            return ()
        found = os.stat(self._path)
        return found.st_mtime_ns, found.st_size, found.st_ino

    def read(self) -> bytes:
        """Raises OSError."""
        return self._data if self._path is None else self._path.read_bytes()

    def __str__(self) -> str:
        return "the data in the kubeconfig" if self._path is None else str(self._path)


class Token:
    """A bearer token."""

    def __init__(self, material: Material, *, ticks: Ticks = time.monotonic) -> None:
        self._material = material
        self._ticks = ticks
        self._value = ""
        self._read_at = float("-inf")

    def value(self) -> str:
        """The token as it is now. Raises ClusterMisconfigured when there is none that can be sent."""
        now = self._ticks()
        if now - self._read_at >= REREAD_SECONDS:
            self._value = self._read()
            self._read_at = now
        return self._value

    def forget(self) -> None:
        """Read it again at the next use: the API server does not accept it."""
        self._read_at = float("-inf")

    def _read(self) -> str:
        try:
            raw = self._material.read()
        except OSError as error:
            raise ClusterMisconfigured(
                f"{self._material}: the token cannot be read ({error.strerror}); check the path and its permissions"
            ) from error
        text = raw[: _MAX_TOKEN + 1].decode("ascii", "replace").strip()
        if not text or len(text) > _MAX_TOKEN or not all("!" <= char <= "~" for char in text):
            raise ClusterMisconfigured(f"{self._material}: this is no bearer token; put the token alone into it")
        return text


class Tls:
    """The API server's CA, and acme-ra's client certificate if it has one."""

    def __init__(
        self,
        *,
        ca: Material | None,
        certificate: Material | None = None,
        key: Material | None = None,
        ticks: Ticks = time.monotonic,
    ) -> None:
        self._ca = ca
        self._certificate = certificate
        self._key = key
        self._ticks = ticks
        self._stamps: tuple[tuple[int, ...], ...] = ()
        self._context: ssl.SSLContext | None = None
        self._checked_at = float("-inf")

    def context(self) -> ssl.SSLContext:
        """The context as the files are now; the same object while they do not change. Raises ClusterMisconfigured."""
        now = self._ticks()
        if self._context is None or now - self._checked_at >= REREAD_SECONDS:
            stamps = self._look()
            if self._context is None or stamps != self._stamps:
                self._context, self._stamps = self._build(), stamps
            self._checked_at = now
        return self._context

    def _look(self) -> tuple[tuple[int, ...], ...]:
        stamps = []
        for material in (self._ca, self._certificate, self._key):
            if material is not None:
                try:
                    stamps.append(material.stamp)
                except OSError as error:
                    raise _unreadable(material, error) from error
        return tuple(stamps)

    def _build(self) -> ssl.SSLContext:
        if self._ca is None:
            context = ssl.create_default_context()
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            _trust(context, self._ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._certificate is not None and self._key is not None:
            _present(context, self._certificate, self._key)
        return context


def _trust(context: ssl.SSLContext, ca: Material) -> None:
    try:
        context.load_verify_locations(cadata=ca.read().decode("ascii"))
    except OSError as error:
        # ssl.SSLError is an OSError: what is no certificate, and what cannot be read, both end here.
        if isinstance(error, ssl.SSLError):
            raise ClusterMisconfigured(f"{ca}: this is no PEM certificate; name the API server's CA bundle") from error
        raise _unreadable(ca, error) from error
    except ValueError as error:
        raise ClusterMisconfigured(f"{ca}: this is no PEM certificate; name the API server's CA bundle") from error


def _present(context: ssl.SSLContext, certificate: Material, key: Material) -> None:
    try:
        pem = certificate.read().rstrip() + b"\n" + key.read()
    except OSError as error:
        raise _unreadable(certificate, error) from error
    with _as_file(pem) as name:
        try:
            context.load_cert_chain(name, password=lambda: b"")
        except (OSError, ValueError) as error:
            raise ClusterMisconfigured(
                f"{certificate} and {key}: these are no client certificate and its unencrypted key in PEM; "
                "name both of the same user"
            ) from error


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A name to read `content` from: Python takes certificates from files only. In memory, where there is memfd."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("acme-ra", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "wb") as memory:
            memory.write(content)
            memory.flush()
            yield f"/proc/self/fd/{descriptor}"
        return
    with tempfile.NamedTemporaryFile(prefix="acme-ra-") as file:
        file.write(content)
        file.flush()
        yield file.name


def _unreadable(material: Material, error: OSError) -> ClusterMisconfigured:
    return ClusterMisconfigured(f"{material}: cannot be read ({error.strerror}); check the path and its permissions")
