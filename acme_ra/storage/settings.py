"""Settings of the store: where it is, and how durable a commit is."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from acme_ra.core.clock import DAY, SECOND
from acme_ra.core.settings import Duration, Settings


class StorageSettings(Settings):
    """One SQLite file in WAL mode; beside it stand `-wal`, `-shm` and `-lock`, all of which belong to it."""

    path: Path = Field(description="the SQLite database; its directory must be on a local disk")
    busy_timeout: Duration = Field(
        default=5 * SECOND,
        ge=100,
        description="how long a transaction waits for another process before clients are told 503",
    )
    synchronous: Literal["full", "extra"] = Field(
        default="full", description="both survive a power failure; extra also syncs the directory"
    )
    batch: int = Field(default=256, ge=1, le=4096, description="transactions that may share one commit")
    keep_invalid: Duration = Field(
        default=30 * DAY, ge=0, description="how long an order that expired unfinished is kept before it is removed"
    )
