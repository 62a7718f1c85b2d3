"""What the checks of a server look at."""

from pathlib import Path

import msgspec

from acme_ra.config import Configuration, Mistake
from acme_ra.core.clock import Clock
from acme_ra.core.urls import Urls
from acme_ra.server import external_url


class ServerSide(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration that could be read. `mistakes` is what its sections say wrong of each other."""

    path: Path
    configuration: Configuration
    mistakes: tuple[Mistake, ...]
    clock: Clock
    bundle: bytes | None  # PEM that clients use; None: what is found beside the server's certificate

    @property
    def urls(self) -> Urls:
        return Urls(external_url(self.configuration, self.configuration.server.endpoint))
