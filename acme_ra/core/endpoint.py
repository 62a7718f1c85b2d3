"""Network endpoints in configuration: `127.0.0.1:14000`, `[::1]:14000`, `ra.example.com:443`."""

import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

_ENDPOINT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/\[\]]+)):([0-9]{1,5})\Z")


class Endpoint(NamedTuple):
    """A host (name or address, without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """Raises ValueError that shows the accepted form."""
    match = _ENDPOINT.match(text)
    if match is None or int(match[3]) > 65535:
        raise ValueError(f"{text!r} is not HOST:PORT; write it like 127.0.0.1:14000 or [::1]:14000")
    return Endpoint(match[1] or match[2], int(match[3]))


def _checked(text: str) -> str:
    return str(parse_endpoint(text))


EndpointText = Annotated[str, AfterValidator(_checked)]
"""A setting that holds an endpoint."""
