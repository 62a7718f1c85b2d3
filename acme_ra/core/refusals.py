"""A refusal, or a wait for people, as those are told who were not asked: a cluster shows it where the person looks."""

import msgspec

from acme_ra.core.request import Workload


class RefusalNotice(msgspec.Struct, frozen=True):
    """What was refused, and why. `detail` is written for the person, as it is told to the client."""

    workload: Workload
    names: tuple[str, ...]
    detail: str
    awaited: bool = False  # nothing is refused: `detail` says whose approval the order waits for
