"""What every section of the configuration file is made of."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from acme_ra.core.duration import parse_duration


def _milliseconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


Duration = Annotated[int, BeforeValidator(_milliseconds)]
"""Milliseconds; written as `90s`, `720h`, `47d`."""

Network = IPv4Network | IPv6Network


class Settings(BaseModel):
    """The base of every section: unknown keys are mistakes, and nothing changes after the start."""

    model_config = ConfigDict(extra="forbid", frozen=True)
