"""Attribution: asks the right source whose request it is (DESIGN, step b and finalize step 3)."""

from collections.abc import Mapping

from acme_ra.attribution.contract import AttributionQuery, AttributionSource
from acme_ra.core.identifiers import Identifier
from acme_ra.core.problems import ServerInternal
from acme_ra.core.request import Workload

#: A directory without external accounts: nobody vouches for the requester, so policy sees no cluster or namespace.
UNATTRIBUTED = (Workload(source="none"),)


class Attribution:
    """Picks the source that a query concerns: its cluster, or the credential's binding where there is none."""

    def __init__(self, sources: Mapping[str, AttributionSource]) -> None:
        """`sources` in the order in which they are tried."""
        self._sources = dict(sources)

    async def start(self) -> None:
        for source in self._sources.values():
            await source.start()

    async def close(self) -> None:
        for source in self._sources.values():
            await source.close()

    async def attribute(self, query: AttributionQuery) -> tuple[Workload, ...] | None:
        """The workloads that the requester may speak for, or None when that cannot be known yet.

        Raises Unauthorized and ServiceUnavailable, as sources do.
        """
        source = next((one for one in self._sources.values() if one.concerns(query)), None)
        if source is None:
            if query.credential is not None or query.clusters:
                raise ServerInternal("no attribution source is configured")
            return UNATTRIBUTED
        workloads = await source.attribute(query)
        if workloads is not None and not workloads:
            # Empty means no: a source that names nobody must refuse, and one that does not is at fault.
            raise ServerInternal(f"attribution source {source.name} named no workload")
        return workloads

    async def routes(self, workload: Workload, identifiers: tuple[Identifier, ...]) -> dict[str, str]:
        """What carries each name in the workload's namespace, by the source that named the workload.

        Raises ServiceUnavailable. A workload of no source has no routes.
        """
        source = self._sources.get(workload.source)
        return {} if source is None else await source.routes(workload, identifiers)
