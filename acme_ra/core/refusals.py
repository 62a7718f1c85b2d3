"""A refusal as those are told who were not asked: the person's cluster shows it where the person looks."""

import msgspec

from acme_ra.core.request import Workload


class RefusalNotice(msgspec.Struct, frozen=True):
    """What was refused, and why. `detail` is written for the person, as it is told to the client."""

    workload: Workload
    names: tuple[str, ...]
    detail: str
